"""A node dies under a training, on a cluster of two nodes that is made for that."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.harness import chart, chosen, kindcluster, kindnodes
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import CONTROL_PLANE_LABEL, GPU_TOLERATION
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(600)

CLUSTER_NAME = "test-node-loss"
#: Kubernetes finds a node silent after 50 s by default and after 20 s here, so that 90 s and 180 s are these.
TOLD_SECONDS = 60
REPLACED_SECONDS = 150
# Saves each epoch in a folder of its own and goes on from the last that an earlier attempt has saved.
TRAIN = """
import json, os, pathlib, time
folder, earlier = os.environ["TRAINYARD_CHECKPOINT_DIR"], os.environ.get("TRAINYARD_RESUME")
done = max((int(p.name[6:]) for p in pathlib.Path(earlier or "/nowhere").glob("epoch-*")), default=0)
for epoch in range(done + 1, 100000):
    time.sleep(0.5)
    saved = pathlib.Path(folder) / f"epoch-{epoch:06}"
    saved.mkdir(parents=True)
    (saved / "manifest.json").write_text(json.dumps({"epoch": epoch, "attempt": os.environ["TRAINYARD_ATTEMPT"]}))
    line = {"epoch": epoch, "max_epoch": 100000, "status": "RUNNING"}
    print(json.dumps({**line, "checkpoint": {"epoch": epoch, "path": str(saved)}}))
"""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[ClusterHandle]:
    """Two nodes and the operator on the one that is not lost."""
    if os.environ.get("CLUSTER", "kind") != "kind":
        pytest.skip("the nodes of a cluster of yours are not ours to lose")
    handle = kindcluster.up(CLUSTER_NAME, nodes=2)
    here = {"nodeSelector": {CONTROL_PLANE_LABEL: ""}, "settings": {"progress": {"intervalSeconds": 1}}}
    images = {"operator": chosen.image(handle, "operator"), "trainer": chosen.image(handle, "trainer")}
    chart.install(handle, **images, more=here)
    yield handle
    if not os.environ.get("KEEP_CLUSTER"):
        kindcluster.down(CLUSTER_NAME)


@pytest.fixture(scope="module")
def image(two_nodes: ClusterHandle) -> str:
    return chosen.python_image(two_nodes)


@pytest.fixture
def on_two_nodes(two_nodes: ClusterHandle) -> Iterator[Jobs]:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    with Client(two_nodes.kubeconfig, context=two_nodes.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        yield Jobs(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


def train_on(jobs: Jobs, name: str, image: str, *, node: str, grace: int = 30) -> None:
    """A job that saves each epoch and would rather be on `node`."""
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims",
        {"metadata": {"name": name}, "spec": claim},
    )
    there = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    spec = {
        "image": image,
        "command": ["python3", "-uc", TRAIN],
        "action": "custom",
        "tolerations": [GPU_TOLERATION],
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": there}]
            }
        },
        "output": {"claimName": name},
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
        "gracePeriodSeconds": grace,
        "backoffLimit": 0,
    }
    jobs.client.post(jobs.path("trainingjobs"), manifest("TrainingJob", name, spec))
    jobs.reaches(name, "Running", "Training", timeout=60)
    assert pod_of(jobs, f"{name}-0-0")["spec"]["nodeName"] == node
    found(lambda: epoch_of(jobs, name) >= 3, what="some checkpoints", timeout=30)


def epoch_of(jobs: Jobs, name: str) -> float:
    return float((jobs.status(name).get("lastCheckpoint") or {}).get("epoch") or 0)


def pod_of(jobs: Jobs, name: str) -> Json:
    return jobs.client.get(f"/api/v1/namespaces/{jobs.namespace}/pods/{name}")


def worker_of(jobs: Jobs) -> str:
    (worker,) = kindnodes.gpu_nodes(jobs.client.list("/api/v1/nodes"))
    return str(worker["metadata"]["name"])


def epochs_trained(jobs: Jobs, pod: str) -> list[int]:
    log = jobs.client.text(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}/log")
    return [json.loads(line)["epoch"] for line in log.splitlines() if line.startswith("{")]


def test_a_training_on_a_node_that_dies_goes_on_elsewhere_from_its_checkpoint(
    two_nodes: ClusterHandle, on_two_nodes: Jobs, image: str
) -> None:
    jobs = on_two_nodes
    worker = worker_of(jobs)
    train_on(jobs, "long", image, node=worker)
    with kindcluster.frozen(two_nodes, worker):
        died = time.monotonic()
        lost = jobs.reaches("long", "Running", "NodeLost", timeout=TOLD_SECONDS)
        assert worker in lost["message"]
        jobs.announces("long", "NodeLost")
        saved = epoch_of(jobs, "long")
        left = died + REPLACED_SECONDS - time.monotonic()
        again = found(
            lambda: (s := jobs.status("long")).get("reason") == "Training" and len(s["attempts"]) == 2 and s,
            what="the second attempt to train",
            timeout=left,
        )
        entry = again["attempts"][0]
        assert (entry["reason"], entry["counted"]) == ("NodeLost", False)
        assert "failures" not in again
        assert pod_of(jobs, "long-1-0")["spec"]["nodeName"] != worker
        given_up = pod_of(jobs, "long-0-0")["metadata"]
        assert given_up["deletionTimestamp"]
        assert not given_up.get("finalizers"), "nothing of ours keeps a pod that was given up"
        epochs = found(lambda: epochs_trained(jobs, "long-1-0"), what="its epochs", timeout=30)
        assert epochs[0] > saved - 1, "the epoch count goes on, it does not start again"
    # The node is back: it ends the pod of its own accord, and the job is left alone.
    found(
        lambda: not any(pod["metadata"]["name"] == "long-0-0" for pod in jobs.pods("long")),
        what="the old pod to go",
        timeout=90,
    )
    status = jobs.status("long")
    assert (status["reason"], len(status["attempts"])) == ("Training", 2)
    epochs = epochs_trained(jobs, "long-1-0")
    assert epochs == list(range(epochs[0], epochs[0] + len(epochs))), "nobody else saved in its folder"


def test_a_drained_node_hands_its_training_to_another(on_two_nodes: Jobs, image: str) -> None:
    jobs = on_two_nodes
    worker = worker_of(jobs)
    train_on(jobs, "drained", image, node=worker, grace=2)
    path = f"/api/v1/nodes/{worker}"
    jobs.client.patch(path, {"spec": {"unschedulable": True}})
    try:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "drained-0-0"}}
        jobs.client.post(f"/api/v1/namespaces/{jobs.namespace}/pods/drained-0-0/eviction", eviction)
        again = found(
            lambda: (
                (s := jobs.status("drained")).get("reason") == "Training" and len(s["attempts"]) == 2 and s
            ),
            what="the second attempt to train",
            timeout=90,
        )
        assert again["attempts"][0]["reason"] == "Evicted"
        assert pod_of(jobs, "drained-1-0")["spec"]["nodeName"] != worker
        epochs = found(lambda: epochs_trained(jobs, "drained-1-0"), what="its epochs", timeout=30)
        assert epochs[0] > 1, "from the last checkpoint"
    finally:
        jobs.client.patch(path, {"spec": {"unschedulable": None}})
