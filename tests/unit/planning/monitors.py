"""A model that is monitored: it has a version, and evaluations of it that end with what a test tells them.

Separate because when a model is evaluated, what follows and what goes wrong are tables of their own and begin
the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.unit.planning.models import FOREST, RULES, World
from trainyard.planning import modelaliases, modelmonitor, modelversions
from trainyard.planning.modelobserved import Part
from trainyard.planning.times import seconds

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


def part_of(world: World, **changes: Any) -> Part:
    """The monitor's part of the plan, where `changes` are what is observed otherwise."""
    observed = dataclasses.replace(world.observed(), **changes)
    versions = modelversions.registered(observed, now=world.now)
    aliases = modelaliases.moved(observed, versions, now=world.now).stand_for
    return modelmonitor.plan(observed, versions, aliases, now=world.now, rules=RULES)
