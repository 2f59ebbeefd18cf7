"""What took a pod away, and which failures are tried again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, a_spec, plan, said, status_after
from trainyard.api.trainingjob import RestartOn
from trainyard.planning import spechash
from trainyard.planning.podview import PodView
from trainyard.planning.verdict import EXIT_BAD_INPUT, judge, tried_again

RUNC = "OCI runtime create failed: runc create failed: unable to start container process: "


def taken(reason: str = "", *, disruption: str = "", message: str = "", exit_code: int = 137) -> PodView:
    return a_pod(
        exit_code=exit_code,
        phase="Failed",
        reason=reason,
        disruption=disruption,
        disruption_message=message,
        disrupted=True,
        disrupted_at=NOW - 5,
        deletion_requested_at=NOW - 5,
    )


TAKEN: list[Any] = [
    pytest.param(taken(disruption="EvictionByEvictionAPI"), "Evicted", id="a drain"),
    pytest.param(taken("Evicted", disruption="TerminationByKubelet"), "Evicted", id="a node under pressure"),
    pytest.param(
        taken("Terminated", disruption="TerminationByKubelet"), "Evicted", id="a node that is shut down"
    ),
    pytest.param(taken(disruption="DeletionByTaintManager"), "Evicted", id="a taint of a node that lives"),
    pytest.param(taken(disruption="WorkloadEvictedDueToPodsReadyTimeout"), "Evicted", id="Kueue"),
    pytest.param(taken(disruption="PreemptionByScheduler"), "Preempted", id="a pod of higher priority"),
    pytest.param(taken("Preempting"), "Preempted", id="a pod that the node needs more"),
    pytest.param(taken(disruption="WorkloadEvictedDueToPreempted"), "Preempted", id="Kueue's preemption"),
    pytest.param(taken(disruption="DeletionByPodGC"), "NodeLost", id="a node that is gone"),
    pytest.param(taken("NodeLost"), "NodeLost", id="a node that an older cluster calls lost"),
    pytest.param(taken(), "Restarting", id="somebody's deletion"),
]


@pytest.mark.parametrize(("pod", "reason"), TAKEN)
def test_what_took_a_pod_away_is_told_and_counts_for_nothing(pod: PodView, reason: str) -> None:
    p = plan(a_job(pods=(pod,)))
    assert said(p) == ("Running", reason)
    status = status_after(p)
    assert (status["attempts"][0]["reason"], status["attempts"][0]["counted"]) == (reason, False)
    assert "failures" not in status
    assert [told.reason for told in p.announce] == [reason]
    assert [told.type for told in p.announce] == ["Warning"]


@pytest.mark.parametrize(
    ("disruption", "reason"),
    [("EvictionByEvictionAPI", "Evicted"), ("PreemptionByScheduler", "Preempted"), ("", "Restarting")],
)
def test_while_the_pod_still_ends_its_reason_is_told_already(disruption: str, reason: str) -> None:
    pod = a_pod(
        running=True,
        deletion_requested_at=NOW - 1,
        deletion_due_at=NOW + 29,
        disruption=disruption,
        disrupted=bool(disruption),
    )
    started = {"attempts": [{"number": 0, "startTime": "2027-01-15T07:00:00Z"}]}
    assert said(plan(a_job(pods=(pod,), status=started))) == ("Running", reason)


def test_the_words_of_who_took_it_are_in_the_message() -> None:
    words = "default-scheduler: preempting to accommodate a higher priority pod"
    verdict = judge(taken(disruption="PreemptionByScheduler", message=words), None)
    assert f"preempted by a pod of higher priority ({words})" in verdict.message
    assert verdict.lost


NO_PROGRAM: list[Any] = [
    pytest.param('exec: "train": executable file not found in $PATH: unknown', id="not in the PATH"),
    pytest.param('exec: "/train": stat /train: no such file or directory: unknown', id="no such file"),
    pytest.param('exec: "/train": permission denied: unknown', id="not executable"),
]


@pytest.mark.parametrize("text", NO_PROGRAM)
def test_a_command_that_cannot_be_run_is_told_so_and_never_tried_again(text: str) -> None:
    pod = a_pod(exit_code=128, exit_reason="StartError", message=RUNC + text)
    p = plan(a_job(pods=(pod,), backoffLimit=5))
    assert said(p) == ("Error", "CommandNotFound")
    assert text.removesuffix(": unknown") in status_after(p)["message"]
    assert "runc create" not in status_after(p)["message"]


def test_a_program_for_other_processors_is_told_by_its_last_words() -> None:
    pod = a_pod(exit_code=1, message="exec /train: exec format error\n")
    p = plan(a_job(pods=(pod,), backoffLimit=5))
    assert said(p) == ("Error", "CommandNotFound")
    message = status_after(p)["message"]
    assert "cannot be run: exec /train: exec format error. " in message
    assert "processors" in message


def test_a_trainer_that_only_speaks_of_formats_has_failed_by_itself() -> None:
    pod = a_pod(exit_code=1, message="step 1\nexec helper: exec format error\ngiving up")
    assert judge(pod, None).reason == "TrainerFailed"


def test_any_other_start_that_failed_is_the_pods_failure_and_tried_again() -> None:
    pod = a_pod(exit_code=128, exit_reason="StartError", message=RUNC + "mkdir /etc/passwd: not a directory")
    verdict = judge(pod, None)
    assert (verdict.reason, verdict.again) == ("PodFailed", True)
    assert "not a directory" in verdict.message


def test_a_container_that_does_not_fit_its_memory_at_its_start_is_out_of_memory() -> None:
    text = "container init was OOM-killed (memory limit too low?): unknown"
    assert (
        judge(a_pod(exit_code=128, exit_reason="StartError", message=RUNC + text), None).reason
        == "OutOfMemory"
    )


def test_a_container_that_was_never_started_has_no_start_time() -> None:
    state = {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"}
    raw = {
        "metadata": {"name": "digits-0-0"},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{"name": "trainer", "state": {"terminated": state}}],
        },
    }
    trainer = PodView.from_raw(raw).trainer
    assert trainer is not None
    assert trainer.started_at is None


def only(*codes: int) -> RestartOn:
    return RestartOn.model_validate({"exitCodes": {"operator": "In", "values": list(codes)}})


def all_but(*codes: int) -> RestartOn:
    return RestartOn.model_validate({"exitCodes": {"operator": "NotIn", "values": list(codes)}})


@pytest.mark.parametrize(
    ("restart_on", "code", "again"),
    [
        pytest.param(None, 1, True, id="any code without it"),
        pytest.param(None, EXIT_BAD_INPUT, False, id="not bad input without it"),
        pytest.param(only(3, 137), 3, True, id="a code that it names"),
        pytest.param(only(3, 137), 1, False, id="not a code that it does not name"),
        pytest.param(only(EXIT_BAD_INPUT), EXIT_BAD_INPUT, True, id="bad input when it names that"),
        pytest.param(all_but(3), 1, True, id="a code that it does not leave out"),
        pytest.param(all_but(3), 3, False, id="not a code that it leaves out"),
        pytest.param(all_but(3), EXIT_BAD_INPUT, True, id="bad input when it does not leave that out"),
    ],
)
def test_restart_on_chooses(restart_on: RestartOn | None, code: int, again: bool) -> None:
    assert tried_again(restart_on, code) is again
    verdict = judge(a_pod(exit_code=code), None, restart_on=restart_on)
    assert verdict.again is again
    assert ("spec.restartOn" in verdict.message) is (restart_on is not None and not again)


def test_a_failure_that_restart_on_leaves_out_ends_the_job_by_its_own_reason() -> None:
    codes = {"exitCodes": {"operator": "In", "values": [3]}}
    spec = a_spec(restartOn=codes, backoffLimit=5)
    p = plan(a_job(spec=spec, pods=(a_pod(exit_code=1),)))
    assert said(p) == ("Error", "TrainerFailed")
    assert "spec.restartOn does not have code 1 tried again" in status_after(p)["message"]
    assert said(plan(a_job(spec=spec, pods=(a_pod(exit_code=3),)))) == ("Pending", "BackingOff")
    killed = a_pod(exit_code=137, exit_reason="OOMKilled")
    assert said(plan(a_job(spec=spec, pods=(killed,)))) == ("Error", "OutOfMemory")


def test_a_job_that_ended_before_anything_ran_can_be_mended_and_tried_again() -> None:
    pod = a_pod(
        exit_code=128,
        exit_reason="StartError",
        message=RUNC + NO_PROGRAM[0].values[0],
        spec_hash=spechash.spec_hash(a_spec(command=["trian"])),
    )
    failed = status_after(plan(a_job(spec=a_spec(command=["trian"]), pods=(not_started(pod),))))
    assert (failed["phase"], failed["reason"]) == ("Error", "CommandNotFound")
    assert "specHash" not in failed, "with it the API server would refuse to let the command be changed"
    mended = a_job(spec=a_spec(command=["train"]), pods=(not_started(pod),), status=failed)
    retried = dataclasses.replace(mended, retry_requested_at="again")
    again = dataclasses.replace(retried, status=status_after(plan(retried)))
    (made,) = plan(again, now=NOW + 20).create
    assert made["metadata"]["name"] == "digits-1-0"


def test_a_retry_of_a_mended_job_removes_a_pod_that_never_started_and_is_still_there() -> None:
    old = a_pod(waiting=("InvalidImageName", "bad"), spec_hash=spechash.spec_hash(a_spec(image="BAD")))
    failed = status_after(plan(a_job(spec=a_spec(image="BAD"), pods=(old,))))
    assert (failed["phase"], failed["reason"]) == ("Error", "InvalidSpec")
    mended = a_job(spec=a_spec(image="good"), pods=(old,), status=failed)
    retried = dataclasses.replace(mended, retry_requested_at="again")
    again = dataclasses.replace(retried, status=status_after(plan(retried)))
    assert plan(again, now=NOW + 20).delete == (old,)


def test_what_a_job_ran_with_stays_when_it_fails() -> None:
    spec = a_spec(command=["train"])
    pod = a_pod(exit_code=1, spec_hash=spechash.spec_hash(spec))
    assert status_after(plan(a_job(spec=spec, pods=(pod,))))["specHash"] == pod.spec_hash


def not_started(pod: PodView) -> PodView:
    assert pod.trainer is not None
    return dataclasses.replace(pod, trainer=dataclasses.replace(pod.trainer, started_at=None))
