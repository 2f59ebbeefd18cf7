"""A scheduler that knows groups of pods, beside that of the control plane: scheduler-plugins' Coscheduling.

Separate because it is started on demand, by tests of gang admission.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.harness import binaries, cache, console, gobuild, processes
from tests.harness.client import ApiError, Client, wait_for
from tests.harness.controlplane import ControlPlane

PROGRAM = "coscheduling"
SCHEDULER_NAME = "scheduler-plugins-scheduler"
_DEPENDENCY = "sigs.k8s.io/scheduler-plugins"
_CRD = "config/crd/bases/scheduling.x-k8s.io_podgroups.yaml"


def start(plane: ControlPlane) -> None:
    """Makes PodGroups known and starts the scheduler. The control plane's end is its end."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    with plane.client() as client:
        crd = yaml.safe_load(_definition().read_text())
        if client.find(f"{definitions}/{crd['metadata']['name']}") is None:
            client.post(definitions, crd)
        wait_for(lambda: _served(client), what="PodGroups to be served", timeout=30)
    layout = plane.layout
    config = layout.folder / "programs" / f"{PROGRAM}.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    kubeconfig = plane.kubeconfig(PROGRAM, groups=("system:masters",))
    cache.write_atomically(config, yaml.safe_dump(_configuration(kubeconfig), sort_keys=False))
    # NB: the plugin is not told of new nodes or of ended pods: what it has refused is looked at again when a pod is
    # created, or after this time, which is five minutes by default. The scheduler looks for such pods every 30 s.
    again = "--pod-max-in-unschedulable-pods-duration=5s"
    # NB: else a pod that backs off is tried at once when there is nothing better to do. A group that does not fit is
    # then tried some hundred times a second, one try's rejections hitting the pods of the next, until all of them were
    # rejected by the plugin and none for want of room: of a new node they hear half a minute later, if no such storm
    # has come in between. Backing off, the group is tried every few seconds for as long as it does not fit.
    patient = "--feature-gates=SchedulerPopFromBackoffQ=false"
    argv = [str(binaries.ensure(PROGRAM)[PROGRAM]), f"--config={config}", "--secure-port=0", again, patient]
    processes.start(argv, pidfile=layout.pidfile(PROGRAM), log=layout.log(PROGRAM))


def check(plane: ControlPlane) -> None:
    """Fails with the end of its log if the scheduler ended by itself."""
    if not plane.alive(PROGRAM):
        raise console.failure(
            "The scheduler of groups ended by itself or was never started", plane.log(PROGRAM)
        )


def _served(client: Client) -> bool:
    """NB: for a moment after its CRD was accepted a kind is not there, or answers that it is being set up."""
    try:
        return client.find("/apis/scheduling.x-k8s.io/v1alpha1/podgroups") is not None
    except ApiError as error:
        if error.status != 429:
            raise
        return False


def _definition() -> Path:
    """The CRD of PodGroups, of the version that is built."""

    def fill(folder: Path) -> None:
        log = cache.root() / "logs" / f"build-{PROGRAM}.log"
        gobuild.copy_file(PROGRAM, _DEPENDENCY, _CRD, target=folder / "podgroups.yaml", log=log)

    digest = cache.digest_of(_CRD, binaries.version(PROGRAM), *gobuild.module_inputs(PROGRAM))
    return cache.built("bin", digest, fill) / "podgroups.yaml"


def _configuration(kubeconfig: Path) -> dict[str, object]:
    own = [{"name": "Coscheduling"}]
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 500, "burst": 1000},
        "podMaxBackoffSeconds": 2,
        "profiles": [
            {
                "schedulerName": SCHEDULER_NAME,
                "plugins": {
                    "multiPoint": {"enabled": own},
                    "queueSort": {"enabled": own, "disabled": [{"name": "*"}]},
                },
                "pluginConfig": [{"name": "Coscheduling", "args": {"permitWaitingTimeSeconds": 10}}],
            }
        ],
    }
