"""What happened between two statuses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.planning.callbackevents import of_job as events

Json = dict[str, Any]

STARTED: Json = {"startTime": "t0"}
PAUSING: Json = {**STARTED, "stop": {"cause": "Suspend", "time": "t1"}}
PAUSED: Json = {**STARTED, "stop": {"cause": "Suspend", "time": "t1", "endTime": "t2"}}
OVERDUE: Json = {**STARTED, "stop": {"cause": "DeadlineExceeded", "time": "t1"}}


def ended(reason: str, *, before: Json = STARTED, **stop: str) -> Json:
    """A status that has come to its end for this reason, with a stop in force if there was one."""
    conditions = [
        {"type": "Finished", "status": "True", "reason": reason},
        {"type": "Succeeded", "status": "True" if reason == "Completed" else "False", "reason": reason},
    ]
    status = {key: value for key, value in before.items() if key != "stop"}
    return {**status, "completionTime": "t3", "conditions": conditions} | ({"stop": stop} if stop else {})


DONE = ended("Completed")
FAILED = ended("TrainerFailed")
CANCELED = ended("CanceledByUser", cause="Cancel", time="t1", endTime="t2")
CANCELED_WITH_ITS_PARENT = ended("ParentCanceled", before={})
TOO_LATE = ended("DeadlineExceeded", cause="DeadlineExceeded", time="t1", endTime="t2")
DONE_WHILE_PAUSING = ended("Completed", cause="Suspend", time="t1")
PARENT_BACK: Json = {"reason": "BackingOff"}

ROWS: list[Any] = [
    ("it is accepted", {}, {"phase": "Pending"}, []),
    ("it starts", {}, STARTED, ["Started"]),
    ("another attempt starts", STARTED, {**STARTED, "attempts": [{"number": 1}]}, []),
    ("it is done before it was seen to run", {}, DONE, ["Started", "Completed"]),
    ("it is done", STARTED, DONE, ["Completed"]),
    ("it fails", STARTED, FAILED, ["Failed"]),
    ("it was never valid", {}, ended("InvalidSpec", before={}), ["Failed"]),
    ("a pause is decided", STARTED, PAUSING, []),
    ("a pause is in force", PAUSING, PAUSED, ["Paused"]),
    ("it is paused before it began", {}, {"stop": PAUSED["stop"]}, ["Paused"]),
    ("it stays paused", PAUSED, {**PAUSED, "message": "x"}, []),
    ("it goes on", PAUSED, STARTED, ["Resumed"]),
    ("it ends by itself while being paused", PAUSING, DONE_WHILE_PAUSING, ["Completed"]),
    ("a pause is taken back before its end", PAUSING, PAUSED, ["Paused"]),
    ("it is cancelled", STARTED, CANCELED, ["Canceled"]),
    ("it is cancelled while paused", PAUSED, CANCELED, ["Canceled"]),
    ("cancel is taken back", CANCELED, STARTED, ["Resumed"]),
    ("its parent is cancelled", {}, CANCELED_WITH_ITS_PARENT, ["Canceled"]),
    ("it goes on without its cancelled parent", CANCELED_WITH_ITS_PARENT, PARENT_BACK, ["Resumed"]),
    ("its deadline passes", STARTED, OVERDUE, []),
    ("it has ended after its deadline", OVERDUE, TOO_LATE, ["Failed"]),
    ("it is tried again after its deadline", TOO_LATE, STARTED, []),
    ("it is tried again", FAILED, STARTED, []),
    ("an edit of an ended job is acknowledged", DONE, {**DONE, "observedGeneration": 2}, []),
    ("progress is reported", STARTED, {**STARTED, "progress": {"epoch": 1}}, ["Progress"]),
    ("a metric changes", {**STARTED, "metrics": [1]}, {**STARTED, "metrics": [2]}, ["Progress"]),
    ("the first report comes with the start", {}, {**STARTED, "lastReport": {"time": "t"}}, ["Started", "Progress"]),
    ("the last report comes with the end", STARTED, {**DONE, "progress": {"epoch": 9}}, ["Completed"]),
    ("the last report comes with a pause", PAUSING, {**PAUSED, "progress": {"epoch": 9}}, ["Paused"]),
    ("a report goes with the record of a retry", {**FAILED, "progress": {"epoch": 9}}, STARTED, []),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_it_tells_when(old: Json, new: Json, told: list[str]) -> None:
    assert list(events(old, new)) == told


states = st.sampled_from([STARTED, PAUSING, PAUSED, OVERDUE, FAILED, CANCELED, TOO_LATE])
histories = st.builds(
    lambda first, last: [{}, *first, *last], st.lists(states), st.sampled_from([[], [DONE]])
)


@given(histories)
def test_nothing_is_told_twice_however_statuses_follow_each_other(history: list[Json]) -> None:
    told = [event for old, new in itertools.pairwise(history) for event in events(old, new)]
    assert told.count("Started") <= 1
    stages = [event for event in told if event != "Started"]
    for one, other in itertools.pairwise(stages):
        assert one != other or one == "Failed", "only a failed job is tried again without a word"
    assert all(not events(status, status) for status in history)
