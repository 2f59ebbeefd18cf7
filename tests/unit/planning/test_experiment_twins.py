"""Steps that work on one of several steps with the same spec: replicates, whose models are not the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.experiments import CHAIN, World

Json = dict[str, Any]

TWINS = [
    {"name": "a", "action": "train", "parameters": {"epochs": 4}},
    {"name": "b", "action": "train", "parameters": {"epochs": 4}},
]


def _actions(*names: str) -> list[Json]:
    after = {"name": "follow", "action": "export", "dependsOn": ["eval"]}
    return [*TWINS, {"name": "eval", "action": "evaluate", "dependsOn": list(names)}, after]


@pytest.fixture
def world() -> World:
    world = World(spec={**CHAIN, "actions": _actions("a")})
    world.runs_all()
    return world


def test_a_step_that_is_moved_to_a_twin_runs_again_and_what_follows_too(world: World) -> None:
    world.edit(actions=_actions("b"))
    world.runs_all()
    assert world.jobs["digits-eval"]["spec"]["parentJob"] == "digits-b"
    assert world.removed == ["digits-eval", "digits-follow"]
    assert world.made[-2:] == ["digits-eval", "digits-follow"]
    assert [entry["run"] for entry in world.status["steps"]] == [0, 0, 1, 1]
    assert world.status["phase"] == "Done"


def test_it_runs_again_once_however_often_it_is_looked_at_meanwhile(world: World) -> None:
    world.edit(actions=_actions("b"), suspend=True)
    for _ in range(3):
        world.look()
    world.edit(suspend=False)
    world.runs_all()
    assert [entry["run"] for entry in world.status["steps"]] == [0, 0, 1, 1]
    assert world.removed == ["digits-eval", "digits-follow"]


def test_a_moved_step_whose_job_is_gone_runs_again_as_well(world: World) -> None:
    del world.jobs["digits-eval"], world.jobs["digits-follow"]
    world.settle()
    assert len(world.made) == 4
    world.edit(actions=_actions("b"))
    world.runs_all()
    assert world.jobs["digits-eval"]["spec"]["parentJob"] == "digits-b"
    assert world.made[4:] == ["digits-eval", "digits-follow"]


def test_a_second_step_that_is_only_waited_for_may_be_any(world: World) -> None:
    made = list(world.made)
    world.edit(actions=_actions("a", "b"))
    world.runs_all()
    runs_again = world.made[len(made) :]
    world.edit(actions=_actions("b", "a"))
    world.runs_all()
    assert world.made[len(made) + len(runs_again) :] == ["digits-eval", "digits-follow"]


def test_a_parent_that_is_made_again_under_its_name_is_no_other(world: World) -> None:
    del world.jobs["digits-a"]
    world.settle()
    world.edit(actions=[*_actions("a"), {"name": "prune", "action": "prune", "dependsOn": ["a"]}])
    world.runs_all()
    assert world.made[4:] == ["digits-a", "digits-prune"]
    assert world.removed == []


def test_a_status_of_an_earlier_release_says_of_nobody_whom_it_worked_on(world: World) -> None:
    for entry in world.status["steps"]:
        entry.pop("parentJob", None)
    made = list(world.made)
    world.runs_all()
    assert world.made == made
    assert [entry["run"] for entry in world.status["steps"]] == [0, 0, 0, 0]
    assert world.step("eval")["parentJob"] == "digits-a"
