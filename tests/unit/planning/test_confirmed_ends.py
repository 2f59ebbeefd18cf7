"""The end of a pod that its node has confirmed: by then the API server has stamped the deletion anew, after the end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, plan, said, status_after
from trainyard.planning.podview import PodView
from trainyard.planning.times import stamp

BEGUN = {"number": 0, "startTime": stamp(NOW - 60)}
STOPPED, ENDED, CONFIRMED = NOW - 20, NOW - 3, NOW - 1


def confirmed(exit_code: int, message: str = "") -> PodView:
    """Told to end at STOPPED, ended at ENDED, and stamped as if it had been deleted at CONFIRMED."""
    return a_pod(
        exit_code=exit_code,
        message=message,
        finished_at=ENDED,
        deletion_requested_at=CONFIRMED,
        deletion_due_at=CONFIRMED,
        forced=True,
        finalized=True,
    )


def status(**fields: Any) -> dict[str, Any]:
    return {"observedGeneration": 1, "startTime": stamp(NOW - 60), "attempts": [BEGUN], **fields}


@pytest.mark.parametrize("code", [130, 137, 143])
def test_an_end_by_a_signal_is_the_deletions_work(code: int) -> None:
    p = plan(a_job(pods=(confirmed(code),), status=status()))
    assert said(p) == ("Running", "Restarting")


def test_a_trainer_that_says_it_is_not_complete_has_not_finished() -> None:
    p = plan(a_job(pods=(confirmed(0, '{"complete": false}'),), status=status()))
    assert said(p) == ("Running", "Restarting")


def test_a_trainer_that_says_it_is_complete_has_finished() -> None:
    p = plan(a_job(pods=(confirmed(0, '{"complete": true}'),), status=status()))
    assert said(p) == ("Done", "Completed")


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(("cause", "spec"), [("Suspend", "suspend"), ("Cancel", "cancel")])
def test_an_end_after_a_stop_was_decided_is_the_stops(code: int, cause: str, spec: str) -> None:
    stop = {"cause": cause, "time": stamp(STOPPED)}
    p = plan(a_job(pods=(confirmed(code),), status=status(stop=stop), **{spec: True}))
    assert said(p) == (("Pending", "Paused") if cause == "Suspend" else ("Canceled", "CanceledByUser"))


def test_an_end_before_a_stop_was_decided_is_the_trainers_own() -> None:
    stop = {"cause": "Suspend", "time": stamp(ENDED + 10)}
    p = plan(a_job(pods=(confirmed(0),), status=status(stop=stop), suspend=True))
    assert said(p) == ("Done", "Completed")


def test_an_end_within_what_clocks_differ_by_is_taken_for_the_stops() -> None:
    stop = {"cause": "Suspend", "time": stamp(ENDED + 3)}
    p = plan(a_job(pods=(confirmed(0),), status=status(stop=stop), suspend=True))
    assert said(p) == ("Pending", "Paused")


@pytest.mark.parametrize("code", [0, 1])
def test_a_deletion_that_was_seen_before_the_end_is_remembered_whatever_the_stamps_say_later(
    code: int,
) -> None:
    leaving = a_pod(running=True, deletion_requested_at=STOPPED, deletion_due_at=NOW + 10, finalized=True)
    seen = plan(a_job(pods=(leaving,), status=status()), now=STOPPED + 1)
    assert said(seen) == ("Running", "Restarting")
    after = plan(a_job(pods=(confirmed(code),), status=status_after(seen)))
    assert said(after) == ("Running", "Restarting")
    (first, _) = status_after(after)["attempts"]
    assert (first["reason"], first["counted"]) == ("Restarting", False)


def test_a_trainer_that_finishes_while_its_pod_is_deleted_is_recorded_as_finished() -> None:
    leaving = a_pod(running=True, deletion_requested_at=STOPPED, deletion_due_at=NOW + 10, finalized=True)
    seen = plan(a_job(pods=(leaving,), status=status()), now=STOPPED + 1)
    done = confirmed(0, '{"complete": true}')
    after = plan(a_job(pods=(done,), status=status_after(seen)))
    assert said(after) == ("Done", "Completed")
    assert status_after(after)["attempts"][0]["reason"] == "Completed"


def test_a_trainer_that_was_killed_for_its_memory_has_failed_whoever_deletes_the_pod_later() -> None:
    pod = confirmed(137)
    assert pod.trainer is not None
    pod = dataclasses.replace(pod, trainer=dataclasses.replace(pod.trainer, reason="OOMKilled"))
    assert said(plan(a_job(pods=(pod,), status=status()))) == ("Error", "OutOfMemory")
