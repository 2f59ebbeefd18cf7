"""A job is paused, cancelled and stopped by its limits, and goes on, on a real API server."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.harness import operator as operators
from tests.harness.client import ApiError, Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found
from trainyard.cluster.failpoints import VARIABLE

pytestmark = pytest.mark.timeout(240)

SOON = {"gracePeriodSeconds": 1}


def edit(jobs: Jobs, name: str, **spec: Any) -> None:
    jobs.client.patch(jobs.path("trainingjobs", name), {"spec": spec})


def condition(status: Json, kind: str) -> str:
    return str(next((c["status"] for c in status.get("conditions") or [] if c["type"] == kind), "absent"))


def live(jobs: Jobs, name: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in jobs.pods(name)
        if pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]


def current(jobs: Jobs, name: str) -> bool:
    job = jobs.get(name)
    return bool(job["status"].get("observedGeneration") == job["metadata"]["generation"])


@pytest.mark.usefixtures("operator")
class TestStops:
    def test_a_running_job_is_paused_and_goes_on_as_its_next_attempt(self, jobs: Jobs) -> None:
        jobs.create("pausing", run_for=None, **SOON)
        began = jobs.reaches("pausing", "Running", "Training")
        edit(jobs, "pausing", suspend=True)
        paused = jobs.reaches("pausing", "Pending", "Paused")
        assert (paused["stop"]["cause"], paused["stop"]["checkpoint"]) == ("Suspend", False)
        assert "none" in paused["message"]
        assert (condition(paused, "Suspended"), condition(paused, "Ready")) == ("True", "True")
        assert not live(jobs, "pausing")
        assert [a["reason"] for a in paused["attempts"]] == ["Paused"]
        edit(jobs, "pausing", suspend=False)
        again = jobs.reaches("pausing", "Running", "Training")
        assert condition(again, "Suspended") == "False"
        assert again["startTime"] == began["startTime"]
        assert [a["number"] for a in again["attempts"]] == [0, 1]
        assert again.get("failures", 0) == 0
        assert "stop" not in again
        assert {"Pausing", "Paused", "Resuming"} <= set(jobs.events("pausing"))

    def test_a_job_that_waits_for_a_node_leaves_its_place_and_takes_it_again(self, jobs: Jobs) -> None:
        jobs.create("waiting", nodeSelector={"no-such": "node"})
        jobs.reaches("waiting", "Pending", "Unschedulable")
        edit(jobs, "waiting", suspend=True)
        paused = jobs.reaches("waiting", "Pending", "Paused")
        assert "before anything had run" in paused["message"]
        found(lambda: not jobs.pods("waiting"), what="its pod to go")
        edit(jobs, "waiting", suspend=False)
        jobs.reaches("waiting", "Pending", "Unschedulable")
        assert len(jobs.pods("waiting")) == 1

    def test_a_job_that_has_not_run_yet_can_be_mended_in_a_pause(self, jobs: Jobs) -> None:
        jobs.create("misplaced", run_for="500ms", nodeSelector={"no-such": "node"})
        jobs.reaches("misplaced", "Pending", "Unschedulable")
        with pytest.raises(ApiError, match="if nothing has run yet, pause the job first"):
            edit(jobs, "misplaced", nodeSelector=None)
        edit(jobs, "misplaced", suspend=True)
        jobs.reaches("misplaced", "Pending", "Paused")
        found(lambda: not jobs.pods("misplaced"), what="its pod to go")
        edit(jobs, "misplaced", nodeSelector=None, suspend=False)
        status = jobs.reaches("misplaced", "Done")
        assert condition(status, "SpecChanged") == "absent"

    def test_a_job_that_is_applied_suspended_makes_no_pod_until_it_may(self, jobs: Jobs) -> None:
        jobs.create("later", suspend=True)
        jobs.reaches("later", "Pending", "Paused")
        assert not jobs.pods("later")
        edit(jobs, "later", suspend=False)
        done = jobs.reaches("later", "Done")
        assert len(done["attempts"]) == 1

    def test_parameters_that_are_changed_in_a_pause_are_those_of_the_next_attempt(self, jobs: Jobs) -> None:
        jobs.create("changed", run_for=None, parameters={"epochs": 4}, **SOON)
        jobs.reaches("changed", "Running", "Training")
        edit(jobs, "changed", suspend=True)
        jobs.reaches("changed", "Pending", "Paused")
        edit(jobs, "changed", parameters={"epochs": 8}, suspend=False)
        status = jobs.reaches("changed", "Running", "Training")
        first, second = status["attempts"]
        assert first["parametersDigest"] != second["parametersDigest"]
        assert condition(status, "SpecChanged") == "absent"
        container = next(p for p in jobs.pods("changed") if p["metadata"]["name"].endswith("-1-0"))["spec"][
            "containers"
        ][0]
        given = {e["name"]: e.get("value") for e in container["env"]}
        assert given["TRAINYARD_PARAMETERS"] == '{"epochs":8}'

    @pytest.mark.parametrize("state", ["waiting", "unschedulable", "running", "paused", "backing-off"])
    def test_it_is_cancelled_from_every_state_and_keeps_its_record(self, jobs: Jobs, state: str) -> None:
        wanted: Json = dict(SOON)
        if state == "waiting":
            wanted |= {"parentJob": "nobody"}
        elif state == "unschedulable":
            wanted |= {"nodeSelector": {"no-such": "node"}}
        elif state == "backing-off":
            wanted |= {"exit_code": 1, "backoffLimit": 5}
        jobs.create(state, run_for="500ms" if state == "backing-off" else None, **wanted)
        reason = {
            "waiting": ("Pending", "WaitingForParent"),
            "unschedulable": ("Pending", "Unschedulable"),
            "backing-off": ("Pending", "BackingOff"),
        }
        jobs.reaches(state, *reason.get(state, ("Running", "Training")))
        if state == "paused":
            edit(jobs, state, suspend=True)
            jobs.reaches(state, "Pending", "Paused")
        edit(jobs, state, cancel=True)
        status = jobs.reaches(state, "Canceled", "CanceledByUser")
        assert (condition(status, "Finished"), condition(status, "Succeeded")) == ("True", "False")
        assert condition(status, "Ready") == "True", "a GitOps sync does not wait for a cancelled job"
        assert not live(jobs, state)
        edit(jobs, state, suspend=True)
        found(lambda: current(jobs, state), what="the edit to be seen")
        assert jobs.status(state)["reason"] == "CanceledByUser"

    def test_a_cancelled_training_goes_on_and_a_cancelled_evaluation_does_not(self, jobs: Jobs) -> None:
        for action in ("train", "evaluate"):
            jobs.create(action, run_for=None, action=action, **SOON)
            jobs.reaches(action, "Running", "Training")
            edit(jobs, action, cancel=True)
            jobs.reaches(action, "Canceled")
            edit(jobs, action, cancel=False)
        status = jobs.reaches("train", "Running", "Training")
        assert len(status["attempts"]) == 2
        assert "completionTime" not in status
        assert condition(status, "Finished") == "False"
        found(lambda: "trainyard retry evaluate" in jobs.status("evaluate")["message"], what="the advice")
        retry(jobs, "evaluate")
        assert len(jobs.reaches("evaluate", "Running", "Training")["attempts"]) == 2

    def test_five_toggles_in_a_second_end_as_the_last_one_asks(self, jobs: Jobs) -> None:
        for name, last in (("on", False), ("off", True)):
            jobs.create(name, run_for=None, **SOON)
            jobs.reaches(name, "Running", "Training")
            for number in range(5):
                edit(jobs, name, suspend=(number % 2 == 0) == last)
                time.sleep(0.15)
        jobs.reaches("off", "Pending", "Paused")
        found(lambda: current(jobs, "on"), what="the last edit to be seen")
        jobs.reaches("on", "Running", "Training")
        time.sleep(2)
        assert len(live(jobs, "on")) == 1
        assert not live(jobs, "off")
        jobs.reaches("on", "Running", "Training")
        jobs.reaches("off", "Pending", "Paused")

    @pytest.mark.parametrize("field", ["suspend", "cancel"])
    def test_what_is_done_stays_done(self, jobs: Jobs, field: str) -> None:
        jobs.create("done", run_for="300ms")
        before = jobs.reaches("done", "Done")
        edit(jobs, "done", **{field: True})
        found(lambda: current(jobs, "done"), what="the edit to be seen")
        after = jobs.status("done")
        assert after["phase"] == "Done"
        assert after["completionTime"] == before["completionTime"]

    def test_a_refusal_from_before_a_pause_is_not_held_against_the_job_after_it(self, jobs: Jobs) -> None:
        quotas = f"/api/v1/namespaces/{jobs.namespace}/resourcequotas"
        jobs.client.post(quotas, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
        jobs.create("refused", startupTimeoutSeconds=12)
        jobs.reaches("refused", "Pending", "QuotaExceeded")
        edit(jobs, "refused", suspend=True)
        jobs.reaches("refused", "Pending", "Paused")
        jobs.client.delete(f"{quotas}/none")
        time.sleep(13)
        edit(jobs, "refused", suspend=False)
        jobs.reaches("refused", "Done")

    def test_a_webhook_that_does_not_answer_is_told_and_recovered_from(self, jobs: Jobs) -> None:
        hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        hook = {
            "name": "broken.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": jobs.namespace}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
        }
        name = f"broken-{jobs.namespace}"
        jobs.client.post(hooks, {"metadata": {"name": name}, "webhooks": [hook]})
        try:
            time.sleep(1)  # NB: the API server takes up a webhook after it has answered
            jobs.create("checked")
            status = jobs.reaches("checked", "Pending", "PolicyRefused")
            assert "broken.example.com" in status["message"]
        finally:
            jobs.client.delete(f"{hooks}/{name}")
        jobs.reaches("checked", "Done", timeout=90)

    def test_a_paused_job_costs_nothing_and_an_ended_one_can_be_waited_for_after_an_edit(
        self, jobs: Jobs, plane_with_nodes: ControlPlane
    ) -> None:
        jobs.create("resting", run_for=None, **SOON)
        jobs.reaches("resting", "Running", "Training")
        edit(jobs, "resting", suspend=True)
        jobs.reaches("resting", "Pending", "Paused")
        found(lambda: not jobs.pods("resting"), what="its pod to go")
        time.sleep(2)
        before = requests(plane_with_nodes, jobs.namespace)
        time.sleep(12)
        assert requests(plane_with_nodes, jobs.namespace) == before
        edit(jobs, "resting", cancel=True)
        jobs.reaches("resting", "Canceled")
        edit(jobs, "resting", description="edited")
        found(lambda: current(jobs, "resting"), what="the edit to be seen")
        job = jobs.get("resting")
        seen = {c["observedGeneration"] for c in job["status"]["conditions"]}
        assert seen == {job["metadata"]["generation"]}, "kubectl wait takes older ones for outdated"

    def test_a_deadline_stops_the_job_and_a_retry_gives_it_its_time_anew(self, jobs: Jobs) -> None:
        jobs.create("long", run_for=None, activeDeadlineSeconds=3, **SOON)
        status = jobs.reaches("long", "Error", "DeadlineExceeded")
        assert 3 <= status["runSeconds"] <= 8
        assert not live(jobs, "long")
        edit(jobs, "long", activeDeadlineSeconds=None)
        retry(jobs, "long")
        again = jobs.reaches("long", "Running", "Training")
        assert [a["number"] for a in again["attempts"]] == [0, 1]

    def test_a_failed_job_is_tried_again_once_for_each_request(self, jobs: Jobs) -> None:
        jobs.create("failing", run_for="300ms", exit_code=1, backoffLimit=0)
        jobs.reaches("failing", "Error", "TrainerFailed")
        at = retry(jobs, "failing")
        found(lambda: len(jobs.status("failing")["attempts"]) == 2, what="the second attempt")
        status = jobs.reaches("failing", "Error", "TrainerFailed")
        assert status["retryRequestedAt"] == at
        time.sleep(2)
        assert len(jobs.status("failing")["attempts"]) == 2

    def test_a_retry_that_was_asked_for_too_early_is_not_kept_for_later(self, jobs: Jobs) -> None:
        jobs.create("early", run_for="4s", exit_code=1, backoffLimit=0)
        jobs.reaches("early", "Running", "Training")
        at = retry(jobs, "early")
        found(lambda: jobs.status("early").get("retryRequestedAt") == at, what="the request to be seen")
        assert len(jobs.reaches("early", "Error", "TrainerFailed")["attempts"]) == 1

    def test_a_spec_that_could_not_be_run_is_mended_and_tried_again(self, jobs: Jobs) -> None:
        jobs.create("mended", runtime="no-such-runtime")
        status = jobs.reaches("mended", "Error", "InvalidSpec")
        assert "trainyard retry mended" in status["message"]
        edit(jobs, "mended", runtime=None, image="example.com/trainer:1")
        retry(jobs, "mended")
        jobs.reaches("mended", "Done")

    def test_pods_of_an_ended_job_go_when_their_time_has_come_and_the_job_stays(self, jobs: Jobs) -> None:
        jobs.create("brief", run_for="300ms", exit_code=1, backoffLimit=0, ttlSecondsAfterFinished=3)
        jobs.create("kept", run_for="300ms")
        for name, phase in (("brief", "Error"), ("kept", "Done")):
            jobs.reaches(name, phase)
        assert jobs.pods("brief")
        found(lambda: not jobs.pods("brief"), what="its pods to go")
        assert jobs.status("brief")["phase"] == "Error"
        assert jobs.pods("kept")
        edit(jobs, "kept", ttlSecondsAfterFinished=0)
        found(lambda: not jobs.pods("kept"), what="its pods to go as well")

    def test_a_cancelled_parent_cancels_and_a_paused_one_keeps_waiting(self, jobs: Jobs) -> None:
        jobs.create("parent", run_for=None, **SOON)
        jobs.create("child", parentJob="parent")
        jobs.reaches("parent", "Running")
        edit(jobs, "parent", suspend=True)
        jobs.reaches("parent", "Pending", "Paused")
        jobs.reaches("child", "Pending", "WaitingForParent")
        edit(jobs, "parent", cancel=True)
        jobs.reaches("child", "Canceled", "ParentCanceled")


def requests(plane: ControlPlane, namespace: str) -> int:
    """How many requests the operator has made in a namespace."""
    events = map(json.loads, plane.audit_log.read_text().splitlines())
    return sum(
        event["user"]["username"] == operators.USER
        and (event.get("objectRef") or {}).get("namespace") == namespace
        for event in events
    )


def retry(jobs: Jobs, name: str) -> str:
    at = str(time.time_ns())
    body = {"metadata": {"annotations": {"trainyard.dev/retry-requested-at": at}}}
    jobs.client.patch(jobs.path("trainingjobs", name), body)
    return at


@pytest.mark.parametrize("place", ["before-status", "after-status", "before-pod-delete", "after-pod-delete"])
@pytest.mark.parametrize("wish", ["suspend", "cancel"])
def test_a_stop_outlives_the_operator(plane: ControlPlane, jobs: Jobs, place: str, wish: str) -> None:
    with operators.running(plane, name="first"):
        jobs.create("stopped", run_for=None, **SOON)
        jobs.reaches("stopped", "Running", "Training")
    edit(jobs, "stopped", **{wish: True})
    with operators.running(
        plane, name=f"killed-{place}-{wish}", environment={VARIABLE: place}, wait=False
    ) as one:
        found(lambda: not one.daemon.alive, what="its end")
    with operators.running(plane, name="second"):
        reason = ("Pending", "Paused") if wish == "suspend" else ("Canceled", "CanceledByUser")
        jobs.reaches("stopped", *reason)
        assert not live(jobs, "stopped")
        edit(jobs, "stopped", **{wish: False})
        status = jobs.reaches("stopped", "Running", "Training")
        assert [a["number"] for a in status["attempts"]] == [0, 1]
        assert len(live(jobs, "stopped")) == 1


def test_what_is_wanted_while_the_operator_is_away_is_done_when_it_is_back(
    plane: ControlPlane, jobs: Jobs
) -> None:
    with operators.running(plane, name="before"):
        for name in ("paused", "toggled", "cancelled"):
            jobs.create(name, run_for=None, **SOON)
            jobs.reaches(name, "Running", "Training")
    edit(jobs, "paused", suspend=True)
    for value in (True, False, True, False):
        edit(jobs, "toggled", suspend=value)
    edit(jobs, "cancelled", cancel=True, suspend=True)
    with operators.running(plane, name="after"):
        jobs.reaches("paused", "Pending", "Paused")
        jobs.reaches("cancelled", "Canceled")
        found(lambda: current(jobs, "toggled"), what="the edits to be seen")
        status = jobs.reaches("toggled", "Running", "Training")
        assert len(status["attempts"]) == 1, "a wish that was taken back before anybody saw it stops nothing"
