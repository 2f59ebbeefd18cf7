"""Fake nodes for a control plane: KWOK plays the kubelets, by the Stages it is given.

Separate because it is started on demand, by tests of scheduling, storms and the bench. What a fake pod
does is written in `stages/`; other Stages can be given instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.harness import binaries, cache, console, podlogs, processes
from tests.harness.client import Json, wait_for
from tests.harness.controlplane import ControlPlane

STAGES = Path(__file__).parent / "stages"
DEFAULT_STAGES = (STAGES / "nodes.yaml", STAGES / "pods.yaml")
PARALLELISM = 64


def start(plane: ControlPlane, *, stages: Sequence[Path] = DEFAULT_STAGES, logs: Path | None = None) -> None:
    """Starts KWOK for all nodes of the control plane, anew if it runs by other Stages.

    With `logs` pods on nodes that are added from then on have logs: each prints that file's lines at its start (see
    `tests.harness.podlogs`). The control plane's end is its end.
    """
    if logs is not None:
        podlogs.start(plane, lines=logs)
    layout = plane.layout
    config = layout.folder / "programs" / "kwok.yaml"
    wanted = _configuration(stages)
    if plane.alive("kwok") and config.read_text() == wanted:
        return
    stop(plane)
    config.parent.mkdir(parents=True, exist_ok=True)
    cache.write_atomically(config, wanted)
    kubeconfig = plane.kubeconfig("kwok", groups=("system:masters",))
    argv = [str(binaries.ensure("kwok")["kwok"]), f"--kubeconfig={kubeconfig}", f"--config={config}"]
    processes.start(argv, pidfile=layout.pidfile("kwok"), log=layout.log("kwok"))


def stop(plane: ControlPlane) -> None:
    """Ends KWOK: to the cluster all fake nodes fall silent at once."""
    processes.stop(plane.layout.pidfile("kwok"))


def add_nodes(
    plane: ControlPlane, count: int, *, gpus: int = 0, prefix: str = "fake", cpus: int = 64
) -> None:
    """Adds fake nodes `<prefix>-0` and so on, where missing, and waits until they are Ready.

    Nodes with GPUs are tainted `nvidia.com/gpu:NoSchedule`, as GPU nodes are.
    """
    log_port = podlogs.port(plane)
    with plane.client() as client:
        names = [f"{prefix}-{number}" for number in range(count)]
        for name in names:
            if client.find(f"/api/v1/nodes/{name}") is None:
                client.post("/api/v1/nodes", node(name, gpus=gpus, cpus=cpus, log_port=log_port))

        def all_ready() -> bool:
            if not plane.alive("kwok"):
                raise console.failure("KWOK ended by itself or was never started", plane.log("kwok"))
            nodes = client.list("/api/v1/nodes")
            ready = {one["metadata"]["name"] for one in nodes if _ready(one)}
            return ready.issuperset(names)

        wait_for(all_ready, what=f"{count} fake nodes to be Ready", timeout=60)


def node(name: str, *, gpus: int = 0, cpus: int = 64, log_port: int | None = None) -> Json:
    """The manifest of a fake node; `log_port` is where logs of its pods are served."""
    resources = {"cpu": str(cpus), "memory": f"{cpus * 8}Gi", "pods": "1000"}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "type": "fake"}},
        "spec": {"taints": [taint] if gpus else []},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            **({} if log_port is None else podlogs.endpoint(log_port)),
        },
    }


def _ready(node: Json) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _configuration(stages: Sequence[Path]) -> str:
    options = {
        "manageAllNodes": True,
        "podPlayStageParallelism": PARALLELISM,
        "nodePlayStageParallelism": PARALLELISM,
        # Leases are what keeps a node Ready in the eyes of the controller manager.
        "nodeLeaseDurationSeconds": 40,
        "nodeLeaseParallelism": PARALLELISM,
    }
    header = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "metadata": {"name": "kwok"},
        "options": options,
    }
    return "\n---\n".join([yaml.safe_dump(header), *(stage.read_text() for stage in stages)])
