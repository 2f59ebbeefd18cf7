"""What is read from nodes, pods and deployments, and what is patched into them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.kindnodes import GPU_TOLERATION, gpu_nodes, rolled_out, system_patch

CONTROL_PLANE = {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}
WORKER: dict[str, Any] = {"metadata": {"labels": {}}}
OTHER_TOLERATION = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


def a_deployment(*, replicas: int = 2, tolerations: list[dict[str, str]] | None = None) -> dict[str, Any]:
    containers = [{"name": "coredns", "readinessProbe": {"periodSeconds": 10}}, {"name": "other"}]
    spec = {"tolerations": tolerations or [], "containers": containers}
    return {"spec": {"replicas": replicas, "template": {"spec": spec}}}


def test_gpus_are_the_workers() -> None:
    assert gpu_nodes([CONTROL_PLANE, WORKER]) == [WORKER]


def test_gpus_are_a_lone_nodes() -> None:
    assert gpu_nodes([CONTROL_PLANE]) == [CONTROL_PLANE]


def test_the_system_comes_to_tolerate_the_taint_of_a_lone_node() -> None:
    patch = system_patch(a_deployment(tolerations=[OTHER_TOLERATION]), tolerate_gpus=True)
    pod = patch["spec"]["template"]["spec"]
    assert pod["tolerations"] == [OTHER_TOLERATION, GPU_TOLERATION]
    assert pod["containers"] == [{"name": "coredns", "readinessProbe": {"periodSeconds": 1}}]
    assert patch["spec"]["replicas"] == 1


def test_the_system_keeps_off_gpu_nodes_where_there_are_others() -> None:
    patch = system_patch(a_deployment(tolerations=[GPU_TOLERATION]), tolerate_gpus=False)
    assert patch["spec"]["template"]["spec"]["tolerations"] == []


def test_a_patched_deployment_is_not_patched_again() -> None:
    assert system_patch(a_deployment(replicas=1, tolerations=[GPU_TOLERATION]), tolerate_gpus=True) == {}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True),
        ({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}, False),
        ({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}, False),
        ({}, False),
    ],
    ids=["done", "change not seen yet", "an old pod is left", "not available", "no status"],
)
def test_a_rollout_has_ended(status: dict[str, int], *, expected: bool) -> None:
    deployment = {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}
    assert rolled_out(deployment) is expected
