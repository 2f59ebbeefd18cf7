"""The tuned step is renamed, or another becomes the tuned one: trials go on, or another search begins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.experiments import World, a_search
from tests.unit.planning.test_trials import quality
from trainyard.api import names

EVALUATE = {"name": "evaluate", "action": "evaluate", "dependsOn": ["fit"]}


def steps_of(world: World) -> set[str]:
    """The steps that trials say to be of."""
    labels = [job["metadata"]["labels"] for job in world.jobs.values()]
    return {one[names.LABEL_STEP] for one in labels if names.LABEL_TRIAL in one}


def test_a_search_goes_on_when_its_step_is_renamed() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=4, parallelism=2))
    world.settle()
    world.ends("digits-t0-r0", value=0.5)
    world.settle()
    world.edit(actions=[{"name": "fit", "action": "train"}])
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["trials"]["succeeded"] == 4
    assert world.made == [f"digits-t{number}-r0" for number in range(4)]
    assert world.removed == []
    assert steps_of(world) == {"fit"}


def test_what_follows_a_renamed_search_is_handed_its_best_trial() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(quality)
    best = world.status["automl"]["bestTrial"]["job"]
    world.edit(actions=[{"name": "fit", "action": "train"}, EVALUATE])
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert world.jobs["digits-evaluate"]["spec"]["parentJob"] == best
    assert len(world.made) == 4


def test_a_renamed_search_keeps_the_files_of_its_best_trial_only() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, checkpointRetention="Best"))
    world.settle()
    world.edit(actions=[{"name": "fit", "action": "train"}])
    world.look()
    world.runs_all(quality)
    assert world.status["automl"]["retention"]["jobs"] == 2


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"automl": {"action": "fine"}}, id="by automl.action"),
        pytest.param(
            {"first": {"name": "warm", "action": "train", "parameters": {"epochs": 1}}}, id="put before"
        ),
    ],
)
def test_another_step_that_becomes_the_tuned_one_is_searched_anew(edit: dict[str, Any]) -> None:
    spec = a_search(algorithm="random", maxRecommendations=2)
    spec["actions"].append({"name": "fine", "action": "train", "dependsOn": ["train"]})
    world = World(spec=spec)
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    first = [edit["first"]] if "first" in edit else []
    actions = [*first, *world.spec["actions"]]
    if first:
        actions[1] = {**actions[1], "dependsOn": ["warm"]}
    world.edit(actions=actions, automl={**world.spec["automl"], **edit.get("automl", {})})
    world.runs_all(quality)
    assert world.status["phase"] == "Done", world.status["message"]
    assert steps_of(world) == {"warm" if first else "fine"}
    assert world.status["automl"]["trials"]["succeeded"] == 2


def test_a_rename_of_what_is_paused_is_told_to_its_trials() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.settle()
    world.ends("digits-t0-r0", value=0.5)
    world.look()
    world.edit(suspend=True, actions=[{"name": "fit", "action": "train"}])
    world.settle()
    assert steps_of(world) == {"fit"}


def test_a_search_that_is_renamed_after_its_end_is_not_told_of_as_if_its_jobs_were_gone() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(quality)
    automl = {**world.spec["automl"], "checkpointRetention": "Best"}
    world.edit(actions=[{"name": "fit", "action": "train"}], automl=automl)
    world.look()
    assert world.status["automl"]["retention"] == {"state": "Pending", "jobs": 2, "attempts": 1}
