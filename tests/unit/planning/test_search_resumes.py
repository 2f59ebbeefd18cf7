"""Searches whose best trials go on from their checkpoints, on a runtime that can resume and on one that cannot."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.experiments import RULES, World, a_search
from trainyard import catalog
from trainyard.planning.experimentrules import ExperimentRules

SHIPPED = dataclasses.replace(RULES, context=dataclasses.replace(RULES.context, catalog=catalog.built_in()))
RUNGS: list[dict[str, Any]] = [
    {"algorithm": "hyperband", "maxResource": 9},
    {"algorithm": "asha", "maxRecommendations": 9},
]


def _without_resuming(rules: ExperimentRules) -> ExperimentRules:
    (entry,) = rules.context.catalog
    actions = {name: dataclasses.replace(action, resumable=False) for name, action in entry.actions.items()}
    changed = dataclasses.replace(entry, actions=actions)
    return dataclasses.replace(rules, context=dataclasses.replace(rules.context, catalog=(changed,)))


def _dino(**automl: Any) -> World:
    spec = a_search(**automl)
    del spec["type"], spec["automl"]["space"]
    return World(spec={**spec, "architecture": "dino"}, rules=SHIPPED)


@pytest.mark.parametrize("automl", RUNGS, ids=lambda automl: str(automl["algorithm"]))
def test_rungs_need_an_action_that_can_resume(automl: dict[str, Any]) -> None:
    world = _dino(**automl)
    world.settle()
    assert (world.step("train")["phase"], world.step("train")["reason"]) == ("Error", "InvalidSpec")
    assert world.step("train")["message"] == (
        f"spec.automl.algorithm: {automl['algorithm']} lets the best trials go on from their checkpoints, and action "
        "train of runtime tao-pyt cannot resume. Take bayesian, random or grid, or a catalogue entry of your own whose "
        "action is resumable."
    )
    assert world.made == []


def test_a_search_without_rungs_needs_none() -> None:
    world = _dino(algorithm="random", maxRecommendations=2)
    world.settle()
    assert world.made == ["digits-t0-r0", "digits-t1-r0"][: len(world.made)]
    assert world.made


@pytest.mark.parametrize("automl", RUNGS, ids=lambda automl: str(automl["algorithm"]))
def test_an_image_of_ones_own_is_taken_to_resume_a_training(automl: dict[str, Any]) -> None:
    spec = a_search(**automl, epochsParameter="epochs")
    del spec["type"]
    world = World(
        spec={**spec, "jobTemplate": {"spec": {"image": "registry.example/trainer:1"}}}, rules=SHIPPED
    )
    world.settle()
    assert world.made


def test_of_an_image_of_ones_own_not_every_action_can_resume() -> None:
    spec = a_search(algorithm="asha", maxRecommendations=9, epochsParameter="epochs", action="train")
    del spec["type"]
    spec["actions"] = [{"name": "train", "action": "inference"}]
    world = World(
        spec={**spec, "jobTemplate": {"spec": {"image": "registry.example/trainer:1"}}}, rules=SHIPPED
    )
    world.settle()
    assert world.step("train")["message"] == (
        "spec.automl.algorithm: asha lets the best trials go on from their checkpoints, and action inference of an "
        "image of one's own is not taken to resume. Take bayesian, random or grid, or a catalogue entry of your own "
        "whose action is resumable."
    )


def test_a_search_that_has_begun_goes_on_as_it_began_whatever_the_catalogue_says_now() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=30))
    world.settle()
    world.rules = _without_resuming(RULES)
    world.runs_all(lambda job: float(job["metadata"]["labels"]["trainyard.dev/trial"]))
    assert world.status["phase"] == "Done"
    assert any(name.endswith("-r2") for name in world.made)
