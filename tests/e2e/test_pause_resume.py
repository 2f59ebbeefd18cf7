"""Real trainings that are stopped in the middle and go on: no epoch is lost, none is done twice that was saved."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import demo, kindcluster
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(300)

EPOCHS = 40
#: An epoch takes a while, and what is lost by a kill can be told from what was saved.
NETWORK = {"epochs": EPOCHS, "hidden_layer_sizes": [512, 512], "checkpoint_every": 10, "random_seed": 7}
HALFWAY = 13
AS_A_USER = {"spec": {"securityContext": {"runAsUser": 65532}}}


class Lab(Jobs):
    """A namespace with the digits, a claim for models, and what these tests do there."""

    def __init__(self, client: Client, namespace: str, kubectl: Kubectl) -> None:
        super().__init__(client, namespace)
        self.kubectl = kubectl

    def train(self, name: str, **spec: Any) -> None:
        body = {
            "type": "neural_network",
            "datasets": {"train": ["digits"]},
            "parameters": NETWORK,
            "output": {"claimName": "quickstart-output"},
            "tolerations": [GPU_TOLERATION],
            "gracePeriodSeconds": 20,
            **spec,
        }
        self.client.post(self.path("trainingjobs"), manifest("TrainingJob", name, body))

    def change(self, name: str, **spec: Any) -> None:
        self.client.patch(self.path("trainingjobs", name), {"spec": spec})

    def halfway(self, name: str) -> None:
        """Until status tells of an epoch in the middle."""

        def there() -> bool:
            return (self.status(name).get("progress") or {}).get("epoch", 0) >= HALFWAY

        found(there, what=f"{name} to be in the middle", timeout=120)

    def log(self, name: str, attempt: int) -> str:
        """The whole log of an attempt, from its pod or from the store."""
        argv = [sys.executable, "-m", "trainyard", "logs", name, f"--attempt={attempt}", "-n", self.namespace]
        done = subprocess.run(
            [*argv, *self.kubectl.flags], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def epochs(self, name: str, attempt: int) -> list[int]:
        """The epochs that an attempt has told as done, in order."""
        lines = [json.loads(line) for line in self.log(name, attempt).splitlines() if line.startswith("{")]
        return [line["epoch"] for line in lines if line["message"].startswith("epoch ")]

    def nothing_runs(self, name: str) -> None:
        assert [pod["status"]["phase"] for pod in self.pods(name) if "Running" in str(pod["status"])] == []
        # NB: they come off behind the status that tells of the pause.
        found(
            lambda: not any(pod["metadata"].get("finalizers") for pod in self.pods(name)),
            what="its pods to be released",
            timeout=10,
        )


@pytest.fixture(scope="module")
def lab(operator_installed: ClusterHandle, trainer_image: str) -> Iterator[Lab]:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(operator_installed)
    with Client(operator_installed.kubeconfig, context=operator_installed.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        kubectl.apply(demo.manifests(demo.EXAMPLES / "00-data.yaml", trainer=trainer_image), namespace=name)
        fill = ("job/quickstart-fill", f"--namespace={name}")
        kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
        (dataset,) = demo.manifests(demo.EXAMPLES / "10-datasets.yaml", trainer=trainer_image)
        kubectl.apply([dataset], namespace=name)
        yield Lab(client, name, kubectl)
        client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def undisturbed(lab: Lab) -> Json:
    """The status of a training that nobody disturbed."""
    lab.train("undisturbed")
    status = lab.reaches("undisturbed", "Done", timeout=150)
    assert lab.epochs("undisturbed", 0) == list(range(1, EPOCHS + 1))
    return status


def same_result(one: Json, other: Json) -> bool:
    """Equal, not only alike: the trainer draws an epoch from the seed and the number of that epoch."""
    return bool(one["metrics"] == other["metrics"] and one["keyMetric"] == other["keyMetric"])


def is_suspended(status: Json) -> bool:
    return any(c["type"] == "Suspended" and c["status"] == "True" for c in status["conditions"])


def test_paused_in_the_middle_and_resumed_it_trains_each_epoch_once_and_ends_the_same(
    lab: Lab, undisturbed: Json
) -> None:
    lab.train("paused")
    lab.halfway("paused")
    lab.change("paused", suspend=True)
    paused = lab.reaches("paused", "Pending", "Paused", timeout=40)
    assert is_suspended(paused)
    saved = paused["lastCheckpoint"]["epoch"]
    assert saved >= HALFWAY
    assert f"with a checkpoint of epoch {saved}, saved on the way out" in paused["message"]
    assert paused["stop"]["checkpoint"] is True
    lab.nothing_runs("paused")
    before = lab.epochs("paused", 0)
    assert before == list(range(1, saved + 1)), "what was told is what was saved"
    time.sleep(3)
    assert lab.status("paused") == paused, "nothing happens to it while it is paused"

    lab.change("paused", suspend=False)
    done = lab.reaches("paused", "Done", timeout=90)

    assert lab.epochs("paused", 1) == list(range(saved + 1, EPOCHS + 1)), "the count goes on"
    assert same_result(done, undisturbed)
    assert [attempt["reason"] for attempt in done["attempts"]] == ["Paused", "Completed"]
    assert done["attempts"][1]["resumedFrom"] == paused["lastCheckpoint"]["uri"]
    assert done.get("failures", 0) == 0
    assert not is_suspended(done)


def test_killed_in_the_middle_it_goes_on_from_the_last_checkpoint_and_ends_the_same(
    lab: Lab, undisturbed: Json
) -> None:
    if not lab.kubectl.handle.made_by_us:
        pytest.skip("the processes on the nodes of a cluster of yours are yours")
    lab.train("killed")
    lab.halfway("killed")
    kindcluster.kill(lab.kubectl.handle, "bin/trainyard-trainer")
    done = lab.reaches("killed", "Done", timeout=150)
    first, second = lab.epochs("killed", 0), lab.epochs("killed", 1)
    assert first == list(range(1, first[-1] + 1))
    saved = first[-1] // NETWORK["checkpoint_every"] * NETWORK["checkpoint_every"]
    assert second == list(range(saved + 1, EPOCHS + 1)), "what came after the checkpoint is done again"
    assert same_result(done, undisturbed)
    assert done["attempts"][0]["exitCode"] == 137
    assert done["failures"] == 1, "nobody knows who has killed it"


def test_its_pod_deleted_by_force_it_goes_on_from_the_last_checkpoint_and_ends_the_same(
    lab: Lab, undisturbed: Json
) -> None:
    lab.train("forced")
    lab.halfway("forced")
    path = f"/api/v1/namespaces/{lab.namespace}/pods/forced-0-0"
    lab.client.delete(path, body={"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    done = lab.reaches("forced", "Done", timeout=150)
    begun = int(done["attempts"][1]["resumedFrom"].rpartition("epoch-")[2])
    assert lab.epochs("forced", 1) == list(range(begun + 1, EPOCHS + 1))
    assert begun >= NETWORK["checkpoint_every"]
    assert same_result(done, undisturbed)
    assert done.get("failures", 0) == 0, "a pod that was taken away is no failure"


def test_cancelled_in_the_middle_and_taken_back_it_goes_on_from_its_checkpoint(
    lab: Lab, undisturbed: Json
) -> None:
    lab.train("cancelled")
    lab.halfway("cancelled")
    lab.change("cancelled", cancel=True)
    cancelled = lab.reaches("cancelled", "Canceled", "CanceledByUser", timeout=40)
    saved = cancelled["lastCheckpoint"]["epoch"]
    assert saved >= HALFWAY
    lab.nothing_runs("cancelled")
    assert lab.epochs("cancelled", 0) == list(range(1, saved + 1)), "its log is kept"

    lab.change("cancelled", cancel=False)
    done = lab.reaches("cancelled", "Done", timeout=90)

    assert lab.epochs("cancelled", 1) == list(range(saved + 1, EPOCHS + 1))
    assert same_result(done, undisturbed)


def test_paused_and_asked_for_more_epochs_it_trains_the_rest_of_them(lab: Lab, undisturbed: Json) -> None:
    lab.train("more", parameters={**NETWORK, "epochs": EPOCHS - 10})
    lab.halfway("more")
    lab.change("more", suspend=True)
    saved = lab.reaches("more", "Pending", "Paused", timeout=40)["lastCheckpoint"]["epoch"]
    lab.change("more", suspend=False, parameters={**NETWORK, "epochs": EPOCHS})
    done = lab.reaches("more", "Done", timeout=90)
    assert lab.epochs("more", 1) == list(range(saved + 1, EPOCHS + 1))
    assert done["progress"]["summary"] == f"{EPOCHS}/{EPOCHS}"
    assert same_result(done, undisturbed), "as if it had been asked for all of them at once"


def test_an_evaluation_that_is_paused_says_that_there_is_nothing_to_resume_and_begins_anew(
    lab: Lab, undisturbed: Json
) -> None:
    # NB: with so little of a CPU that it takes some seconds.
    slow = {"requests": {"cpu": "10m"}, "limits": {"cpu": "200m"}}
    lab.train(
        "measured", action="evaluate", parentJob="undisturbed", parameters={}, output=None, resources=slow
    )
    lab.reaches("measured", "Running", "Training", timeout=60)
    lab.change("measured", suspend=True)
    paused = lab.reaches("measured", "Pending", "Paused", timeout=40)
    assert "without a checkpoint" in paused["message"]
    assert "lastCheckpoint" not in paused
    lab.change("measured", suspend=False)
    done = lab.reaches("measured", "Done", timeout=60)
    accuracy = {m["name"]: m["value"] for m in undisturbed["metrics"]}["accuracy"]
    assert {m["name"]: m["value"] for m in done["metrics"]}["accuracy"] == accuracy


def test_a_job_that_no_node_takes_is_paused_at_once_and_waits_again_when_it_is_resumed(lab: Lab) -> None:
    if not lab.kubectl.handle.made_by_us:
        pytest.skip("the labels of nodes of a cluster of yours are yours")
    small = {**NETWORK, "epochs": 2, "hidden_layer_sizes": [8]}
    lab.train("waiting", parameters=small, nodeSelector={"trainyard.dev/test": lab.namespace})
    lab.reaches("waiting", "Pending", "Unschedulable")
    lab.change("waiting", suspend=True)
    paused = lab.reaches("waiting", "Pending", "Paused", timeout=15)
    assert "before anything had run" in paused["message"]
    assert is_suspended(paused)
    found(lambda: not lab.pods("waiting"), what="its pod to go", timeout=15)
    lab.change("waiting", suspend=False)
    lab.reaches("waiting", "Pending", "Unschedulable")
    node = f"/api/v1/nodes/{lab.client.list('/api/v1/nodes')[0]['metadata']['name']}"
    lab.client.patch(node, {"metadata": {"labels": {"trainyard.dev/test": lab.namespace}}})
    done = lab.reaches("waiting", "Done", timeout=90)
    lab.client.patch(node, {"metadata": {"labels": {"trainyard.dev/test": None}}})
    assert done["progress"]["summary"] == "2/2", str(done)


DEAF = """
import json, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for epoch in range(1, 100):
    print(json.dumps({"epoch": epoch, "max_epoch": 100, "status": "RUNNING"}), flush=True)
    time.sleep(0.5)
"""


def test_a_trainer_that_does_not_hear_is_killed_after_its_grace_and_the_pause_says_what_that_costs(
    lab: Lab, python_image: str
) -> None:
    own = {"image": python_image, "command": ["python3", "-uc", DEAF], "gracePeriodSeconds": 2}
    lab.train("deaf", **own, type=None, datasets=None, parameters={}, output=None, template=AS_A_USER)
    lab.reaches("deaf", "Running", "Training", timeout=60)
    lab.change("deaf", suspend=True)
    paused = lab.reaches("deaf", "Pending", "Paused", timeout=30)
    assert "without a checkpoint: the trainer has reported none" in paused["message"]
    assert paused["stop"]["checkpoint"] is False
    (attempt,) = paused["attempts"]
    assert (attempt["reason"], attempt["exitCode"], attempt["counted"]) == ("Paused", 137, False)
    lab.nothing_runs("deaf")
