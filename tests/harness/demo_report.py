"""What the demo found: tables, saved logs and manifests.

Separate because it only reads, after the fact, and can be read again for any namespace. Called by `demo`.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from tests.harness import cache, console, demo_callbacks, demo_plot
from tests.harness.demo_callbacks import Told
from tests.harness.errors import HarnessError
from tests.harness.kubectl import Json, Kubectl

KINDS = ("trainingjobs", "datasets", "pods", "persistentvolumeclaims")


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """One TrainingJob when all is over. Times are in whole seconds, as Kubernetes writes them.

    `ran` is the time that its training containers ran, `besides` what passed else from the moment when it
    could start (it was there, and its parent was Done) to its completion: planning, scheduling, mounting,
    starting, reading the verdict.
    """

    name: str
    action: str
    type: str
    phase: str
    reason: str
    key_metric: str
    metrics: dict[str, str]
    node: str
    gpus: int
    ran: float | None
    besides: float | None
    artifacts: tuple[str, ...]
    stored_logs: str
    log: str


def gather(kubectl: Kubectl, namespace: str, *, out: Path) -> list[JobReport]:
    """Reads everything and saves it under `out`: `logs/<job>.log`, `manifests/<kind>.yaml`."""
    (out / "logs").mkdir(parents=True, exist_ok=True)
    (out / "manifests").mkdir(exist_ok=True)
    with console.step("Collecting logs and manifests") as step:
        found = {kind: kubectl.items(kind, f"--namespace={namespace}") for kind in KINDS}
        for kind, objects in found.items():
            text = yaml.safe_dump_all(objects, sort_keys=False, width=110, allow_unicode=True)
            (out / "manifests" / f"{kind}.yaml").write_text(text)
        jobs = sorted(found["trainingjobs"], key=lambda job: str(job["metadata"]["creationTimestamp"]))
        ended = {job["metadata"]["name"]: _time(job, "status", "completionTime") for job in jobs}
        reports = []
        for job in jobs:
            name = job["metadata"]["name"]
            step.say(name)
            log = read_log(kubectl, namespace, name)
            (out / "logs" / f"{name}.log").write_text(log)
            pods = [pod for pod in found["pods"] if _job_of(pod) == name]
            parent = ended.get(job["spec"].get("parentJob", ""))
            reports.append(report_of(job, pods, could_start=parent, log=log))
        step.say(str(out))
    return reports


def read_log(kubectl: Kubectl, namespace: str, job: str) -> str:
    """A job's log by `trainyard logs`; what went wrong, if it did."""
    argv = [sys.executable, "-m", "trainyard", "logs", job, f"--namespace={namespace}", *kubectl.flags]
    try:
        return console.capture(argv, log=cache.root() / "logs" / "demo.log", timeout=60)
    except HarnessError as error:
        console.say(str(error))
        return ""


def report_of(job: Json, pods: Sequence[Json], *, could_start: datetime | None, log: str) -> JobReport:
    """What is shown of a job; `could_start` is when its parent was Done."""
    spec, status = job["spec"], job.get("status") or {}
    created, completed = _time(job, "metadata", "creationTimestamp"), _time(job, "status", "completionTime")
    runs = [run for pod in pods if (run := _ran(pod)) is not None]
    ran = sum(runs) if runs else None
    besides = None
    if created and completed and ran is not None:
        begin = max(created, could_start) if could_start else created
        besides = max(0.0, (completed - begin).total_seconds() - ran)
    return JobReport(
        name=job["metadata"]["name"],
        action=spec.get("action", "train"),
        type=spec.get("type") or spec.get("architecture") or spec.get("runtime", ""),
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        key_metric=(status.get("keyMetric") or {}).get("display", ""),
        metrics={metric["name"]: metric["value"] for metric in status.get("metrics", [])},
        node=", ".join(sorted({pod["spec"].get("nodeName", "") for pod in pods})),
        gpus=int((spec.get("accelerator") or {}).get("count", 0)),
        ran=ran,
        besides=besides,
        artifacts=tuple(artifact["uri"] for artifact in status.get("artifacts", [])),
        stored_logs=status.get("logs", ""),
        log=log,
    )


def _job_of(pod: Json) -> str:
    label: str = pod["metadata"].get("labels", {}).get("trainyard.dev/job", "")
    return label


def _ran(pod: Json) -> float | None:
    for container in pod.get("status", {}).get("containerStatuses", []):
        ended = container.get("state", {}).get("terminated")
        if container["name"] == "trainer" and ended:
            begin, end = (datetime.fromisoformat(ended[key]) for key in ("startedAt", "finishedAt"))
            return (end - begin).total_seconds()
    return None


def _time(one: Json, part: str, name: str) -> datetime | None:
    text = (one.get(part) or {}).get(name)
    return datetime.fromisoformat(text) if text else None


def show(
    reports: Sequence[JobReport], told: Sequence[Told], *, kubectl: Kubectl, namespace: str, out: Path
) -> None:
    """Prints the summary to stdout, with the plot drawn beside it."""
    screen = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    screen.print()
    screen.print(overview(reports))
    screen.print(
        "[dim]ran: the training container's time. besides: everything else since the job could start"
        " (planning, scheduling, volumes, start, verdict); whole seconds, so 1 s more or less.[/]\n"
    )
    screen.print(all_metrics(reports))
    screen.print()
    screen.print(demo_callbacks.table(told))
    screen.print()
    screen.print("Where it lies", style="bold italic")
    screen.print(places(reports, out=out))
    curves = [(report.name, points) for report in reports if len(points := learning_curve(report.log)) > 1]
    if curves:
        plot = out / "learning-curve.png"
        demo_plot.draw(curves, plot)
        screen.print(f"\nLearning curves: [cyan]{plot}[/]")
    screen.print("\nNext", style="bold italic")
    for line in next_commands(kubectl, namespace, [report.name for report in reports]):
        screen.print(f"  {line}", soft_wrap=True, markup=False)
    screen.print()


def next_commands(kubectl: Kubectl, namespace: str, jobs: Sequence[str]) -> list[str]:
    """Lines for the user's shell: the cluster chosen, then things to look at."""
    found = shutil.which("kubectl")
    program = "kubectl" if found and Path(found) == kubectl.program else shlex.quote(str(kubectl.program))
    trainyard = shlex.quote(str(Path(sys.executable).with_name("trainyard")))
    # NB: a kubeconfig of the user's may have another context as its current one.
    where = f"-n {namespace}" if kubectl.handle.made_by_us else f"-n {namespace} {kubectl.flags[1]}"
    return [
        f"export KUBECONFIG={shlex.quote(str(kubectl.handle.kubeconfig))}",
        f"{program} get tj {where}",
        *(f"{trainyard} logs {job} {where}" for job in jobs[:1]),
        *(f"{trainyard} download {job} {where}  # its model, every byte checked" for job in jobs[:1]),
        *(_steering(trainyard, where) if kubectl.handle.made_by_us else []),
        f"{program} apply {where} -f examples/actions/tree.yaml  # prune, retrain, export to ONNX, predict",
        f"{program} apply {where} -f examples/models/life.yaml  # a model: then describe model digits-net",
        f"{trainyard} runtimes  # what else can be run",
        *(["make cluster-down"] if kubectl.handle.made_by_us else []),
    ]


def _steering(trainyard: str, where: str) -> list[str]:
    # NB: with a GPU, for the demo's own node has the taint of a GPU node.
    asked = "--type neural_network --dataset digits -p epochs=3000 --gpus 1 --output-claim quickstart-output"
    return [
        f"{trainyard} submit {where} {asked} --name try  # a training that lasts a while",
        f"{trainyard} pause try --wait {where}  # then: get try, resume try, watch try, cancel try",
    ]


def overview(reports: Sequence[JobReport]) -> Table:
    result = Table(title="What ran", title_justify="left", title_style="bold")
    for heading, right in (
        ("Job", False),
        ("What", False),
        ("Phase", False),
        ("Result", False),
        ("Ran", True),
        ("Besides", True),
        ("GPUs", True),
        ("Node", False),
    ):
        result.add_column(heading, justify="right" if right else "left", overflow="fold")
    for report in reports:
        colour = {"Done": "green", "Error": "red"}.get(report.phase, "yellow")
        result.add_row(
            report.name,
            f"{report.action} {report.type}",
            f"[{colour}]{report.phase}[/] {report.reason}",
            report.key_metric,
            _seconds(report.ran),
            _seconds(report.besides),
            str(report.gpus),
            report.node,
        )
    return result


def all_metrics(reports: Sequence[JobReport]) -> Table:
    """A row for each metric, a column for each job."""
    names = list(dict.fromkeys(name for report in reports for name in report.metrics))
    result = Table(title="Metrics", title_justify="left", title_style="bold")
    result.add_column("Metric")
    for report in reports:
        result.add_column(report.name, justify="right")
    for name in names:
        result.add_row(name, *(_rounded(report.metrics.get(name, "")) for report in reports))
    return result


def places(reports: Sequence[JobReport], *, out: Path) -> Table:
    result = Table.grid(padding=(0, 2))
    for _ in range(3):
        result.add_column(overflow="fold")
    for report in reports:
        result.add_row(report.name, "artifacts", "\n".join(report.artifacts) or "none")
        result.add_row("", "log", str(out / "logs" / f"{report.name}.log"))
        if report.stored_logs:
            result.add_row("", "log in the operator's store", report.stored_logs)
    result.add_row("all", "final manifests", str(out / "manifests"))
    return result


def learning_curve(log: str) -> list[dict[str, float]]:
    """The values of each epoch, in order, from the status lines in a log."""
    rows: dict[float, dict[str, float]] = {}
    for line in log.splitlines():
        with contextlib.suppress(ValueError, AttributeError):
            record = json.loads(line)
            if isinstance(record.get("epoch"), int | float) and record.get("graphical"):
                row = rows.setdefault(record["epoch"], {"epoch": record["epoch"]})
                row |= {name: float(value) for name, value in record["graphical"].items()}
    return [rows[epoch] for epoch in sorted(rows)]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"


def _rounded(value: str) -> str:
    with contextlib.suppress(ValueError):
        return f"{float(value):.4f}"
    return value
