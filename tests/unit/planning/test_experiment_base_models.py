"""`baseModels` and `model` of an Experiment: which jobs start from them, that all start from the same, what is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.experiments import CHAIN, World, a_search

Json = dict[str, Any]

CHAMPION = {"model": "base", "alias": "champion"}


def begins_with(world: World, job: str, name: str, version: int, pull: str = "pull_complete") -> None:
    """A job tells what it has begun with."""
    entry = {"name": name, "version": version, "uri": f"s3://b/{version}", "pull": pull, "sha256": "1" * 64}
    world.jobs[job].setdefault("status", {})["baseModels"] = [entry]


def said_by(world: World, job: str) -> list[Json]:
    """The base models in a job's spec."""
    return [
        {key: one[key] for key in ("model", "alias", "version", "uri") if key in one}
        for one in world.jobs[job]["spec"].get("baseModels") or []
    ]


def test_jobs_of_steps_that_depend_on_none_start_from_them() -> None:
    world = World(spec={**CHAIN, "baseModels": [CHAMPION]})
    world.runs_all()
    assert said_by(world, "digits-train") == [CHAMPION]
    for name in ("evaluate", "prune", "export"):
        assert "baseModels" not in world.jobs[f"digits-{name}"]["spec"]


def test_what_a_template_says_goes_before() -> None:
    template = {"spec": {"baseModels": [{"uri": "hf://o/m"}]}}
    world = World(spec={**CHAIN, "baseModels": [CHAMPION], "jobTemplate": template})
    world.settle()
    assert said_by(world, "digits-train") == [{"uri": "hf://o/m"}]


def test_an_experiment_without_them_is_as_it_was() -> None:
    world = World(spec=CHAIN)
    world.settle()
    assert "baseModels" not in world.jobs["digits-train"]["spec"]
    assert "baseModels" not in world.status


def test_status_tells_what_the_jobs_tell() -> None:
    world = World(spec={**CHAIN, "baseModels": [CHAMPION]})
    world.settle()
    begins_with(world, "digits-train", "base:champion", 3, "in_progress")
    world.settle()
    (entry,) = world.status["baseModels"]
    assert (entry["name"], entry["version"], entry["pull"]) == ("base:champion", 3, "in_progress")


def test_trials_of_a_search_start_from_the_version_that_its_first_ones_began_with() -> None:
    world = World(spec={**a_search(maxTrials=4, parallelism=2, algorithm="random"), "baseModels": [CHAMPION]})
    world.settle()
    first = sorted(world.jobs)
    assert [said_by(world, name) for name in first] == [[CHAMPION]] * len(first)
    for name in first:
        begins_with(world, name, "base:champion", 3)
    world.ends(first[0], value=0.5)
    world.settle()
    later = sorted(set(world.jobs) - set(first))
    assert later
    for name in later:
        assert said_by(world, name) == [{"model": "base", "version": 3}]
        begins_with(world, name, "base@3", 3, "starting")
    world.settle()
    (entry,) = world.status["baseModels"]
    assert (entry["name"], entry["version"], entry["pull"]) == ("base:champion", 3, "pull_complete")
    del world.jobs[first[0]]
    for name in first[1:]:
        world.ends(name, value=0.4)
    world.jobs.pop(first[1], None)
    world.settle()
    last = sorted(set(world.jobs) - set(first) - set(later))
    assert [said_by(world, name) for name in last] == [[{"model": "base", "version": 3}]] * len(last)


def test_another_alias_is_taken_as_it_is() -> None:
    world = World(spec={**CHAIN, "baseModels": [CHAMPION]})
    world.settle()
    begins_with(world, "digits-train", "base:champion", 3)
    world.settle()
    world.edit(baseModels=[{"model": "base", "alias": "candidate"}])
    world.settle()
    assert said_by(world, "digits-train") == [{"model": "base", "alias": "candidate"}]


REFUSED: list[Any] = [
    pytest.param(
        {
            "actions": [
                {"name": "evaluate", "action": "evaluate", "jobTemplate": {"spec": {"parentJob": "a"}}}
            ]
        },
        "makes a model",
        id="no step makes one",
    ),
    pytest.param({"output": None}, "spec.output", id="nothing is kept"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_nothing_can_be_registered_of_an_experiment_whose(change: Json, message: str) -> None:
    spec = {**CHAIN, "actions": CHAIN["actions"][:1], "model": "digits", **change}
    world = World(spec={key: value for key, value in spec.items() if value is not None})
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert message in world.status["message"]


def test_an_experiment_that_registers_hands_its_model_to_no_job() -> None:
    world = World(spec={**CHAIN, "model": "digits"})
    world.settle()
    assert "model" not in world.jobs["digits-train"]["spec"]
