"""Monitoring of a model: when it is evaluated, what that measures, and when a version is degraded by it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.models import FOREST, RULES, World
from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec, MLModelStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import modelaliases, modelmonitor, modelversions, schedule
from trainyard.planning.modelobserved import Part
from trainyard.planning.observed import Refusal
from trainyard.planning.times import seconds, stamp

Json = dict[str, Any]

HOUR = 3600.0
MONITOR: Json = {"schedule": "0 * * * *", "dataset": "fresh", "metric": "accuracy", "threshold": "0.9"}


def watched(**monitor: Any) -> World:
    """A model with one version whose first evaluation is due at the next full hour."""
    said = {key: value for key, value in {**MONITOR, **monitor}.items() if value is not None}
    world = World({**FOREST, "monitor": said}).settle()
    return world.ends(world.newest, accuracy=0.97).settle()


def monitor_of(world: World) -> Json:
    found: Json = world.status["monitor"]
    return found


def evaluations(world: World) -> list[str]:
    return [name for name in world.made if "-monitor-" in name]


def due(world: World) -> World:
    """The moment after the next evaluation is due."""
    at = seconds(monitor_of(world)["nextScheduleTime"])
    assert at is not None
    world.now = at + 1
    return world.settle()


def evaluated(world: World, value: float | None = None, *, drift: Any = None, phase: str = "Done") -> World:
    """An evaluation on time that has ended with this value."""
    due(world)
    name = evaluations(world)[-1]
    if drift is not None:
        world.answers[name] = {"status": "SUCCESS", "drift": drift}
    return world.passes(60).ends(name, phase, **({} if value is None else {"accuracy": value})).settle()


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
    wait = _part(world).requeue_after
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


# What counts, and which way.


@pytest.mark.parametrize(
    ("metric", "goal", "threshold", "value", "lifecycle"),
    [
        ("accuracy", None, "0.9", 0.89, "degraded"),
        ("accuracy", None, "0.9", 0.9, "trained"),
        ("accuracy", None, "0.90", 0.9, "trained"),
        ("accuracy", None, "0.9", 0.91, "trained"),
        ("rmse", None, "3", 3.01, "degraded"),
        ("rmse", None, "3", 3, "trained"),
        ("rmse", None, "3", 2, "trained"),
        ("validation_loss", None, "0.5", 0.6, "degraded"),
        ("cost", "Minimize", "10", 11, "degraded"),
        ("cost", None, "10", 11, "trained"),
        ("accuracy", "Minimize", "0.9", 0.91, "degraded"),
        ("r2_score", None, "-0.5", -0.6, "degraded"),
    ],
)
def test_worse_than_the_threshold_is_degraded_and_equal_is_good(
    metric: str, goal: str | None, threshold: str, value: float, lifecycle: str
) -> None:
    world = due(watched(metric=metric, goal=goal, threshold=threshold))
    world.ends("digits-monitor-1", **{metric: value}).settle()
    assert monitor_of(world)["history"][0]["value"] == str(value)
    assert world.status["lifecycle"] == lifecycle


def test_without_a_metric_of_its_own_that_of_the_objective_and_its_goal_count() -> None:
    world = (
        watched(metric=None, threshold="10").edit(objective={"metric": "cost", "goal": "Minimize"}).settle()
    )
    due(world).ends("digits-monitor-1", cost=11, accuracy=1).settle()
    assert (monitor_of(world)["metric"], world.status["lifecycle"]) == ("cost", "degraded")


def test_the_goal_of_the_objective_is_not_that_of_another_metric() -> None:
    world = watched(metric="rmse", threshold="3").edit(objective={"metric": "accuracy", "goal": "Maximize"})
    due(world.settle()).ends("digits-monitor-1", rmse=2).settle()
    assert world.status["lifecycle"] == "trained"


def test_without_any_metric_the_headline_of_the_evaluation_counts() -> None:
    world = due(watched(metric=None))
    world.ends("digits-monitor-1", f1_score=0.95, accuracy=0.5)
    world.tasks["digits-monitor-1"]["status"]["keyMetric"] = {"name": "accuracy", "value": "0.5"}
    world.settle()
    assert (monitor_of(world)["metric"], world.status["lifecycle"]) == ("accuracy", "degraded")


@pytest.mark.parametrize(
    ("phase", "metrics", "said"),
    [
        ("Error", {}, "digits-monitor-2 failed with OutOfMemory: It has ended."),
        ("Canceled", {}, "digits-monitor-2 was cancelled."),
        ("Done", {"f1_score": 0.9}, "has not reported accuracy; it has reported f1_score."),
        ("Done", {}, "has not reported accuracy; nor any other metric."),
        ("Done", {"accuracy": float("nan")}, "has reported accuracy as nan, which is no number."),
        ("Done", {"accuracy": float("inf")}, "has reported accuracy as inf, which is no number."),
    ],
    ids=["it failed", "it was cancelled", "another metric", "no metric", "NaN", "infinity"],
)
@pytest.mark.parametrize("before", [0.5, 0.95])
def test_what_could_not_be_measured_counts_neither_way(
    phase: str, metrics: dict[str, float], said: str, before: float
) -> None:
    world = evaluated(watched(), before)
    lifecycle = world.status["lifecycle"]
    due(world).ends("digits-monitor-2", phase, **metrics).settle()
    newest = monitor_of(world)["history"][0]
    assert said in newest["message"]
    assert (newest["version"], newest["job"], "value" in newest) == (1, "digits-monitor-2", False)
    assert world.status["lifecycle"] == lifecycle
    assert monitor_of(world)["runsBelow"] == (1 if before == 0.5 else 0)
    assert "EvaluationFailed" in world.events
    evaluated(world, before)
    assert monitor_of(world)["runsBelow"] == (2 if before == 0.5 else 0)


def test_an_evaluation_that_was_deleted_counts_neither_way_and_the_next_one_comes_in_time() -> None:
    world = due(watched())
    del world.tasks["digits-monitor-1"]
    world.settle()
    (newest,) = monitor_of(world)["history"]
    assert newest["message"] == "digits-monitor-1 was deleted before it had ended."
    assert evaluations(world) == ["digits-monitor-1"]
    evaluated(world, 0.95)
    assert [one["job"] for one in monitor_of(world)["history"]] == ["digits-monitor-2", "digits-monitor-1"]


def test_a_failed_evaluation_that_is_tried_again_is_measured_after_all() -> None:
    world = evaluated(watched(), phase="Error")
    job = world.tasks["digits-monitor-1"]
    job["metadata"]["annotations"][names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert monitor_of(world)["job"] == "digits-monitor-1"
    job["status"]["retryRequestedAt"] = "now"
    world.ends("digits-monitor-1", accuracy=0.5).settle()
    assert monitor_of(world)["history"][0]["value"] == "0.5"
    assert world.status["lifecycle"] == "degraded"


# Degraded and back.


def test_it_is_degraded_after_as_many_bad_runs_in_a_row_and_trained_after_one_good_one() -> None:
    world = watched(forRuns=3)
    seen = []
    for value in (0.8, 0.85, 0.95, 0.8, 0.81, 0.82, 0.7, 0.9, 0.5):
        evaluated(world, value)
        seen.append((monitor_of(world)["runsBelow"], world.status["lifecycle"]))
    assert seen == [
        (1, "trained"),
        (2, "trained"),
        (0, "trained"),
        (1, "trained"),
        (2, "trained"),
        (3, "degraded"),
        (4, "degraded"),
        (0, "trained"),
        (1, "trained"),
    ]
    assert world.events.count("Degraded") == 1


def test_the_message_of_a_degraded_model_has_the_measurement() -> None:
    world = evaluated(evaluated(watched(forRuns=2), 0.8), 0.81)
    assert (
        "accuracy of version 1 is 0.81 on fresh, below the threshold of 0.9, for 2 evaluations in a row (measured at "
        "2027-01-15T10:01:01Z)." in world.status["message"]
    )
    world = due(watched(metric="rmse", threshold="3")).ends("digits-monitor-1", rmse=4).settle()
    assert "rmse of version 1 is 4 on fresh, above the threshold of 3 (measured" in world.status["message"]


def test_the_message_names_the_data_that_was_measured_also_when_the_spec_names_other_data() -> None:
    world = evaluated(watched(), 0.8).edit(monitor={**MONITOR, "dataset": "other"}).settle()
    assert "is 0.8 on fresh, below" in world.status["message"]
    assert world.status["lifecycle"] == "degraded", "until it was measured on that"
    assert evaluated(world, 0.95).status["lifecycle"] == "trained"


def test_a_new_version_begins_without_bad_runs() -> None:
    world = evaluated(watched(forRuns=2), 0.8)
    world.posted("theirs", type="random_forest").ends("theirs", accuracy=0.99).settle()
    evaluated(world, 0.7)
    assert (monitor_of(world)["runsBelow"], world.status["lifecycle"]) == (1, "trained")
    evaluated(world, 0.7)
    assert world.status["lifecycle"] == "degraded"
    world.posted("better", type="random_forest").ends("better", accuracy=0.99).settle()
    assert world.status["lifecycle"] == "trained"
    assert "degradedTime" not in monitor_of(world)


@pytest.mark.parametrize(
    ("monitor", "lifecycle"),
    [
        ({"threshold": "0.7"}, "trained"),
        ({"forRuns": 2}, "trained"),
        ({"goal": "Minimize"}, "trained"),
        ({"metric": "f1_score"}, "trained"),
        ({"threshold": "0.85"}, "degraded"),
        ({"schedule": "@daily"}, "degraded"),
    ],
    ids=[
        "a threshold that it meets",
        "more runs",
        "the other goal",
        "another metric",
        "one that it does not meet",
        "when",
    ],
)
def test_an_edit_of_what_is_bad_counts_at_once(monitor: Json, lifecycle: str) -> None:
    world = evaluated(watched(), 0.8)
    world.edit(monitor={**MONITOR, **monitor}).settle()
    assert world.status["lifecycle"] == lifecycle


def test_a_history_has_one_metric() -> None:
    world = evaluated(watched(), 0.8)
    world.edit(monitor={**MONITOR, "metric": "f1_score"}).settle()
    due(world).ends("digits-monitor-2", f1_score=0.8).settle()
    assert [one["job"] for one in monitor_of(world)["history"]] == ["digits-monitor-2"]
    assert (monitor_of(world)["metric"], monitor_of(world)["runsBelow"]) == ("f1_score", 1)


def test_without_monitoring_nothing_is_degraded_and_what_runs_is_cancelled() -> None:
    world = due(evaluated(watched(), 0.8))
    world.edit(monitor=None).settle()
    assert "monitor" not in world.status
    assert world.status["lifecycle"] == "trained"
    assert world.tasks["digits-monitor-2"]["spec"]["cancel"] is True
    world.ends("digits-monitor-2", "Canceled").settle()
    world.edit(monitor=MONITOR).settle()
    assert "history" not in monitor_of(world)
    assert evaluations(due(world))[-1] == "digits-monitor-3"


def test_the_last_twenty_measurements_and_the_newest_three_jobs_are_kept() -> None:
    world = watched()
    for number in range(25):
        evaluated(world, 0.9 + number / 1000)
    told = monitor_of(world)
    assert [one["job"] for one in told["history"]] == [f"digits-monitor-{n}" for n in range(25, 5, -1)]
    assert sorted(name for name in world.tasks if "-monitor-" in name) == [
        f"digits-monitor-{n}" for n in (23, 24, 25)
    ]
    MLModelStatus.model_validate(world.status)


# What follows from it.


def test_a_degradation_asks_for_one_training() -> None:
    world = evaluated(watched(retrain="OnDegraded"), 0.8)
    assert "digits-train-2" in world.tasks
    assert world.status["training"]["degradedAt"] == monitor_of(world)["degradedTime"]
    world.ends("digits-train-2", "Error").settle()
    evaluated(world, 0.79)
    evaluated(world, 0.78)
    assert "digits-train-3" not in world.tasks
    evaluated(world, 0.95)
    evaluated(world, 0.5)
    assert "digits-train-3" in world.tasks


@pytest.mark.parametrize(
    ("monitor", "stage", "asked"),
    [("OnDegraded", "active", "then"), ("Never", "active", ""), ("OnDegraded", "deprecated", "")],
)
def test_only_an_active_model_that_says_so_is_trained_anew(monitor: str, stage: str, asked: str) -> None:
    spec = MLModelSpec.model_validate({"stage": stage, "monitor": {**MONITOR, "retrain": monitor}})
    assert modelmonitor.wants_training(spec, {"degradedTime": "then"}) == asked
    assert modelmonitor.wants_training(spec, None) == ""


def test_a_version_that_status_no_longer_lists_is_not_waited_for() -> None:
    world = due(watched()).edit(versionsRetained=1)
    for name in ("one", "two"):
        world.posted(name, type="random_forest").ends(name, accuracy=0.99).settle()
    assert [one["number"] for one in world.status["versions"]] == [3]
    assert "digits-monitor-1" in world.removed
    assert evaluations(due(world)) == ["digits-monitor-1", "digits-monitor-2"]
    assert world.tasks["digits-monitor-2"]["spec"]["baseModels"][0]["version"] == 3


# Drift.


def test_columns_that_have_moved_most_come_first_and_those_beyond_the_threshold_are_counted() -> None:
    drift = {
        "age": 0.2,
        "city": 1.2345678,
        "sex": 0.01,
        "bad": float("nan"),
        "odd": "x",
        "truth": True,
        "below": -1,
    }
    world = evaluated(watched(), 0.95, drift=drift)
    assert monitor_of(world)["drift"] == [
        {"column": "city", "psi": "1.235"},
        {"column": "age", "psi": "0.2"},
        {"column": "sex", "psi": "0.01"},
    ]
    assert monitor_of(world)["drifted"] == 2
    assert "DataDrifted" in world.events
    assert world.status["lifecycle"] == "trained"
    MLModelStatus.model_validate(world.status)


def test_no_more_columns_than_status_has_room_for() -> None:
    drift = {f"{'long' * 100}-{n}" if n == 0 else f"c{n:03}": n / 100 for n in range(200)}
    world = evaluated(watched(drift={"threshold": "1.5"}), 0.95, drift=drift)
    assert len(monitor_of(world)["drift"]) == 64
    assert monitor_of(world)["drift"][0] == {"column": "c199", "psi": "1.99"}
    assert monitor_of(world)["drifted"] == 50
    MLModelStatus.model_validate(world.status)


@pytest.mark.parametrize("answer", [None, [], "text", {"a": 10**400}, {"a": [1]}, {}])
def test_a_trainer_may_say_anything(answer: Any) -> None:
    world = due(watched())
    world.answers["digits-monitor-1"] = {"drift": answer}
    world.ends("digits-monitor-1", accuracy=0.95).settle()
    assert monitor_of(world)["history"][0]["value"] == "0.95"
    MLModelStatus.model_validate(world.status)


def test_what_moved_is_told_once_and_again_when_more_does() -> None:
    world = watched()
    for moved in ({"a": 0.5}, {"a": 0.6}, {"a": 0.6, "b": 0.3}, {"a": 0.1}, {"a": 0.5}):
        evaluated(world, 0.95, drift=moved)
    assert world.events.count("DataDrifted") == 3


def test_drift_is_not_measured_where_it_is_not_wanted() -> None:
    world = evaluated(watched(drift={"enabled": False}), 0.95, drift={"a": 0.5})
    assert "drift" not in monitor_of(world)


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


# A world in which things go wrong.


def _part(world: World, **changes: Any) -> Part:
    observed = dataclasses.replace(world.observed(), **changes)
    versions = modelversions.registered(observed, now=world.now)
    aliases = modelaliases.moved(observed, versions, now=world.now).stand_for
    return modelmonitor.plan(observed, versions, aliases, now=world.now, rules=RULES)


def test_an_answer_that_was_not_read_yet_is_waited_for() -> None:
    world = due(watched()).ends("digits-monitor-1", accuracy=0.5)
    part = _part(world, answers={})
    assert part.status["monitor"]["job"] == "digits-monitor-1"
    assert "history" not in part.status["monitor"]
    assert part.requeue_after is not None
    assert part.requeue_after <= 10
    world.passes(180)
    told = _part(world, answers={}).status["monitor"]
    assert told["history"][0]["value"] == "0.5", "the value is in the job's status"
    assert "drift" not in told


def test_a_job_that_the_api_server_refuses_is_tried_again_and_is_no_evaluation() -> None:
    world = watched()
    world.passes(2 * HOUR)
    (step,) = _part(world).jobs
    refusal = Refusal(status=403, message="exceeded quota", first_at=world.now, last_at=world.now, count=1)
    world.refusals[step.name, step.digest] = refusal
    world.settle()
    assert evaluations(world) == []
    assert "exceeded quota" in world.status["message"]
    assert "history" not in monitor_of(world)
    wait = _part(world).requeue_after
    assert wait is not None
    world.passes(wait).settle()
    assert evaluations(world) == ["digits-monitor-1"]
    assert monitor_of(world)["lastScheduleTime"] == "2027-01-15T09:00:00Z"


EVENTS = st.one_of(
    st.tuples(st.just("passes"), st.sampled_from([60, 1800, 3600, 7200, 100_000])),
    st.tuples(st.just("ends"), st.sampled_from([0.5, 0.8999, 0.9, 0.99])),
    st.tuples(st.just("fails"), st.sampled_from(["Error", "Canceled"])),
    st.tuples(st.just("deleted"), st.none()),
    st.tuples(st.just("killed"), st.integers(0, 3)),
    st.tuples(st.just("version"), st.none()),
    st.tuples(st.just("suspend"), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(events=st.lists(EVENTS, max_size=25), for_runs=st.integers(1, 3))
def test_whatever_happens_each_evaluation_counts_once_and_the_verdict_is_what_was_measured(
    events: list[tuple[str, Any]], for_runs: int
) -> None:
    world = watched(forRuns=for_runs)
    begun_at, posted, ended = world.now, 0, set[str]()
    for what, value in events:
        live = [name for name in evaluations(world) if name in world.tasks and name not in ended]
        if what == "passes":
            world.passes(value)
        elif what == "ends" and live:
            world.runs(live[0]).ends(live[0], accuracy=value)
            ended.add(live[0])
        elif what == "fails" and live:
            world.ends(live[0], value)
            ended.add(live[0])
        elif what == "deleted" and live:
            del world.tasks[live[0]]
        elif what == "version":
            posted += 1
            world.posted(f"theirs-{posted}", type="random_forest").ends(f"theirs-{posted}", accuracy=0.99)
        elif what == "suspend":
            world.edit(monitor={**MONITOR, "forRuns": for_runs, "suspend": value})
        elif what == "killed":
            world.writes_left = value
            world.look()
            world.writes_left = None
            continue
        world.settle()
        told = monitor_of(world)
        alive = [n for n in evaluations(world) if n in world.tasks and n not in ended]
        assert len(alive) <= 1
        assert told.get("job") == (alive[0] if alive else None)
        assert len(evaluations(world)) <= (world.now - begun_at) // HOUR + 1
        history = told.get("history") or []
        jobs = [one["job"] for one in history]
        assert len(jobs) == len(set(jobs))
        assert set(jobs) == {n for n in evaluations(world) if n not in alive}
        newest_version = world.status["latestVersion"]
        run = 0
        with_values = [one for one in history if "value" in one]
        for one in with_values:
            if one["version"] != with_values[0]["version"] or float(one["value"]) >= 0.9:
                break
            run += 1
        assert told["runsBelow"] == run
        bad = run >= for_runs and with_values[0]["version"] == newest_version
        assert (world.status["lifecycle"] == "degraded") == bad
        assert ("degradedTime" in told) == bad
        if told.get("nextScheduleTime"):
            assert (seconds(told["nextScheduleTime"]) or 0) > world.now
        assert world.look().jobs == ()
