"""Attempts: a pod that is taken away is replaced, and not without end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import (
    NOW,
    a_job,
    a_pod,
    env_of,
    plan,
    said,
    status_after,
)
from trainyard.planning import jobstatus
from trainyard.planning.observed import Memory
from trainyard.planning.podview import PodView

OUTPUT = {"claimName": "out"}

LOST: list[Any] = [
    pytest.param(
        a_pod(exit_code=0, finished_at=NOW - 5, deletion_requested_at=NOW - 10),
        id="a trainer that saved and exited with 0 on somebody's deletion",
    ),
    pytest.param(a_pod(exit_code=143, deletion_requested_at=NOW - 10), id="a trainer killed by a deletion"),
    pytest.param(a_pod(exit_code=137, disrupted=True), id="a pod evicted or preempted"),
    pytest.param(a_pod(phase="Failed", disrupted=True), id="a pod of a node that is gone"),
]


@pytest.mark.parametrize("pod", LOST)
def test_a_pod_taken_away_is_replaced_and_is_no_end(pod: PodView) -> None:
    observed = a_job(pods=(pod,), output=OUTPUT)
    first = plan(observed)
    assert said(first) == ("Running", "Restarting")
    assert not first.create, "the attempt is recorded before its pod"
    status = status_after(first)
    assert [entry["number"] for entry in status["attempts"]] == [0, 1]
    assert "completionTime" not in status
    waits = dataclasses.replace(observed, status=status)
    second = plan(waits, now=NOW + 10)
    (created,) = second.create
    assert created["metadata"]["name"] == "digits-1-0"
    assert env_of(created)["TRAINYARD_CHECKPOINT_DIR"].endswith("/attempt-1/checkpoints")


def test_a_pod_that_vanished_after_it_ran_is_replaced() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    status = status_after(plan(ran))
    gone = dataclasses.replace(ran, pods=(), status=status)
    assert said(plan(gone)) == ("Running", "Restarting")


def test_a_pod_being_deleted_is_waited_for() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    leaving = dataclasses.replace(
        ran, status=status_after(plan(ran)), pods=(a_pod(running=True, deletion_requested_at=NOW),)
    )
    p = plan(leaving)
    assert said(p) == ("Running", "Restarting")
    assert not p.create


def test_attempts_that_are_lost_at_once_are_paced_and_their_pods_do_not_pile_up() -> None:
    status: dict[str, Any] = {"observedGeneration": -1}
    pods: list[PodView] = []
    deleted: set[str] = set()
    memory, created, now = Memory(), 0, NOW
    while now < NOW + 3600:
        p = plan(a_job(pods=tuple(pods), status=status, memory=memory), now=now)
        memory = p.memory
        deleted |= {pod.name for pod in p.delete}
        pods = [pod for pod in pods if pod.name not in deleted]
        if p.status is not None:
            status = dict(p.status)
        if p.create:
            pods.append(
                a_pod(attempt=created, phase="Failed", reason="UnexpectedAdmissionError", disrupted=True)
            )
            created += 1
        now += max(1.0, p.requeue_after or 1.0)
    assert created <= 17, "10 s, doubled, then every five minutes"
    assert len(pods) <= 5
    assert "completionTime" not in status


def test_a_pod_deleted_by_force_of_which_no_end_is_told_is_given_up() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    status = status_after(plan(ran))
    pod = a_pod(running=True, deletion_requested_at=NOW, forced=True, finalized=True)
    forced = dataclasses.replace(ran, status=status, pods=(pod,))
    early = plan(forced, now=NOW + 30)
    assert said(early) == ("Running", "Restarting")
    assert not early.release
    late = plan(forced, now=NOW + 61)
    assert [entry["number"] for entry in status_after(late)["attempts"]] == [0, 1]
    assert late.release == (pod,)
    after = dataclasses.replace(forced, status=status_after(late))
    assert plan(after, now=NOW + 200).create, "it is not waited for any longer"


def test_a_pod_whose_node_says_nothing_is_told_with_what_to_do() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    pod = a_pod(running=True, deletion_requested_at=NOW)
    waits = dataclasses.replace(ran, status=status_after(plan(ran)), pods=(pod,))
    first = plan(waits, now=NOW + 1)
    assert "--force" not in status_after(first)["message"]
    assert first.requeue_after
    late = plan(dataclasses.replace(waits, status=status_after(first)), now=NOW + 200)
    assert "kubectl delete pod digits-0-0 --force" in status_after(late)["message"]


@pytest.mark.parametrize("code", [0, 1], ids=["a success", "a failure"])
def test_an_end_before_the_disruption_is_an_end_of_its_own(code: int) -> None:
    pod = a_pod(
        exit_code=code,
        finished_at=NOW - 1000,
        disrupted=True,
        disrupted_at=NOW - 50,
        deletion_requested_at=NOW - 50,
    )
    assert status_after(plan(a_job(pods=(pod,))))["phase"] == ("Error" if code else "Done")


def test_an_attempt_that_ran_long_is_replaced_at_once() -> None:
    status = {
        "attempts": [
            {
                "number": 0,
                "startTime": "2027-01-15T07:00:00Z",
                "completionTime": "2027-01-15T08:00:00Z",
                "reason": "Restarting",
                "counted": False,
            },
            {"number": 1},
        ]
    }
    assert len(plan(a_job(status=status)).create) == 1


def _ran(number: int, begun: str, ended: str) -> dict[str, object]:
    day = "2027-01-15T"
    return {
        "number": number,
        "startTime": f"{day}{begun}Z",
        "completionTime": f"{day}{ended}Z",
        "counted": False,
    }


def test_attempts_that_never_started_go_before_those_that_ran() -> None:
    status: dict[str, Any] = {"attempts": [_ran(0, "01:00:00", "07:00:00")]}
    for number in range(1, 60):
        status["attempts"] = jobstatus.with_attempt(status, number)
    kept = [entry["number"] for entry in status["attempts"]]
    assert len(kept) == 32
    assert (kept[0], kept[-1]) == (0, 59)
