"""Monitoring of a model: when it is evaluated, by what job, and what keeps it from that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.models import World
from tests.unit.planning.monitors import (
    HOUR,
    MONITOR,
    due,
    evaluated,
    evaluations,
    monitor_of,
    part_of,
    watched,
)
from trainyard.api import names
from trainyard.api.mlmodel import MLModelStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import schedule
from trainyard.planning.times import seconds, stamp

Json = dict[str, Any]


def test_an_evaluation_is_a_job_that_has_the_version_as_its_whole_base_model() -> None:
    world = due(
        watched(jobTemplate={"metadata": {"labels": {"team": "a"}}, "spec": {"resources": {"limits": {}}}})
    )
    job = world.tasks["digits-monitor-1"]
    assert job["spec"] == {
        "type": "random_forest",
        "action": "evaluate",
        "datasets": {"eval": "fresh"},
        "baseModels": [{"model": "digits", "version": 1, "isPtmBackbone": False}],
        "resources": {"limits": {}},
    }
    TrainingJobSpec.model_validate(job["spec"])
    labels = job["metadata"]["labels"]
    assert (labels["team"], labels[names.LABEL_TASK], labels[names.LABEL_MODEL]) == ("a", "monitor", "digits")
    assert job["metadata"]["ownerReferences"][0]["uid"] == world.uid


def test_it_is_evaluated_on_time_and_once_for_each_time() -> None:
    world = watched()
    assert monitor_of(world)["nextScheduleTime"] == "2027-01-15T09:00:00Z"
    plan = world.look()
    assert evaluations(world) == []
    assert plan.plan.requeue_after is not None
    assert world.now + plan.plan.requeue_after >= world.now
    evaluated(world, 0.95)
    told = monitor_of(world)
    assert (told["lastScheduleTime"], told["nextScheduleTime"]) == (
        "2027-01-15T09:00:00Z",
        "2027-01-15T10:00:00Z",
    )
    assert told["history"] == [
        {
            "time": "2027-01-15T09:01:01Z",
            "version": 1,
            "dataset": "fresh",
            "value": "0.95",
            "job": "digits-monitor-1",
        }
    ]
    assert "job" not in told
    evaluated(world, 0.94)
    assert evaluations(world) == ["digits-monitor-1", "digits-monitor-2"]
    MLModelStatus.model_validate(world.status)


def test_the_requeue_is_at_the_time_that_is_due() -> None:
    world = watched()
    wait = part_of(world).requeue_after
    assert wait is not None
    assert stamp(world.now + wait) == "2027-01-15T09:00:00Z"


def test_one_that_was_made_and_has_ended_while_the_operator_was_away_is_not_made_again() -> None:
    world = watched()
    at = seconds(monitor_of(world)["nextScheduleTime"])
    assert at is not None
    world.now = at + 1
    world.writes_left = 1
    world.look()
    world.writes_left = None
    world.passes(60).ends("digits-monitor-1", accuracy=0.95).settle()
    assert evaluations(world) == ["digits-monitor-1"]
    assert monitor_of(world)["lastScheduleTime"] == stamp(at)


def test_times_that_were_missed_are_made_up_for_once() -> None:
    world = watched()
    world.passes(50 * HOUR).settle()  # the operator was away for two days
    assert evaluations(world) == ["digits-monitor-1"]
    world.ends("digits-monitor-1", accuracy=0.95).settle()
    assert evaluations(world) == ["digits-monitor-1"]
    assert monitor_of(world)["nextScheduleTime"] == stamp(world.now - world.now % HOUR + HOUR)


def test_times_that_pass_while_an_evaluation_runs_are_not_made_up_for() -> None:
    world = due(watched())
    world.runs("digits-monitor-1").passes(5 * HOUR).settle()
    assert evaluations(world) == ["digits-monitor-1"]
    world.ends("digits-monitor-1", accuracy=0.95).settle()
    assert evaluations(world) == ["digits-monitor-1"]
    assert len(monitor_of(world)["history"]) == 1
    due(world)
    assert evaluations(world) == ["digits-monitor-1", "digits-monitor-2"]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, "2027-01-16T02:30:00Z"),
        ("Europe/Berlin", "2027-01-16T01:30:00Z"),
        ("Asia/Kolkata", "2027-01-15T21:00:00Z"),
    ],
)
def test_the_schedule_is_of_its_time_zone(zone: str | None, expected: str) -> None:
    assert monitor_of(watched(schedule="30 2 * * *", timeZone=zone))["nextScheduleTime"] == expected


@pytest.mark.parametrize(
    ("monitor", "said"),
    [
        ({"schedule": "0 0 31 2 *"}, "the schedule 0 0 31 2 * is never due"),
        ({"timeZone": "Europe/Atlantis"}, "the time zone Europe/Atlantis is not known"),
        ({"alias": "champion"}, "champion stands for no version"),
    ],
    ids=["a schedule without a day", "an unknown time zone", "an alias of no version"],
)
def test_what_cannot_be_evaluated_says_why_and_the_model_stays_trained(monitor: Json, said: str) -> None:
    world = watched(**monitor).passes(3 * HOUR).settle()
    assert evaluations(world) == []
    assert said in monitor_of(world)["message"]
    assert said in world.status["message"]
    assert world.status["lifecycle"] == "trained"


def test_without_a_version_times_pass_and_the_message_does_not_complain() -> None:
    world = World({"type": "random_forest", "monitor": MONITOR}).settle().passes(5 * HOUR).settle()
    assert monitor_of(world)["message"] == "There is no version to evaluate yet."
    assert "evaluate" not in world.status["message"]
    world.posted("theirs", type="random_forest").ends("theirs", accuracy=0.9).settle()
    assert evaluations(world) == []
    assert evaluations(due(world)) == ["digits-monitor-1"]


def test_an_evaluation_waits_for_its_dataset_and_is_made_up_for_once() -> None:
    world = watched()
    world.missing = frozenset({"fresh"})
    world.settle()
    assert "there is no Dataset fresh" in world.status["message"], "before it is due"
    world.passes(5 * HOUR).settle()
    assert evaluations(world) == []
    assert monitor_of(world)["nextScheduleTime"] == "2027-01-15T09:00:00Z"
    world.missing = frozenset()
    world.settle()
    assert evaluations(world) == ["digits-monitor-1"]
    assert "message" not in monitor_of(world)
    world.ends("digits-monitor-1", accuracy=0.95).settle()
    assert monitor_of(world)["nextScheduleTime"] == "2027-01-15T14:00:00Z"
    assert evaluations(world) == ["digits-monitor-1"]


def test_an_operator_that_does_not_know_the_datasets_yet_lets_no_time_pass() -> None:
    world = watched().passes(2 * HOUR)
    known, world.missing = world.missing, frozenset({"fresh"})
    world.look()
    world.missing = known
    assert evaluations(world.settle()) == ["digits-monitor-1"]


def test_suspended_it_evaluates_no_more_and_makes_up_for_nothing_afterwards() -> None:
    world = watched()
    world.edit(monitor={**MONITOR, "suspend": True}).passes(30 * HOUR).settle()
    assert evaluations(world) == []
    assert "nextScheduleTime" not in monitor_of(world)
    world.edit(monitor=MONITOR).settle()
    assert evaluations(world) == []
    assert evaluations(due(world)) == ["digits-monitor-1"]


def test_an_archived_model_is_not_evaluated_and_a_deprecated_one_is() -> None:
    world = watched().edit(stage="archived").passes(3 * HOUR).settle()
    assert evaluations(world) == []
    world.edit(stage="deprecated").settle()
    assert evaluations(due(world)) == ["digits-monitor-1"]


@pytest.mark.parametrize(
    ("schedule", "next_time"),
    [
        ("30 * * * *", "2027-01-15T08:30:00Z"),
        ("0 12 * * *", "2027-01-15T12:00:00Z"),
        ("0 */1 * * *", "2027-01-15T09:00:00Z"),
    ],
    ids=["to an earlier time", "to a later time", "to the same time"],
)
def test_an_edited_schedule_counts_at_once(schedule: str, next_time: str) -> None:
    world = watched().edit(monitor={**MONITOR, "schedule": schedule}).settle()
    assert monitor_of(world)["nextScheduleTime"] == next_time
    assert evaluations(world) == []


def test_the_version_of_the_alias_is_evaluated() -> None:
    world = watched(alias="champion").edit(aliases=[{"name": "champion", "version": 1}]).settle()
    world.posted("theirs", type="random_forest").ends("theirs", accuracy=0.99).settle()
    assert world.status["latestVersion"] == 2
    evaluated(world, 0.5)
    assert world.tasks["digits-monitor-1"]["spec"]["baseModels"][0]["version"] == 1
    assert world.status["lifecycle"] == "degraded"
    world.edit(aliases=[{"name": "champion", "version": 2}]).settle()
    assert world.status["lifecycle"] == "trained"


def test_a_version_is_evaluated_by_what_has_made_it() -> None:
    world = World({"monitor": {**MONITOR, "jobTemplate": {"spec": {"runtime": "scorer"}}}}).settle()
    world.posted("theirs", image="example.com/own:1").ends("theirs", accuracy=0.9).settle()
    world.passes(2 * HOUR).settle()
    assert evaluations(world) == []
    assert "spec.monitor.jobTemplate: No runtime is named scorer" in world.status["message"]
    world.edit(monitor=MONITOR).passes(2 * HOUR).settle()
    assert "Say what to run" in world.status["message"]
    world.edit(monitor={**MONITOR, "jobTemplate": {"spec": {"image": "example.com/own:1"}}}).settle()
    assert due(world).tasks["digits-monitor-1"]["spec"]["image"] == "example.com/own:1"


@settings(max_examples=200, deadline=None)
@given(
    when=st.sampled_from(["30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "@daily", "0 3 * * SUN"]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", None]),
    moment=st.integers(1_800_000_000, 1_835_000_000),
)
def test_a_time_that_was_stored_is_one_of_the_schedule_also_where_clocks_change(
    when: str, zone: str | None, moment: int
) -> None:
    due_at = schedule.due_after(when, zone, moment)
    assert schedule.due_after(when, zone, int(due_at) - 1) == due_at
