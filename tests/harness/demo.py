"""`python -m tests.harness.demo`, which is `make demo`: from nothing to trained models on a real cluster.

Separate because it is the whole product seen from outside: the cluster, the images, the chart, and
examples/quickstart applied as a user would. What it found goes to `demo_report`. A second run finds the
cluster and the images there and begins with a fresh namespace.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.harness import (
    cache,
    chart,
    chosen,
    console,
    demo_callbacks,
    demo_report,
    demo_watch,
)
from tests.harness.errors import HarnessError
from tests.harness.kindnodes import GPU_RESOURCE
from tests.harness.kubectl import Json, Kubectl

CLUSTER_NAME = "dev"
NAMESPACE = "quickstart"
# On the namespaces that the demo made, and so may delete.
DEMO_LABEL = "trainyard.dev/demo"
EXAMPLES = chart.REPOSITORY / "examples" / "quickstart"
OUT = chart.REPOSITORY / "out" / "demo"
# The image that the examples name; here it is what was built from images/trainer.
TRAINER_IMAGE = "trainyard/trainer"
DATA_SECONDS = 180
JOBS_SECONDS = 420
CALLBACK_SECONDS = 60


class Stopwatch:
    """How long each part took, in order."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self.parts[name] = time.monotonic() - begin

    def line(self) -> str:
        total = time.monotonic() - self.started
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.parts.items())
        return f"{total:.0f} s in all: {parts}"


def run() -> bool:
    """The demo; False if a job did not get done. Raises HarnessError for everything that is in its way."""
    watch = Stopwatch()
    cache.remove_tree(OUT)
    OUT.mkdir(parents=True)
    with watch.part("cluster"):
        handle = chosen.cluster(CLUSTER_NAME)
    kubectl = Kubectl(handle)
    _delete_earlier(kubectl)
    with watch.part("images"):
        operator, trainer = chosen.image(handle, "operator"), chosen.image(handle, "trainer")
        agent, data = chosen.image(handle, "agent"), chosen.image(handle, "data")
        tuner, publisher = chosen.image(handle, "tuner"), chosen.image(handle, "publisher")
    with watch.part("operator"):
        more = demo_callbacks.values(kubectl)
        ours = {"operator": operator, "agent": agent, "data": data, "tuner": tuner, "publisher": publisher}
        chart.install(handle, **ours, trainer=trainer, more=more)
    with watch.part("data"):
        _make_namespace(kubectl)
        _fill(kubectl, trainer)
    with watch.part("training"):
        gpus = offers_gpus(kubectl)
        if not gpus:
            console.say("No node offers nvidia.com/gpu: the examples run without their `accelerator`.")
        for file in sorted(EXAMPLES.glob("[1-9]*.yaml")):
            kubectl.apply(manifests(file, trainer=trainer, gpus=gpus), namespace=NAMESPACE)
        outcome = demo_watch.until_finished(kubectl, NAMESPACE, timeout=JOBS_SECONDS)
    with watch.part("callbacks"):
        told = demo_callbacks.until_told(kubectl, NAMESPACE, timeout=CALLBACK_SECONDS)
    with watch.part("report"):
        report = demo_report.gather(kubectl, NAMESPACE, out=OUT)
        demo_report.show(report, told, kubectl=kubectl, namespace=NAMESPACE, out=OUT)
    console.say(watch.line())
    return outcome and all(one.good for one in told)


def _delete_earlier(kubectl: Kubectl) -> None:
    """Begins to delete an earlier run's namespace. NB: never one that somebody else has made."""
    words = ("namespaces", f"--field-selector=metadata.name={NAMESPACE}")
    for namespace in kubectl.items(*words):
        if DEMO_LABEL not in namespace["metadata"].get("labels", {}):
            raise HarnessError(
                f"There is a namespace {NAMESPACE} that the demo has not made. Delete it, or label it"
                f" {DEMO_LABEL}=true if what is in it can go."
            )
        kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


def _make_namespace(kubectl: Kubectl) -> None:
    with console.step(f"A fresh namespace {NAMESPACE}"):
        # NB: only now, for it is the operator that lets go of an earlier run's pods.
        kubectl.run("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=120s", timeout=130)
        labels = {DEMO_LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"}
        kubectl.apply(
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}]
        )


def _fill(kubectl: Kubectl, trainer: str) -> None:
    with console.step("Sample data into a volume"):
        kubectl.apply(manifests(EXAMPLES / "00-data.yaml", trainer=trainer), namespace=NAMESPACE)
        where = f"--namespace={NAMESPACE}"
        deadline = time.monotonic() + DATA_SECONDS
        while not (conditions := _ended(kubectl.get("job", "quickstart-fill", where))):
            if time.monotonic() > deadline:
                raise HarnessError(f"The data was not there after {DATA_SECONDS} s:\n{_fill_says(kubectl)}")
            time.sleep(0.5)
        if "Complete" not in conditions:
            raise HarnessError(f"The job quickstart-fill failed:\n{_fill_says(kubectl)}")


def _ended(job: Json) -> list[str]:
    conditions = job.get("status", {}).get("conditions", [])
    return [
        one["type"] for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"
    ]


def _fill_says(kubectl: Kubectl) -> str:
    where = f"--namespace={NAMESPACE}"
    selector = "--selector=batch.kubernetes.io/job-name=quickstart-fill"
    pods = kubectl.run("get", "pods", where, selector, "--output=wide")
    events = kubectl.run("get", "events", where, "--sort-by=.lastTimestamp")
    return "\n".join([pods, *events.splitlines()[-10:]])


def offers_gpus(kubectl: Kubectl) -> bool:
    """Whether any node does: those of ours pretend to, a cluster of the user's may have none."""
    return any(GPU_RESOURCE in node["status"].get("allocatable", {}) for node in kubectl.items("nodes"))


def manifests(file: Path, *, trainer: str, namespace: str = NAMESPACE, gpus: bool = True) -> list[Json]:
    """The objects of an example for `namespace`, with the trainer's image that this checkout was built into.

    Without `gpus` no job asks for any.
    """
    objects = [one for one in yaml.safe_load_all(file.read_text()) if one]
    for one in objects:
        if one["kind"] == "TrainingJob":
            demo_callbacks.in_namespace(one, namespace)
        if one["kind"] in ("TrainingJob", "Experiment", "MLModel") and not gpus:
            _without_gpus(one["spec"])
        if one["kind"] in ("Job", "Deployment"):
            for container in one["spec"]["template"]["spec"]["containers"]:
                if container["image"].partition(":")[0] == TRAINER_IMAGE:
                    container["image"] = trainer
    return objects


def _without_gpus(spec: Json) -> None:
    """Takes `accelerator` out of the spec of a job and of every template of one below it."""
    spec.pop("accelerator", None)
    for value in spec.values():
        for below in value if isinstance(value, list) else [value]:
            if isinstance(below, dict):
                _without_gpus(below)


def main() -> None:
    """Exits with 1 if the demo could not be carried out or a job failed, 130 if it was interrupted."""
    try:
        done = run()
    except HarnessError as error:
        console.complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        console.say("Interrupted. The cluster stays up; `make demo` goes on from here.")
        sys.exit(130)
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
