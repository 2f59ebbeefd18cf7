"""Drift of a monitored model's data: which columns are told of, how many of them, and when."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.monitors import due, evaluated, monitor_of, watched
from trainyard.api.mlmodel import MLModelStatus


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
