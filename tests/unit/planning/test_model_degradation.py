"""A monitored model: what its evaluations measure, when a version is degraded by that, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.monitors import MONITOR, due, evaluated, evaluations, monitor_of, watched
from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec, MLModelStatus
from trainyard.planning import modelmonitor

Json = dict[str, Any]

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
