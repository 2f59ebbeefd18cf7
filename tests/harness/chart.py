"""The operator in a cluster, installed from the chart as a user installs it.

Separate because the demo and the fixtures of tests/e2e need the same one. Called by both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.harness import binaries, cache, console
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError
from tests.harness.kubectl import Json, Kubectl

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts" / "trainyard"
CRDS = REPOSITORY / "crds"
RELEASE = "trainyard"
NAMESPACE = "trainyard-system"
SELECTOR = f"app.kubernetes.io/name=trainyard,app.kubernetes.io/instance={RELEASE}"
READY_SECONDS = 120
# Above the limit of the chart's own hook.
UNINSTALL_SECONDS = 300
# A lone node of our clusters carries it, and so do many GPU nodes.
GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def install(
    handle: ClusterHandle,
    *,
    operator: str,
    agent: str,
    data: str,
    tuner: str,
    trainer: str,
    publisher: str = "",
    more: Mapping[str, Any] | None = None,
) -> None:
    """CRDs and chart, new or brought up to date; returns when the operator is ready.

    `operator`, `agent`, `data`, `tuner` and `trainer` are images that the nodes have or can pull; `more` are values of
    the chart that go before these. `publisher` is for tests that publish. Raises HarnessError
    that says what the operator's pod is stuck on.
    """
    kubectl = Kubectl(handle)
    with console.step("Installing the operator"), _diagnosed(kubectl):
        _clear_interrupted(handle)
        ours = values(
            operator=operator, agent=agent, data=data, tuner=tuner, trainer=trainer, publisher=publisher
        )
        # NB: Helm never changes CRDs that are there.
        kubectl.run("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
        kubectl.run("wait", "--for=condition=Established", f"--filename={CRDS}", "--timeout=30s")
        console.run(
            [
                *helm(handle),
                *("upgrade", RELEASE, CHART, "--install", f"--namespace={NAMESPACE}", "--create-namespace"),
                *("--values=-", "--wait", f"--timeout={READY_SECONDS}s", "--history-max=3"),
            ],
            log=log_file(),
            stdin=yaml.safe_dump(merged(ours, more or {})),
            timeout=READY_SECONDS + 60,
        )


def uninstall(handle: ClusterHandle, *, hooks: bool = True) -> None:
    """Removes the release; its namespace, the CRDs, and with these the users' objects, stay."""
    words = ["uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait"]
    with console.step("Removing the operator"):
        console.run(
            [*helm(handle), *words, *([] if hooks else ["--no-hooks"])],
            log=log_file(),
            timeout=UNINSTALL_SECONDS,
        )


def _clear_interrupted(handle: ClusterHandle) -> None:
    """Removes a release that a killed run left half-installed or half-removed, which Helm refuses to upgrade."""
    words = ("list", f"--namespace={NAMESPACE}", "--pending", "--uninstalling", "--short")
    stuck = console.capture([*helm(handle), *words], log=log_file(), timeout=60).split()
    if RELEASE in stuck and handle.made_by_us:
        # NB: the hook's image may be what the killed run lacked; finalizers are the next operator's to take off.
        uninstall(handle, hooks=False)


def values(*, operator: str, agent: str, data: str, tuner: str, trainer: str, publisher: str = "") -> Json:
    """The chart's values for a cluster whose nodes were handed their images."""
    if ":" not in operator.rpartition("/")[2]:
        operator += ":latest"
    repository, _, tag = operator.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "settings": {
            "agent": {"image": agent, "tolerations": [GPU_TOLERATION]},
            "data": {"image": data, "tolerations": [GPU_TOLERATION]},
            "tuner": {"image": tuner, "tolerations": [GPU_TOLERATION]},
            "images": {
                "reference": trainer,
                "reference-data": data,
                **({"publisher": publisher} if publisher else {}),
            },
            "imagePullPolicy": "IfNotPresent",
        },
        "tolerations": [GPU_TOLERATION],
    }


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Values as Helm merges them: maps key by key, everything else whole."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        result[key] = value
    return result


def helm(handle: ClusterHandle) -> list[str | Path]:
    """The beginning of every command line of Helm's."""
    program = binaries.ensure("helm")["helm"]
    return [program, f"--kubeconfig={handle.kubeconfig}", f"--kube-context={handle.context}"]


def log_file() -> Path:
    return cache.root() / "logs" / "helm.log"


@contextlib.contextmanager
def _diagnosed(kubectl: Kubectl) -> Iterator[None]:
    """Adds to an error what the operator's pods say: Helm only says that it has waited in vain."""
    try:
        yield
    except HarnessError as error:
        raise HarnessError(f"{error}\n{troubles(kubectl)}".rstrip()) from error


def troubles(kubectl: Kubectl, *, lines: int = 20) -> str:
    """What the operator's pods wait for, and the end of their logs; empty where there are none."""
    found = []
    with contextlib.suppress(HarnessError):
        for pod in kubectl.items("pods", f"--namespace={NAMESPACE}", f"--selector={SELECTOR}"):
            name, status = pod["metadata"]["name"], pod.get("status", {})
            found.append(f"Pod {name} is {status.get('phase')}{_waits_for(status)}")
            found += [f"  {line}" for line in _log(kubectl, name, status, lines=lines)]
    return "\n".join(found)


def _log(kubectl: Kubectl, pod: str, status: Json, *, lines: int) -> list[str]:
    """The end of the log of the operator's last container that has one."""
    restarts = sum(container["restartCount"] for container in status.get("containerStatuses", []))
    which = ["--previous"] if restarts else []
    with contextlib.suppress(HarnessError):
        return kubectl.run("logs", pod, f"--namespace={NAMESPACE}", f"--tail={lines}", *which).splitlines()
    return []


def _waits_for(status: Json) -> str:
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            return f": {waiting.get('reason')}, {waiting.get('message', 'no message')}"
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return f": {condition.get('message', condition.get('reason'))}"
    return ""
