"""A node dies under a training, on a cluster of two nodes that is made for that."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e import chained
from tests.harness import chart, chosen, kindcluster, kindnodes, s3pod
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import CONTROL_PLANE_LABEL
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(600)

CLUSTER_NAME = "test-node-loss"
#: Kubernetes finds a node silent after 50 s by default and after 20 s here, so that 90 s and 180 s are these.
TOLD_SECONDS = 60
REPLACED_SECONDS = 150
#: What is trained is over some time after the node has come back.
EPOCHS = 70


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[ClusterHandle]:
    """Two nodes and the operator on the one that is not lost."""
    if os.environ.get("CLUSTER", "kind") != "kind":
        pytest.skip("the nodes of a cluster of yours are not ours to lose")
    handle = kindcluster.up(CLUSTER_NAME, nodes=2)
    here = {"nodeSelector": {CONTROL_PLANE_LABEL: ""}, "settings": {"progress": {"intervalSeconds": 1}}}
    chart.install(
        handle,
        operator=chosen.image(handle, "operator"),
        agent=chosen.image(handle, "agent"),
        # NB: as good as any, as no job here runs by the catalogue or has a dataset; loading them takes half a minute.
        data=chosen.python_image(handle),
        tuner=chosen.python_image(handle),
        trainer=chosen.python_image(handle),
        more=here,
    )
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


def train_on(
    jobs: Jobs, name: str, image: str, *, node: str, output: Json, epochs: int = 100_000, grace: int = 30
) -> None:
    """A job that saves each epoch and would rather be on `node`."""
    there = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    spec = chained.spec(
        image,
        epochs=epochs,
        seconds=0.5,
        size=1 << 16,
        affinity={
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": there}]
            }
        },
        output=output,
        backoffLimit=0,
        uploadSeconds=20,
    )
    jobs.client.post(
        jobs.path("trainingjobs"), manifest("TrainingJob", name, spec | {"gracePeriodSeconds": grace})
    )


def under_way(jobs: Jobs, name: str, *, node: str) -> None:
    jobs.reaches(name, "Running", "Training", timeout=90)
    assert pod_of(jobs, f"{name}-0-0")["spec"]["nodeName"] == node
    found(lambda: epoch_of(jobs, name) >= 3, what="some checkpoints", timeout=60)


def a_claim(jobs: Jobs, name: str) -> Json:
    """An output in a volume claim of its own."""
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims",
        {"metadata": {"name": name}, "spec": claim},
    )
    return {"claimName": name}


@contextlib.contextmanager
def unschedulable(jobs: Jobs, node: str) -> Iterator[None]:
    jobs.client.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
    try:
        yield
    finally:
        jobs.client.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})


def epoch_of(jobs: Jobs, name: str) -> float:
    return float((jobs.status(name).get("lastCheckpoint") or {}).get("epoch") or 0)


def pod_of(jobs: Jobs, name: str) -> Json:
    return jobs.client.get(f"/api/v1/namespaces/{jobs.namespace}/pods/{name}")


def worker_of(jobs: Jobs) -> str:
    (worker,) = kindnodes.gpu_nodes(jobs.client.list("/api/v1/nodes"))
    return str(worker["metadata"]["name"])


def epochs_trained(jobs: Jobs, pod: str) -> list[int]:
    log = jobs.client.text(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}/log")
    return [json.loads(line)["epoch"] for line in log.splitlines() if '"epoch"' in line]


def replaced(jobs: Jobs, name: str, *, worker: str, before: float) -> None:
    """Until the second attempt trains on another node, with the record of the first one right."""
    again = found(
        lambda: (s := jobs.status(name)).get("reason") == "Training" and len(s["attempts"]) == 2 and s,
        what=f"the second attempt of {name} to train",
        timeout=before - time.monotonic(),
    )
    entry = again["attempts"][0]
    assert (entry["reason"], entry["counted"]) == ("NodeLost", False)
    assert "failures" not in again
    assert pod_of(jobs, f"{name}-1-0")["spec"]["nodeName"] != worker
    given_up = pod_of(jobs, f"{name}-0-0")["metadata"]
    assert given_up["deletionTimestamp"]
    assert not given_up.get("finalizers"), "nothing of ours keeps a pod that was given up"


def test_a_training_on_a_node_that_dies_goes_on_elsewhere_and_what_comes_back_overwrites_nothing(
    two_nodes: ClusterHandle, on_two_nodes: Jobs, image: str
) -> None:
    """One that stores to a volume, and one that stores to a bucket."""
    jobs = on_two_nodes
    worker = worker_of(jobs)
    with unschedulable(jobs, worker):
        store = s3pod.install(two_nodes, jobs.namespace)
    Kubectl(two_nodes).apply([store.secret("keys")], namespace=jobs.namespace)
    bucket = {
        "uri": f"s3://{store.bucket}/team",
        "endpoint": store.endpoint,
        "secretRef": {"name": "keys"},
    }
    train_on(jobs, "long", image, node=worker, output=a_claim(jobs, "long"))
    train_on(jobs, "stored", image, node=worker, output=bucket, epochs=EPOCHS)
    under_way(jobs, "long", node=worker)
    under_way(jobs, "stored", node=worker)
    with kindcluster.frozen(two_nodes, worker):
        died = time.monotonic()
        lost = jobs.reaches("long", "Running", "NodeLost", timeout=TOLD_SECONDS)
        assert worker in lost["message"]
        jobs.announces("long", "NodeLost")
        saved = epoch_of(jobs, "long")
        replaced(jobs, "long", worker=worker, before=died + REPLACED_SECONDS)
        replaced(jobs, "stored", worker=worker, before=died + REPLACED_SECONDS)
        epochs = found(lambda: epochs_trained(jobs, "long-1-0"), what="its epochs", timeout=30)
        assert epochs[0] > saved - 6, "it goes on from what was safe, and does not start again"
        first = int(saved)
    # The node is back: its trainers go on where they were until they are ended, and the jobs are left alone.
    found(
        lambda: not {pod["metadata"]["name"] for pod in jobs.pods()} & {"long-0-0", "stored-0-0"},
        what="the old pods to go",
        timeout=120,
    )
    status = jobs.status("long")
    assert (status["reason"], len(status["attempts"])) == ("Training", 2)
    epochs = epochs_trained(jobs, "long-1-0")
    assert epochs == list(range(epochs[0], epochs[0] + len(epochs))), "nobody else saved in its folder"
    done = jobs.reaches("stored", "Done", "Completed", timeout=120)
    assert len(done["attempts"]) == 2
    uid = jobs.get("stored")["metadata"]["uid"]
    objects = store.objects(f"team/{uid}")
    for path, data in chained.result(EPOCHS, size=1 << 16).items():
        assert objects[f"team/{uid}/attempt-1/{path}"] == data
    assert json.loads(objects[f"team/{uid}/result.json"])["attempt"] == 1
    claim = json.loads(objects[f"team/{uid}/claims/attempt-1.json"])
    assert claim["resume"]["attempt"] == 0
    assert claim["resume"]["epoch"] <= first + 10, "not what the lost node has saved after it came back"
    index = json.loads(objects[f"team/{uid}/attempt-0/checkpoints/index.json"])["checkpoints"]
    assert max(entry["epoch"] for entry in index) == claim["resume"]["epoch"], "it promotes nothing any more"


def test_a_drained_node_hands_its_training_to_another(on_two_nodes: Jobs, image: str) -> None:
    jobs = on_two_nodes
    worker = worker_of(jobs)
    train_on(jobs, "drained", image, node=worker, output=a_claim(jobs, "drained"), grace=2)
    under_way(jobs, "drained", node=worker)
    with unschedulable(jobs, worker):
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
