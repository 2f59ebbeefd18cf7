"""Which checkpoint a step is handed by spec.checkpoint.epochs: whose epoch a key means, and what means nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.experiments import CHAIN, World, a_search


@pytest.mark.parametrize("key", ["train", "digits-train"])
def test_an_epoch_is_that_of_the_step_by_its_name_or_by_its_job(key: str) -> None:
    world = World(spec={**CHAIN, "checkpoint": {"method": "from_epoch_number", "epochs": {key: 3}}})
    world.runs_all()
    assert world.jobs["digits-evaluate"]["spec"]["checkpoint"] == {"method": "from_epoch_number", "epoch": 3}
    assert "checkpoint" not in world.jobs["digits-export"]["spec"]


def test_an_epoch_is_that_of_the_step_by_its_action() -> None:
    actions: list[Any] = [
        {"name": "fit", "action": "train"},
        {"name": "check", "action": "evaluate", "dependsOn": ["fit"]},
    ]
    checkpoint = {"method": "from_epoch_number", "epochs": {"train": 3}}
    world = World(spec={**CHAIN, "actions": actions, "checkpoint": checkpoint})
    world.runs_all()
    assert world.jobs["digits-check"]["spec"]["checkpoint"] == {"method": "from_epoch_number", "epoch": 3}


def test_the_epoch_of_a_tuned_step_goes_by_the_name_that_its_job_would_have() -> None:
    spec = a_search(algorithm="random", maxRecommendations=2)
    spec["actions"] = [*spec["actions"], {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]}]
    world = World(spec={**spec, "checkpoint": {"method": "from_epoch_number", "epochs": {"digits-train": 3}}})
    world.runs_all(lambda job: 0.5)
    assert world.jobs["digits-evaluate"]["spec"]["checkpoint"] == {"method": "from_epoch_number", "epoch": 3}


def test_an_epoch_of_nobody_is_told_before_anything_runs() -> None:
    world = World(spec={**CHAIN, "checkpoint": {"method": "from_epoch_number", "epochs": {"trian": 12}}})
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert world.status["message"] == (
        "spec.checkpoint.epochs: trian is no step, no action and no job of this Experiment: did you mean train?"
    )
    assert world.made == []


@pytest.mark.parametrize("method", ["best_model", "latest_model"])
def test_epochs_that_nobody_asks_for_may_be_anybodys(method: str) -> None:
    world = World(spec={**CHAIN, "checkpoint": {"method": method, "epochs": {"trian": 12}}})
    world.runs_all()
    assert world.status["phase"] == "Done"
