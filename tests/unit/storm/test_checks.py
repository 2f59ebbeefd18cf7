"""The checks of a storm find what they are for: each case is a fault that an operator could have."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.storm import checks, ownends
from tests.storm.checks import Evidence, Told, faults
from tests.storm.record import Seen
from tests.storm.script import Script, StormJob, Wish

NAME = "job-000"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
COUNT = itertools.count()


def stamp(second: float) -> str:
    return datetime.fromtimestamp(BEGIN + second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status(phase: str, reason: str = "", **more: Any) -> dict[str, Any]:
    """A status whose parts agree, as the operator writes it."""
    ended = phase in ("Done", "Error", "Canceled")
    return {
        "phase": phase,
        "reason": reason,
        "conditions": [
            {"type": "Finished", "status": str(ended)},
            {"type": "Suspended", "status": str(reason == "Paused")},
        ],
        **({"completionTime": stamp(60)} if ended else {}),
        **more,
    }


def attempt(number: int, *, over: bool = True) -> dict[str, Any]:
    times = {"startTime": stamp(0), **({"completionTime": stamp(9)} if over else {})}
    return {"number": number, **times}


def job(*statuses: dict[str, Any]) -> list[Seen]:
    return [
        Seen(at=BEGIN, deleted=False, object={"metadata": {"name": NAME, "uid": "job"}, "status": one})
        for one in statuses
    ]


def pod(
    number: int = 0,
    *,
    rank: int = 0,
    uid: str = "",
    ran: tuple[float, float | None] | None = (0, 9),
    code: int = 0,
    message: str = "",
    deleted: float | None = None,
    finalizers: Sequence[str] = (),
    gone: bool | None = None,
    node: str = "fake-0",
) -> list[Seen]:
    """Versions of a pod: created, perhaps running, perhaps deleted, perhaps over, perhaps gone. Times in seconds."""
    metadata: dict[str, Any] = {
        "name": f"{NAME}-{number}-{rank}",
        "uid": uid or f"pod-{next(COUNT)}",
        "labels": {checks.LABEL_JOB: NAME, ownends.LABEL_ATTEMPT: str(number)},
        "finalizers": list(finalizers),
    }
    told: list[dict[str, Any]] = [{"phase": "Pending"}]
    if ran is not None:
        state: dict[str, Any] = {"running": {"startedAt": stamp(ran[0])}}
        told.append({"phase": "Running", "containerStatuses": [{"name": "trainer", "state": state}]})
        if ran[1] is not None:
            end = {"startedAt": stamp(ran[0]), "finishedAt": stamp(ran[1]), "exitCode": code}
            state = {"terminated": {**end, "message": message}}
            phase = "Failed" if code else "Succeeded"
            told.append({"phase": phase, "containerStatuses": [{"name": "trainer", "state": state}]})
    result = []
    for turn, one in enumerate(told):
        if deleted is not None and turn == len(told) - 1:
            metadata = {**metadata, "deletionTimestamp": stamp(deleted), "deletionGracePeriodSeconds": 0}
        body = {"metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": one}
        result.append(Seen(at=BEGIN + 30, deleted=False, object=body))
    if gone if gone is not None else deleted is not None:
        result.append(Seen(at=BEGIN + 30, deleted=True, object=result[-1].object))
    return result


def told(*events: str) -> list[Told]:
    return [
        Told(job=NAME, id=f"id-{number}", event=event, sequence=number)
        for number, event in enumerate(events, start=1)
    ]


def evidence(
    jobs: list[Seen],
    pods: list[Seen] | None = None,
    said: list[Told] | None = None,
    *,
    wish: Wish = "run",
    resumable: bool = True,
    nodes: int = 1,
    wished_at: float = 0,
    deaf: Sequence[tuple[float, float]] = (),
) -> Evidence:
    one = StormJob(
        name=NAME,
        run_seconds=1,
        trainer="stops",
        resumable=resumable,
        refusals=0,
        wish=wish,
        nodes=nodes,
    )
    if said is None:
        said = told(*checks.events(jobs))
    return Evidence(
        script=Script(seed=1, seconds=1, jobs=(one,), actions=()),
        jobs=jobs,
        pods=pods or [],
        told=said,
        wished_at={NAME: BEGIN + wished_at},
        deaf=[(BEGIN + begin, BEGIN + end) for begin, end in deaf],
    )


DONE = status("Done", "Completed", attempts=[attempt(0)])
PAUSED = status("Pending", "Paused", attempts=[attempt(0)])
CANCELED = status("Canceled", "CanceledByUser", attempts=[attempt(0)])
TRAINING = status("Running", "Training", startTime=stamp(0), attempts=[attempt(0, over=False)])

RIGHT = {
    "a job that ran to its end": evidence(job(TRAINING, {**DONE, "startTime": stamp(0)}), pod()),
    "a job that was paused": evidence(job(PAUSED), pod(code=143, deleted=9), wish="suspend"),
    "a job that was cancelled": evidence(job(CANCELED), pod(code=143, deleted=9), wish="cancel"),
    "a job that had ended before it was cancelled": evidence(job(DONE), pod(), wish="cancel", wished_at=20),
    "a trainer that finishes although it is told to stop": evidence(
        job(DONE), pod(message='{"complete": true}', deleted=5), wish="cancel"
    ),
    "a trainer that ended in the very second in which it was told to": evidence(
        job({**PAUSED, "stop": {"cause": "Suspend", "time": stamp(9)}}), pod(deleted=10), wish="suspend"
    ),
    "a job that ran on while there was no operator to stop it": evidence(
        job(DONE), pod(ran=(0, 50)), wish="suspend", wished_at=5, deaf=[(2, 45)]
    ),
    "a cancel of what cannot go on that is taken back": evidence(
        job(CANCELED), pod(code=143, deleted=9), wish="run", resumable=False
    ),
    "a second attempt after the first": evidence(
        job({**DONE, "attempts": [attempt(0), attempt(1)]}), [*pod(code=143, deleted=9), *pod(1, ran=(9, 20))]
    ),
    "two ranks that ran beside each other to their end": evidence(
        job(DONE), [*pod(ran=(0, 9)), *pod(rank=1, ran=(1, 12))], nodes=2
    ),
    "a rank that had done its work when the other was taken away": evidence(
        job(PAUSED), [*pod(), *pod(rank=1, code=143, ran=(0, 12), deleted=11)], nodes=2, wish="suspend"
    ),
    "a rank that failed for want of the one that was taken away": evidence(
        job({**DONE, "attempts": [attempt(0), attempt(1)]}),
        [
            *pod(code=143, deleted=4, ran=(0, 5)),
            *pod(rank=1, code=1, ran=(0, 7)),
            *pod(1, ran=(9, 20)),
            *pod(1, rank=1, ran=(9, 20)),
        ],
        nodes=2,
    ),
    "a delivery that comes twice under its id": evidence(
        job(TRAINING, {**DONE, "startTime": stamp(0)}),
        pod(),
        [*told("Started", "Completed")[:1] * 2, *told("Started", "Completed")],
    ),
}


@pytest.mark.parametrize("found", RIGHT.values(), ids=RIGHT.keys())
def test_nothing_is_found_where_all_is_well(found: Evidence) -> None:
    assert faults(found) == []


TWO = {**DONE, "attempts": [attempt(0), attempt(1)]}
WRONG = {
    "a job that was told to pause and runs on": (
        evidence(job(TRAINING), pod(ran=(0, None)), wish="suspend"),
        ["last told to suspend and is on its way"],
    ),
    "a paused job that shall run": (
        evidence(job(PAUSED), pod(code=143, deleted=9)),
        ["last told to run and is Paused"],
    ),
    "a cancelled job that shall go on": (
        evidence(job(CANCELED), pod(code=143, deleted=9)),
        ["last told to run and is Canceled"],
    ),
    "a job that is paused although it had finished": (
        evidence(job(PAUSED), pod(), wish="suspend"),
        ["had ended by itself with exit code 0"],
    ),
    "a stopped trainer that is taken for a finished one": (
        evidence(job(DONE), pod(message='{"complete": false}', deleted=5), wish="run"),
        ["the trainers of none of its attempts ended so by themselves"],
    ),
    "a killed trainer that is taken for a failed one": (
        evidence(job(status("Error", "PodFailed", attempts=[attempt(0)])), pod(code=137, deleted=9)),
        ["the trainers of none of its attempts ended so by themselves"],
    ),
    "a failed trainer that is taken for a finished one": (
        evidence(job(DONE), pod(code=1)),
        ["the trainers of none of its attempts ended so by themselves"],
    ),
    "a job that is called Done while one of its ranks was stopped": (
        evidence(job(DONE), [*pod(), *pod(rank=1, code=143, deleted=8)], nodes=2),
        ["the trainers of none of its attempts ended so by themselves"],
    ),
    "a rank of an attempt before that still runs": (
        evidence(
            job(TWO),
            [
                *pod(code=143, deleted=4, ran=(0, 5)),
                *pod(rank=1, ran=(0, 30), code=143, deleted=29),
                *pod(1, ran=(40, 50)),
                *pod(1, rank=1, ran=(29, 50)),
            ],
            nodes=2,
        ),
        ["the trainers of job-000-0-1 and job-000-1-1 ran at the same time"],
    ),
    "an operator that heard and did nothing": (
        evidence(job(DONE), pod(ran=(0, 60)), wish="suspend", wished_at=10),
        ["was told to suspend and ran on for 50 s"],
    ),
    "a status that says two things": (
        evidence(job({**PAUSED, "phase": "Running"}), pod(code=143, deleted=9), wish="suspend"),
        ["is on its way"],
    ),
    "an end that is taken back": (
        evidence(job(DONE, TRAINING, DONE), pod()),
        ["was Done and became Running/Training"],
    ),
    "an attempt that is forgotten": (
        evidence(job(TWO, DONE), pod()),
        ["had recorded attempt 1 and then had [0]"],
    ),
    "an ended attempt that is not recorded": (
        evidence(
            job(PAUSED),
            [*pod(code=143, deleted=9), *pod(1, ran=(10, 20), code=143, deleted=19)],
            wish="suspend",
        ),
        ["its attempt 1 ended and is not recorded so"],
    ),
    "an attempt with two pods": (
        evidence(job(DONE), [*pod(code=143, deleted=9), *pod(ran=(10, 20))]),
        [f"the pod {NAME}-0-0 was made 2 times"],
    ),
    "a pod that is made before the one before it is over": (
        evidence(job(TWO), [*(first := pod(ran=(0, 9)))[:-1], *pod(1, ran=(9, 20)), first[-1]]),
        ["were there at the same time"],
    ),
    "trainers that ran at the same time by their own clocks": (
        evidence(job(TWO), [*pod(code=143, ran=(0, 15), deleted=9), *pod(1, ran=(10, 20))]),
        ["the trainers of job-000-0-0 and job-000-1-0 ran at the same time"],
    ),
    "a pod that still runs when its job is paused": (
        evidence(job(PAUSED), pod(ran=(0, None)), wish="suspend"),
        ["and its pod job-000-0-0 is Running"],
    ),
    "a pod that nobody takes away": (
        evidence(job(PAUSED), pod(code=143, deleted=9, gone=False), wish="suspend"),
        ["was deleted and has not gone"],
    ),
    "a finalizer that is left": (
        evidence(job(DONE), pod(finalizers=["trainyard.dev/verdict"])),
        ["still has ['trainyard.dev/verdict']"],
    ),
    "an event that was not told": (
        evidence(job(TRAINING, DONE), pod(), told("Started")),
        ["what happened was ['Started', 'Completed'], and ['Started'] was told"],
    ),
    "an event that did not happen": (
        evidence(job(DONE), pod(), told("Paused", "Completed")),
        ["what happened was ['Completed'], and ['Paused', 'Completed'] was told"],
    ),
    "an event under two ids": (
        evidence(
            job(DONE), pod(), [*told("Completed"), Told(job=NAME, id="other", event="Completed", sequence=1)]
        ),
        ["event 1 came as"],
    ),
    "two events under one id": (
        evidence(
            job(TRAINING, DONE),
            pod(),
            [Told(job=NAME, id="same", event=e, sequence=n) for n, e in ((1, "Started"), (2, "Completed"))],
        ),
        ["The id same came with several events"],
    ),
    "events that come in the wrong order": (
        evidence(job(TRAINING, DONE), pod(), told("Started", "Completed")[::-1]),
        ["came in the order [2, 1]"],
    ),
}


@pytest.mark.parametrize(("found", "says"), WRONG.values(), ids=WRONG.keys())
def test_each_fault_is_found_and_nothing_else(found: Evidence, says: list[str]) -> None:
    assert len(faults(found)) == len(says), faults(found)
    for fault, part in zip(faults(found), says, strict=True):
        assert part in fault


def test_events_of_a_life_in_the_order_in_which_they_happened() -> None:
    resumed = {**TRAINING, "reason": "Training"}
    seen = job(TRAINING, {**PAUSED, "startTime": stamp(0)}, resumed, CANCELED, resumed, DONE)
    wanted = ["Started", "Paused", "Resumed", "Canceled", "Resumed", "Completed"]
    assert list(checks.events(seen)) == wanted
