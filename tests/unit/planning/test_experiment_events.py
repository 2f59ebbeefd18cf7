"""What callbacks are told of an Experiment, and that they are told of it as of a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from trainyard.api.callbacks import Callback
from trainyard.planning.callbackevents import of_experiment
from trainyard.planning.callbacks import delivery_id, with_callbacks
from trainyard.planning.deliveries import RetryRules
from trainyard.planning.observed import Answer
from trainyard.planning.plan import Delivery, Plan
from trainyard.planning.times import stamp

Json = dict[str, Any]

NOW = 1_800_000_000.0
UID = "e-1"
HOOK = Callback.model_validate(
    {"name": "hook", "url": "https://hook.example.com/", "events": ["Started", "Paused", "Completed"]}
)


def condition(kind: str, status: str, reason: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason}


def ended(reason: str, *, succeeded: bool = False, **fields: Any) -> Json:
    verdict = "True" if succeeded else "False"
    conditions = [condition("Finished", "True", reason), condition("Succeeded", verdict, reason)]
    return {"startTime": "t0", "completionTime": "t3", "conditions": conditions, **fields}


RUNNING: Json = {"startTime": "t0", "conditions": [condition("Finished", "False")]}
PAUSING: Json = {**RUNNING, "conditions": [condition("Suspended", "False"), *RUNNING["conditions"]]}
PAUSED: Json = {**RUNNING, "conditions": [condition("Suspended", "True", "Paused"), *RUNNING["conditions"]]}
DONE = ended("Completed", succeeded=True)
FAILED = ended("StepFailed")
CANCELED = ended("CanceledByUser")
AT_3 = {**RUNNING, "progress": {"done": 0, "total": 2, "summary": "3/20"}}
AT_4 = {**RUNNING, "progress": {"done": 0, "total": 2, "summary": "4/20"}}

ROWS: list[Any] = [
    ("a draft is accepted", {}, {"phase": "Pending", "reason": "Draft"}, []),
    ("its first job starts", {}, RUNNING, ["Started"]),
    ("its second job starts", RUNNING, {**RUNNING, "jobs": {"running": 2}}, []),
    ("its steps are counted", {}, {"progress": {"done": 0, "total": 2, "summary": "0/2"}}, []),
    ("a trial ends", AT_3, AT_4, ["Progress"]),
    ("a better value is found", RUNNING, {**RUNNING, "keyMetric": {"value": "0.9"}}, ["Progress"]),
    ("a job says something", RUNNING, {**RUNNING, "lastReport": {"message": "epoch 3"}}, []),
    ("its jobs are being paused", RUNNING, PAUSING, []),
    ("it is paused", PAUSING, PAUSED, ["Paused"]),
    ("it is paused before it began", {}, {"conditions": PAUSED["conditions"]}, ["Paused"]),
    ("it stays paused", PAUSED, {**PAUSED, "message": "x"}, []),
    ("it goes on", PAUSED, RUNNING, ["Resumed"]),
    ("it is done", AT_4, {**DONE, "progress": AT_4["progress"]}, ["Completed"]),
    ("it is done before it was seen to run", {}, DONE, ["Started", "Completed"]),
    ("a step fails", RUNNING, FAILED, ["Failed"]),
    ("its spec is wrong", {}, {k: v for k, v in FAILED.items() if k != "startTime"}, ["Failed"]),
    ("it is cancelled", RUNNING, CANCELED, ["Canceled"]),
    ("it is cancelled while it is paused", PAUSED, CANCELED, ["Canceled"]),
    ("its cancel is taken back", CANCELED, RUNNING, ["Resumed"]),
    ("a failed step was changed and runs again", FAILED, RUNNING, []),
    ("a changed step was the last to be done", RUNNING, DONE, ["Completed"]),
    ("nothing happens after the end", DONE, {**DONE, "message": "x"}, []),
]


@pytest.mark.parametrize(("case", "old", "new", "told"), ROWS, ids=[row[0] for row in ROWS])
def test_an_experiment_tells(case: str, old: Json, new: Json, told: list[str]) -> None:
    assert list(of_experiment(old, new)) == told


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnExperiment:
    """What the plan of an Experiment gives to `with_callbacks`."""

    uid: str = UID
    deleting: bool = False
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    callbacks: Sequence[Callback] | None = (HOOK,)
    answers: Mapping[str, Answer] = dataclasses.field(default_factory=dict)


def look(observed: AnExperiment, status: Json | None, now: float = NOW) -> Plan:
    plan = Plan(status=status, requeue_after=60.0)
    return with_callbacks(observed, plan, now=now, rules=RetryRules(), events=of_experiment)


def written(plan: Plan) -> Json:
    assert plan.status is not None
    return dict(plan.status)


def test_its_end_is_in_the_status_that_ends_it_then_sent_then_written_as_delivered() -> None:
    ends = look(AnExperiment(status=RUNNING), DONE)
    (entry,) = written(ends)["callbacks"]
    key = delivery_id(UID, "hook", "Completed", 1)
    assert entry == {
        "id": key,
        "name": "hook",
        "event": "Completed",
        "sequence": 1,
        "time": stamp(NOW),
        "state": "Pending",
        "attempts": 0,
    }
    assert (ends.deliver, ends.requeue_after) == ((), 0.0), "only what is in status already goes out"
    sent = look(AnExperiment(status=written(ends)), None)
    assert sent.deliver == (Delivery(callback="hook", url=str(HOOK.url), ids=(key,)),)
    assert sent.status is None
    answer = Answer(number=1, sent_at=NOW, at=NOW + 1, message="Answered 204.", delivered=True)
    told = look(AnExperiment(status=written(ends), answers={key: answer}), None)
    assert [e["state"] for e in written(told)["callbacks"]] == ["Delivered"]
    assert told.deliver == ()
    assert look(AnExperiment(status=written(told)), None) == Plan(requeue_after=60.0)


def test_an_experiment_that_runs_again_tells_its_second_end_under_an_id_of_its_own() -> None:
    first = written(look(AnExperiment(status=RUNNING), DONE))
    again = {**RUNNING, "callbacks": first["callbacks"]}
    second = written(look(AnExperiment(status=again), {**DONE, "callbacks": first["callbacks"]}))
    assert [(e["event"], e["sequence"]) for e in second["callbacks"]] == [("Completed", 1), ("Completed", 2)]
    assert len({e["id"] for e in second["callbacks"]}) == 2


def test_one_that_is_being_deleted_or_has_no_callbacks_is_left_alone() -> None:
    for observed in (AnExperiment(status=RUNNING, deleting=True), AnExperiment(status=RUNNING, callbacks=())):
        assert look(observed, DONE) == Plan(status=DONE, requeue_after=60.0)
