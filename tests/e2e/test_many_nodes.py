"""One network trained by two real pods together (jax.distributed), and what happens when one of them is killed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import chosen, demo, kindcluster
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(420)

EXAMPLES = demo.EXAMPLES.parent / "distributed"
#: So that an epoch lasts long enough to be interrupted in the middle.
LONGER = {"epochs": 30, "hidden_layer_sizes": [512, 256]}


@pytest.fixture(scope="module")
def trainer_jax_image(operator_installed: ClusterHandle) -> str:
    """The reference trainer with jax."""
    return chosen.image(operator_installed, "trainer-jax")


@pytest.fixture(scope="module")
def lab(operator_installed: ClusterHandle, trainer_image: str) -> Iterator[Jobs]:
    """A namespace with the example's data."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(operator_installed)
    with Client(operator_installed.kubeconfig, context=operator_installed.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        data = demo.manifests(EXAMPLES / "00-data.yaml", trainer=trainer_image)
        for one in data:
            one["spec"].pop("storageClassName", None)  # the cluster's own
            if one["kind"] == "Job":
                one["spec"]["template"]["spec"]["tolerations"] = [GPU_TOLERATION]
        kubectl.apply(data, namespace=name)
        fill = ("job/distributed-fill", f"--namespace={name}")
        kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
        kubectl.apply(demo.manifests(EXAMPLES / "10-dataset.yaml", trainer=trainer_image), namespace=name)
        yield Jobs(client, name)
        client.delete(f"/api/v1/namespaces/{name}")


def example(image: str, number: int) -> Json:
    """A job of the example, by the image of this checkout."""
    job = demo.manifests(EXAMPLES / "20-train.yaml", trainer=image)[number]
    job["spec"]["tolerations"] = [GPU_TOLERATION]
    return job


def train(jobs: Jobs, name: str, image: str, **parameters: Any) -> None:
    job = example(image, 0)
    job["metadata"]["name"] = name
    job["spec"] |= {"image": image, "parameters": {**job["spec"]["parameters"], **parameters}}
    jobs.client.post(jobs.path("trainingjobs"), job)


@pytest.fixture(scope="module")
def undisturbed(lab: Jobs, trainer_jax_image: str) -> Json:
    train(lab, "digits-on-two", trainer_jax_image, **LONGER)
    return lab.reaches("digits-on-two", "Done", "Completed", timeout=240)


def log(jobs: Jobs, pod: str) -> str:
    return jobs.client.text(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}/log")


def accuracy(status: Json) -> float:
    return float({metric["name"]: metric["value"] for metric in status["metrics"]}["accuracy"])


def test_two_pods_train_one_network(lab: Jobs, undisturbed: Json, trainer_image: str) -> None:
    assert accuracy(undisturbed) > 0.9
    assert undisturbed["progress"]["percent"] == 100
    assert [entry["number"] for entry in undisturbed["attempts"]] == [0]
    ranks = [log(lab, f"digits-on-two-0-{rank}") for rank in (0, 1)]
    epochs = [[json.loads(line) for line in text.splitlines() if '"epoch"' in line] for text in ranks]
    assert epochs[0], "rank 0 speaks for both"
    assert not any("accuracy" in line.get("kpi", {}) for line in epochs[1])
    lab.client.post(lab.path("trainingjobs"), example(trainer_image, 1))
    evaluated = lab.reaches("digits-on-two-eval", "Done", timeout=180)
    assert accuracy(evaluated) == pytest.approx(accuracy(undisturbed))


def test_a_rank_killed_in_the_middle_has_all_go_on_from_the_same_checkpoint(
    operator_installed: ClusterHandle, lab: Jobs, undisturbed: Json, trainer_jax_image: str
) -> None:
    if not operator_installed.made_by_us:
        pytest.skip("the processes on the nodes of a cluster of yours are yours")
    train(lab, "hit", trainer_jax_image, **LONGER)
    found(
        lambda: (lab.status("hit").get("progress") or {}).get("epoch", 0) >= 11,
        what="the middle of the training",
        timeout=180,
    )
    struck = lab.client.get(f"/api/v1/namespaces/{lab.namespace}/pods/hit-0-1")
    (trainer,) = struck["status"]["containerStatuses"]
    kindcluster.kill_container(operator_installed, trainer["containerID"])
    status = lab.reaches("hit", "Done", "Completed", timeout=240)
    assert len(status["attempts"]) == 2
    resumed = status["attempts"][1]["resumedFrom"]
    begun = [log(lab, f"hit-1-{rank}") for rank in (0, 1)]
    folder = resumed.rpartition("/")[2]
    assert all(folder in text for text in begun), "both ranks went on from the same checkpoint"
    first = [json.loads(line) for line in begun[0].splitlines() if line.startswith("{")]
    told = [line["epoch"] for line in first if line["message"].startswith("epoch ")]
    assert told[0] > 10, "what was saved is not done again"
    assert accuracy(status) == pytest.approx(accuracy(undisturbed), abs=0.01)
