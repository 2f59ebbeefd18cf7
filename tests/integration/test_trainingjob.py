"""A TrainingJob on a real API server: from manifest to its end, and every way it can be kept waiting."""

from __future__ import annotations

import time

import pytest

from tests.harness.client import Json
from tests.harness.operator import Operator
from tests.objects import Jobs, bind_claim, found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]

MESSAGE = '{"metrics": {"accuracy": 0.97}, "keyMetric": {"name": "accuracy", "value": 0.97}}'


def test_a_job_runs_to_done_and_carries_no_mark_of_ours(jobs: Jobs) -> None:
    jobs.create("digits", run_for="2s", message=MESSAGE, accelerator={"count": 2})
    running = jobs.reaches("digits", "Running", "Training")
    assert running["startTime"]
    done = jobs.reaches("digits", "Done", "Completed")
    assert done["keyMetric"]["display"] == "accuracy 0.97"
    assert done["observedGeneration"] == 1
    assert {c["type"]: c["status"] for c in done["conditions"]} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Finished": "True",
        "Succeeded": "True",
    }
    metadata = jobs.get("digits")["metadata"]
    assert "annotations" not in metadata
    assert "finalizers" not in metadata
    assert jobs.events("digits") == ["Training", "Completed"]


def test_a_failed_trainer_is_an_error_with_its_last_words(jobs: Jobs) -> None:
    jobs.create("bad", exit_code=3, message="ValueError: no column named target", backoffLimit=0)
    status = jobs.reaches("bad", "Error", "TrainerFailed")
    assert "exited with code 3" in status["message"]
    assert "no column named target" in status["message"]
    assert status["attempts"][0]["exitCode"] == 3


def test_a_failed_trainer_is_tried_again_until_its_limit(jobs: Jobs) -> None:
    jobs.create("flaky", exit_code=3, message="diverged", backoffLimit=1)
    waits = jobs.reaches("flaky", "Pending", "BackingOff")
    assert "Retry 1 of 1" in waits["message"]
    status = jobs.reaches("flaky", "Error", "BackoffLimitExceeded", timeout=40)
    assert [(e["number"], e["exitCode"]) for e in status["attempts"]] == [(0, 3), (1, 3)]
    assert sorted(p["metadata"]["name"] for p in jobs.pods("flaky")) == ["flaky-0-0", "flaky-1-0"]
    found(
        lambda: not any(p["metadata"].get("finalizers") for p in jobs.pods("flaky")),
        what="all pods to be released",
    )


def test_a_deleted_job_takes_its_running_pod_with_it(jobs: Jobs) -> None:
    jobs.create("gone", run_for=None)
    jobs.reaches("gone", "Running")
    jobs.delete("trainingjobs", "gone")
    found(lambda: not jobs.pods("gone"), what="the pod to go")


def test_an_edited_template_starts_no_other_attempt(jobs: Jobs) -> None:
    jobs.create("edited", run_for=None)
    jobs.reaches("edited", "Running")
    path = jobs.path("trainingjobs", "edited")
    jobs.client.patch(path, {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}})

    def changed() -> bool:
        return any(
            c["type"] == "SpecChanged" and c["status"] == "True"
            for c in jobs.status("edited").get("conditions", [])
        )

    found(changed, what="SpecChanged")
    assert jobs.status("edited")["phase"] == "Running"
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/edited-0-0")
    jobs.reaches("edited", "Pending", "SpecChanged")
    jobs.client.patch(path, {"spec": {"template": {"metadata": {"labels": None}}}})
    jobs.reaches("edited", "Running", "Training", timeout=40)


def test_a_job_waits_for_its_dataset_and_starts_by_itself(jobs: Jobs) -> None:
    jobs.create("early", datasets={"train": ["numbers"]})
    jobs.reaches("early", "Pending", "WaitingForDataset")
    source = {
        "type": "tabular",
        "format": "csv",
        "source": {"uri": "pvc://data/numbers"},
        "validation": {"mode": "None"},
    }
    jobs.client.post(jobs.path("datasets"), manifest("Dataset", "numbers", source))
    dataset = found(
        lambda: jobs.client.get(jobs.path("datasets", "numbers"))["status"].get("reason"), what="a reason"
    )
    assert dataset == "ClaimNotFound"
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    jobs.client.post(f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims", claim)
    (pod,) = found(lambda: jobs.pods("early"), what="the pod", timeout=40)
    assert folders(pod) == {"/trainyard/data/numbers": "numbers"}


def test_a_child_waits_for_its_parent_and_fails_with_it(jobs: Jobs) -> None:
    jobs.create("child", parentJob="parent", action="custom")
    jobs.reaches("child", "Pending", "WaitingForParent")
    jobs.create("parent", exit_code=1, backoffLimit=0)
    jobs.reaches("child", "Error", "ParentFailed")


def test_a_child_is_handed_its_parents_artifacts(jobs: Jobs) -> None:
    bind_claim(jobs, "out")
    parent = jobs.create("parent", output={"claimName": "out"}, template=run_briefly())
    jobs.create("child", parentJob="parent")
    jobs.reaches("parent", "Done")
    (pod,) = found(lambda: jobs.pods("child"), what="the child's pod")
    assert folders(pod) == {"/trainyard/parent": f"{parent['metadata']['uid']}/attempt-0"}


def folders(pod: Json) -> dict[str, str]:
    """Folders of claims by where the trainer has them."""
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    return {mount["mountPath"]: mount["subPath"] for mount in mounts if "subPath" in mount}


def run_briefly() -> Json:
    return {"metadata": {"annotations": {"fake.trainyard.dev/run-for": "200ms"}}}


def test_a_job_that_no_node_can_take_says_what_is_lacking(jobs: Jobs) -> None:
    jobs.create("huge", accelerator={"count": 9})
    status = jobs.reaches("huge", "Pending", "Unschedulable")
    assert "Insufficient nvidia.com/gpu" in status["message"]
    jobs.announces("huge", "Unschedulable")


def test_an_accelerator_type_that_no_node_has_is_unschedulable(jobs: Jobs) -> None:
    jobs.create("picky", accelerator={"count": 1, "type": "h200"})
    jobs.reaches("picky", "Pending", "Unschedulable")


def test_a_quota_keeps_a_job_pending_until_it_is_lifted(jobs: Jobs) -> None:
    path = f"/api/v1/namespaces/{jobs.namespace}/resourcequotas"
    jobs.client.post(path, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    found(lambda: jobs.client.get(f"{path}/none").get("status", {}).get("hard"), what="the quota")
    jobs.create("over")
    status = jobs.reaches("over", "Pending", "QuotaExceeded")
    assert "exceeded quota: none" in status["message"]
    jobs.client.delete(f"{path}/none")
    jobs.reaches("over", "Done", timeout=60)


def test_pod_security_refuses_what_the_users_template_asks_for(jobs: Jobs) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", label)
    jobs.create("fine", run_for="200ms")
    jobs.reaches("fine", "Done")
    jobs.create("host", template={"spec": {"hostNetwork": True}})
    status = jobs.reaches("host", "Pending", "PolicyRefused")
    assert "hostNetwork" in status["message"]


def test_a_template_that_makes_no_pod_is_an_error_at_once(jobs: Jobs) -> None:
    jobs.create("odd", template={"spec": {"restartPolicy": "Sometimes"}})
    status = jobs.reaches("odd", "Error", "InvalidSpec")
    assert "restartPolicy" in status["message"]


def test_a_type_that_nobody_serves_is_an_error_that_says_who_serves_what(jobs: Jobs) -> None:
    jobs.create("unknown", type="perceptron")
    status = jobs.reaches("unknown", "Error", "InvalidSpec")
    assert "neural_network" in status["message"]


def test_a_pod_deleted_by_hand_is_replaced_by_the_next_attempt(jobs: Jobs) -> None:
    jobs.create("long", run_for=None)
    jobs.reaches("long", "Running")
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/long-0-0")
    found(lambda: [p for p in jobs.pods("long") if p["metadata"]["name"] == "long-1-0"], what="attempt 1")
    status = found(
        lambda: (s := jobs.status("long")).get("reason") == "Training" and s, what="training again"
    )
    assert [entry["number"] for entry in status["attempts"]] == [0, 1]


def test_a_pod_that_loses_its_label_gets_no_second_beside_it(jobs: Jobs) -> None:
    jobs.create("long", run_for=None)
    jobs.reaches("long", "Running")
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/long-0-0"
    label = "trainyard.dev/attempt"
    value = jobs.client.get(path)["metadata"]["labels"][label]
    jobs.client.patch(path, {"metadata": {"labels": {label: None}}})
    time.sleep(4)
    assert [pod["metadata"]["name"] for pod in jobs.pods()] == ["long-0-0"]
    assert len(jobs.status("long")["attempts"]) == 1
    jobs.client.patch(path, {"metadata": {"labels": {label: value}}})
    time.sleep(2)
    jobs.client.delete(path)
    found(lambda: any(p["metadata"]["name"] == "long-1-0" for p in jobs.pods("long")), what="attempt 1")


def test_a_job_of_a_deleted_jobs_name_gets_a_pod_of_its_own(jobs: Jobs) -> None:
    first = jobs.create("again", run_for=None)
    jobs.reaches("again", "Running")
    jobs.delete("trainingjobs", "again")
    second = jobs.create("again", run_for="200ms")
    jobs.reaches("again", "Done")
    (pod,) = jobs.pods("again")
    assert pod["metadata"]["labels"]["trainyard.dev/job-uid"] == second["metadata"]["uid"]
    assert first["metadata"]["uid"] != second["metadata"]["uid"]


def test_a_pod_of_somebody_else_is_never_adopted(jobs: Jobs) -> None:
    stranger = {
        "metadata": {"name": "mine-0-0"},
        "spec": {"containers": [{"name": "c", "image": "x"}], "tolerations": [{"operator": "Exists"}]},
    }
    jobs.client.post(f"/api/v1/namespaces/{jobs.namespace}/pods", stranger)
    jobs.create("mine", run_for="200ms")
    jobs.reaches("mine", "Pending", "PodNameTaken")
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/mine-0-0")
    jobs.reaches("mine", "Done", timeout=60)


def test_fifty_jobs_at_once_all_end(jobs: Jobs, operator: Operator) -> None:
    for number in range(50):
        jobs.create(f"many-{number}", run_for="1s")

    def all_done() -> bool:
        items = jobs.client.list(jobs.path("trainingjobs"))
        return sum((i.get("status") or {}).get("phase") == "Done" for i in items) == 50

    found(all_done, what="50 jobs to be Done", timeout=60)
    assert len(jobs.pods()) == 50


def test_two_jobs_share_the_gpus_of_a_node(jobs: Jobs) -> None:
    for name in ("left", "right"):
        jobs.create(name, accelerator={"count": 8}, run_for="500ms")
    for name in ("left", "right"):
        jobs.reaches(name, "Done")
