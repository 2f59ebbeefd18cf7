"""Retries: an attempt that failed is tried again, paced, counted, and not without end."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, env_of, plan, said, status_after
from trainyard.planning.observed import Memory, ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.times import seconds, stamp

OUTPUT = {"claimName": "out"}


def failing(attempt: int, *, at: float = NOW, code: int = 1) -> PodView:
    return a_pod(attempt=attempt, exit_code=code, message="diverged", finished_at=at)


def after(observed: ObservedJob, **changes: Any) -> ObservedJob:
    return dataclasses.replace(observed, memory=Memory(), **changes)


def test_a_failure_is_recorded_with_its_words_before_anything_is_tried_again() -> None:
    observed = a_job(pods=(failing(0),), backoffLimit=3, output=OUTPUT)
    p = plan(observed)
    assert said(p) == ("Pending", "BackingOff")
    assert not p.create
    status = status_after(p)
    assert status["failures"] == 1
    assert "Retry 1 of 3" in status["message"]
    assert "diverged" in status["message"]
    assert [e.get("exitCode") for e in status["attempts"]] == [1, None]
    assert "completionTime" not in status
    assert [a.reason for a in p.announce] == ["BackingOff"]


def test_the_next_attempt_begins_after_the_backoff_from_the_last_checkpoint() -> None:
    observed = a_job(pods=(failing(0),), backoffLimit=3, output=OUTPUT)
    waits = after(observed, status=status_after(plan(observed)))
    early = plan(waits, now=NOW + 9)
    assert not early.create
    assert early.status is None, "nothing new is to be said"
    assert early.requeue_after == pytest.approx(1.0)
    (created,) = plan(waits, now=NOW + 10).create
    assert created["metadata"]["name"] == "digits-1-0"
    assert env_of(created)["TRAINYARD_CHECKPOINT_DIR"].endswith("/attempt-1/checkpoints")
    assert env_of(created)["TRAINYARD_ATTEMPT"] == "1"


def test_delays_are_doubled_up_to_five_minutes_and_end_with_the_limit() -> None:
    status: dict[str, Any] = {"observedGeneration": -1}
    pods: list[PodView] = []
    starts, now = [NOW], NOW
    for attempt in range(9):
        pods.append(failing(attempt, at=now))
        p = plan(a_job(status=status, pods=tuple(pods), backoffLimit=8), now=now)
        status = status_after(p)
        if "completionTime" in status:
            break
        while not (p := plan(a_job(status=status, pods=tuple(pods), backoffLimit=8), now=now)).create:
            now += 1
        starts.append(now)
    assert [round(b - a) for a, b in itertools.pairwise(starts)] == [
        10,
        20,
        40,
        80,
        160,
        300,
        300,
        300,
    ]
    assert (status["phase"], status["reason"]) == ("Error", "BackoffLimitExceeded")
    assert status["failures"] == 9
    assert "TrainerFailed" in status["message"]
    assert "diverged" in status["message"]
    assert seconds(status["completionTime"]) == now


def test_bad_parameters_are_not_tried_again() -> None:
    p = plan(a_job(pods=(failing(0, code=2),), backoffLimit=3))
    assert said(p) == ("Error", "TrainerFailed")


def test_a_pod_that_is_taken_away_does_not_count() -> None:
    observed = a_job(pods=(a_pod(exit_code=137, disrupted=True),), backoffLimit=1)
    status = status_after(plan(observed))
    assert status.get("failures", 0) == 0
    once = a_job(status=status, pods=(failing(1),), backoffLimit=1)
    assert said(plan(once)) == ("Pending", "BackingOff")


def test_an_eviction_for_the_pods_own_use_counts() -> None:
    pod = dataclasses.replace(
        a_pod(phase="Failed", reason="Evicted", disrupted=True),
        message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
    )
    assert said(plan(a_job(pods=(pod,)))) == ("Error", "PodFailed")
    pressed = dataclasses.replace(pod, message="The node was low on resource: memory.")
    assert said(plan(a_job(pods=(pressed,)))) == ("Running", "Evicted")


def test_a_higher_limit_while_waiting_is_honoured_and_a_lower_one_too() -> None:
    observed = a_job(pods=(failing(0),), backoffLimit=3)
    status = status_after(plan(observed))
    again = a_job(status=status, pods=(failing(0), failing(1)), backoffLimit=1)
    assert said(plan(again)) == ("Error", "BackoffLimitExceeded")
    more = a_job(status=status, pods=(failing(0), failing(1)), backoffLimit=5)
    assert said(plan(more)) == ("Pending", "BackingOff")


def test_two_attempts_never_run_beside_each_other() -> None:
    lingering = dataclasses.replace(failing(0), phase="Running")
    observed = a_job(pods=(lingering,), backoffLimit=3)
    status = status_after(plan(observed))
    waits = a_job(status=status, pods=(lingering,), backoffLimit=3)
    p = plan(waits, now=NOW + 11)
    assert not p.create
    assert p.delete == (lingering,)
    leaving = dataclasses.replace(lingering, deletion_requested_at=NOW + 11)
    p = plan(dataclasses.replace(waits, pods=(leaving,)), now=NOW + 12)
    assert not p.create
    assert not p.delete
    assert plan(dataclasses.replace(waits, pods=(failing(0),)), now=NOW + 13).create


def test_the_failure_of_an_attempt_is_written_once() -> None:
    observed = a_job(pods=(failing(0),), backoffLimit=3)
    first = plan(observed)
    waits = dataclasses.replace(observed, status=status_after(first), memory=first.memory)
    for passed in range(10):
        p = plan(waits, now=NOW + passed)
        assert p.status is None
        waits = dataclasses.replace(waits, memory=p.memory)


def test_the_stamp_of_the_next_attempt_is_in_the_message() -> None:
    status = status_after(plan(a_job(pods=(failing(0),), backoffLimit=3)))
    assert stamp(NOW + 10) in status["message"]


def test_the_backoff_does_not_follow_a_node_whose_clock_is_ahead() -> None:
    observed = a_job(pods=(failing(0, at=NOW + 600),), backoffLimit=3)
    waits = after(observed, status=status_after(plan(observed)))
    assert plan(waits, now=NOW + 10).create


def test_the_end_of_a_job_is_the_end_of_its_attempt() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    gone = dataclasses.replace(ran, status=status_after(plan(ran)), pods=())
    second = dataclasses.replace(gone, status=status_after(plan(gone)))
    bad = dataclasses.replace(second, spec=None, spec_error="spec.action: not one of ...")
    (first, last) = status_after(plan(bad, now=NOW + 60))["attempts"]
    assert (last["reason"], bool(last["completionTime"])) == ("InvalidSpec", True)
    assert first["reason"] == "Restarting"
