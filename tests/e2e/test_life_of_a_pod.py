"""What only a real kubelet shows: images, memory, signals, logs while they are written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import demo
from tests.harness.client import Json
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(300)


def own(jobs: Jobs, name: str, image: str, code: str, **spec: Any) -> Json:
    """A job of an image of the user's own: Python code that honours what it wants of the contract."""
    body = {
        "image": image,
        "command": ["python3", "-uc", code],
        "action": "custom",
        "tolerations": [GPU_TOLERATION],
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
        "gracePeriodSeconds": 5,
        "backoffLimit": 0,
        **spec,
    }
    return jobs.client.post(jobs.path("trainingjobs"), manifest("TrainingJob", name, body))


def test_any_image_can_be_a_trainer_and_its_status_lines_are_progress(jobs: Jobs, python_image: str) -> None:
    code = """
import json, time
print("hello from a log line")
for epoch in range(1, 4):
    print(json.dumps({"epoch": epoch, "max_epoch": 3, "status": "RUNNING", "kpi": {"loss": 1 / epoch}}))
    time.sleep(1.5)
"""
    own(jobs, "mine", python_image, code)
    found(
        lambda: (jobs.status("mine").get("progress") or {}).get("epoch") in (1, 2), what="progress on the way"
    )
    status = jobs.reaches("mine", "Done", timeout=60)
    assert status["progress"]["summary"] == "3/3"
    assert [m["name"] for m in status["metrics"]] == ["loss"]


def test_a_container_that_uses_too_much_memory_is_told_so(jobs: Jobs, python_image: str) -> None:
    limits = {"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    own(jobs, "hungry", python_image, "x = bytearray(10 ** 9)", resources=limits)
    status = jobs.reaches("hungry", "Error", "OutOfMemory", timeout=60)
    assert "memory" in status["message"]


def test_a_failed_trainers_last_log_lines_are_in_the_message(jobs: Jobs, python_image: str) -> None:
    own(jobs, "broken", python_image, "print('reading'); raise ValueError('no column named target')")
    status = jobs.reaches("broken", "Error", "TrainerFailed", timeout=60)
    assert "exited with code 1" in status["message"]
    assert "no column named target" in status["message"]


def test_an_image_that_is_not_there_is_pending_and_says_so(jobs: Jobs) -> None:
    own(jobs, "typo", "localhost:1/nothing/here:1", "pass")
    status = jobs.reaches("typo", "Pending", "ImagePullFailed", timeout=60)
    assert "trainer" in status["message"]


def test_an_image_of_root_is_refused_with_advice(jobs: Jobs, python_image: str) -> None:
    own(jobs, "root", python_image, "pass", template={})
    status = jobs.reaches("root", "Pending", "ContainerConfigInvalid", timeout=60)
    assert "runAsUser" in status["message"]


def test_a_training_whose_pod_is_deleted_goes_on_from_its_checkpoint(
    jobs: Jobs, kubectl: Kubectl, trainer_image: str
) -> None:
    files = demo.manifests(demo.EXAMPLES / "00-data.yaml", trainer=trainer_image)
    kubectl.apply(files, namespace=jobs.namespace)
    fill = ("job/quickstart-fill", f"--namespace={jobs.namespace}")
    kubectl.run("wait", "--for=condition=complete", *fill, "--timeout=240s", timeout=250)
    (dataset,) = demo.manifests(demo.EXAMPLES / "10-datasets.yaml", trainer=trainer_image)
    kubectl.apply([dataset], namespace=jobs.namespace)
    spec = {
        "type": "neural_network",
        "datasets": {"train": ["digits"]},
        "parameters": {"epochs": 400, "hidden_layer_sizes": [256, 256], "checkpoint_every": 5},
        "output": {"claimName": "quickstart-output"},
        "tolerations": [GPU_TOLERATION],
        "gracePeriodSeconds": 20,
    }
    jobs.client.post(jobs.path("trainingjobs"), manifest("TrainingJob", "long", spec))
    found(
        lambda: (jobs.status("long").get("lastCheckpoint") or {}).get("epoch", 0) >= 5,
        what="epoch 5",
        timeout=90,
    )
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/long-0-0")
    again = found(
        lambda: (s := jobs.status("long")).get("reason") == "Training" and len(s["attempts"]) == 2 and s,
        what="the second attempt to train",
        timeout=90,
    )
    saved = again["lastCheckpoint"]["epoch"]
    log = found(
        lambda: _log(jobs, "long-1-0") if '"RUNNING"' in _log(jobs, "long-1-0") else None,
        what="its log",
        timeout=60,
    )
    epochs = demo_epochs(log)
    assert epochs, log
    assert min(epochs) >= saved, "the epoch count goes on, it does not start again"
    jobs.delete("trainingjobs", "long")


def _log(jobs: Jobs, pod: str) -> str:
    return jobs.client.text(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}/log")


def demo_epochs(log: str) -> list[float]:
    """Epochs of the RUNNING status lines of a log."""
    import json

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["epoch"] for line in lines if line.get("status") == "RUNNING" and "epoch" in line]
