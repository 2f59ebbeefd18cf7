"""Which metric decides, and which way, when a spec does not say it."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.api.shared import Objective
from trainyard.planning.objective import Goal, goal_of


@pytest.mark.parametrize(
    ("metric", "minimize"),
    [
        ("loss", True),
        ("training_loss", True),
        ("Validation Loss", True),
        ("val/loss", True),
        ("evaluation_cost", True),
        ("rmse", True),
        ("mae", True),
        ("val_RMSE", True),
        ("mae/val", True),
        ("accuracy", False),
        ("map", False),
        ("mAP50", False),
        ("maestro", False),
        ("Mean IOU", False),
        ("r2_score", False),
        ("val Precision at Rank 1", False),
    ],
)
def test_the_goal_follows_from_the_name_of_the_metric(metric: str, minimize: bool) -> None:
    assert goal_of(Objective(metric=metric), ["accuracy"]) == Goal(metric, minimize)


@pytest.mark.parametrize(
    ("fields", "metrics", "goal"),
    [
        pytest.param({}, [], Goal("map", False), id="nobody knows a metric"),
        pytest.param(
            {}, ["val_acc", "loss"], Goal("val_acc", False), id="the headline metric of the runtime"
        ),
        pytest.param({}, ["loss"], Goal("loss", True), id="a headline metric that is a loss"),
        pytest.param({"goal": "Maximize"}, ["loss"], Goal("loss", False), id="the goal that is given"),
        pytest.param({"metric": "auc", "goal": "Minimize"}, ["loss"], Goal("auc", True), id="both are given"),
    ],
)
def test_what_is_given_goes_before_what_the_runtime_has(
    fields: dict[str, Any], metrics: list[str], goal: Goal
) -> None:
    assert goal_of(Objective.model_validate(fields), metrics) == goal
