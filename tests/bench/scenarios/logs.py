"""What followed logs cost: 0, 100 and 500 pods that run and print nothing, and the same load beside them.

Separate because it is the only scenario in which the operator is at work before the load begins: it follows the logs of
long jobs already. What the jobs themselves take is not counted as their logs': an operator that follows none is
measured with the same jobs first.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import contenders, rig, sample, stats, trial, usage
from tests.bench.sample import Sample
from tests.bench.trial import Load, Trial
from tests.harness import console
from tests.harness.client import wait_for
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator

FOLLOWED = (0, 100, 500)
NAMESPACE = "followed"
STATUS_LINE = (
    '{"status": "RUNNING", "message": "Epoch 3 of 10", "epoch": 3, "max_epoch": 10, "step": 120, "max_step": 1000, '
    '"eta": "0:07:14", "time_per_epoch": "0:00:42", "graphical": {"loss": 0.1234, "lr": 0.0001}, '
    '"kpi": {"accuracy": 0.9123}}\n'
)
_NO_LOGS = {"logs": {"follow": False}}
_LOGS = {"logs": {"follow": True}}
_SETTLE_SECONDS = 30.0


def run(
    *,
    folder: Path,
    followed: Sequence[int] = FOLLOWED,
    burst: int = 500,
    steady: int = 60,
    idle_seconds: float = 30.0,
) -> list[dict[str, Any]]:
    """For each number of followed pods, on a fresh cluster: what they cost while nothing happens, and how a burst of
    `burst` jobs and `steady` jobs at one a second fare beside them. `folder` is for files.
    """
    lines = folder / "lines"
    lines.write_text(STATUS_LINE, encoding="utf-8")
    found = []
    for count in followed:
        with rig.cluster(f"bench-logs-{count}", logs=lines) as plane:
            found.append(_on(plane, count, burst=burst, steady=steady, idle_seconds=idle_seconds))
    return found


def _on(plane: ControlPlane, count: int, *, burst: int, steady: int, idle_seconds: float) -> dict[str, Any]:
    found = sample.sample(plane)
    _make_jobs(plane, found, count)
    with _operator(plane, _NO_LOGS, count) as operator:
        without = _idle(operator, idle_seconds)
    idle: list[dict[str, float]] = []

    @contextmanager
    def program(plane: ControlPlane, settings: Mapping[str, Any]) -> Iterator[contenders.Pids]:
        with _operator(plane, settings, count) as operator:
            if not idle:
                idle.append(_idle(operator, idle_seconds))
            yield {"operator": operator.daemon.pid}

    ours = dataclasses.replace(contenders.TRAINYARD, program=program)
    loads = [Load(jobs=burst, namespace="burst"), Load(jobs=steady, rate=1.0, namespace="steady")]
    trials = [trial.run(plane, ours, load, found, settings=_LOGS) for load in loads if load.jobs]
    return {
        "followed": count,
        "idle": {
            "cpuPercent": idle[0]["cpuPercent"],
            "cpuPercentOfLogs": idle[0]["cpuPercent"] - without["cpuPercent"],
            "pssMiB": idle[0]["pssMiB"],
            "kilobytesPerStream": (idle[0]["pssMiB"] - without["pssMiB"]) * 1024 / count if count else None,
        },
        **{one.load.namespace: _figures(one) for one in trials},
    }


@contextmanager
def _operator(plane: ControlPlane, settings: Mapping[str, Any], count: int) -> Iterator[Operator]:
    """The operator, when it follows all that it is to follow and nothing is left to do."""
    with rig.operator(plane, settings=settings) as operator:
        if settings["logs"]["follow"]:
            wait_for(
                lambda: operator.metrics()["trainyard_log_streams"] == count,
                what=f"{count} logs to be followed",
                timeout=120,
            )
        time.sleep(_SETTLE_SECONDS)
        yield operator


def _make_jobs(plane: ControlPlane, found: Sample, count: int) -> None:
    """So many jobs that run for ever."""
    rig.make_namespace(plane, NAMESPACE)
    if not count:
        return
    forever = sample.job(run_for="24h")
    load = Load(jobs=count, namespace=NAMESPACE)
    with (
        console.step(f"Starting {count} jobs that go on"),
        rig.operator(plane, settings=_NO_LOGS),
        trial.loading(plane, (forever,), load),
        plane.client() as client,
    ):
        path = f"/apis/trainyard.dev/v1alpha1/namespaces/{NAMESPACE}/trainingjobs"

        def running() -> bool:
            phases = [(job.get("status") or {}).get("phase") for job in client.list(path)]
            return phases.count("Running") == count

        wait_for(running, what=f"{count} jobs to run", timeout=180, every=1.0)


def _idle(operator: Operator, seconds: float) -> dict[str, float]:
    pid = operator.daemon.pid
    began, before = time.monotonic(), usage.cpu_seconds(pid)
    time.sleep(seconds)
    percent = (usage.cpu_seconds(pid) - before) / (time.monotonic() - began) * 100
    return {"cpuPercent": percent, "pssMiB": usage.pss_mib(pid)}


def _figures(of: Trial) -> dict[str, float]:
    figures = {
        "jobsPerSecond": of.jobs_a_second,
        "operatorCpuMsPerJob": of.spent.cpu["operator"] / of.load.jobs * 1000,
        "othersShare": of.spent.others,
    }
    for name, start, end in (("podCreated", "sent", "created"), ("done", "ended", "done")):
        milliseconds = [seconds * 1000 for seconds in of.times.seconds(start, end).values()]
        if milliseconds:
            figures |= {
                f"{name}P50": stats.percentile(milliseconds, 50),
                f"{name}P99": stats.percentile(milliseconds, 99),
            }
    return figures
