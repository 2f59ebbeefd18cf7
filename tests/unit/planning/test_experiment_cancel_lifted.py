"""An Experiment that is cancelled and then is not: its jobs go on by themselves, a moment after it is looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.experiments import CHAIN, RULES, World, a_search
from tests.unit.planning.test_trials import quality
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.runtime import RuntimeAction

EVALUATED: dict[str, Any] = {
    "actions": [
        {"name": "train", "action": "train"},
        {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]},
    ]
}


def without_resuming() -> ExperimentRules:
    (runtime,) = RULES.context.catalog
    actions = {**runtime.actions, "train": RuntimeAction(epochs=("epochs",))}
    catalog = (dataclasses.replace(runtime, actions=actions),)
    return dataclasses.replace(RULES, context=dataclasses.replace(RULES.context, catalog=catalog))


def cancelled(world: World, *running: str) -> None:
    """The Experiment is cancelled while these jobs run, and they are with it."""
    for name in running:
        world.starts(name)
    world.settle()
    world.edit(cancel=True)
    world.settle()
    for name in running:
        world.is_cancelled_with_it(name)
    world.settle()
    assert world.status["phase"] == "Canceled"


def test_no_trial_is_started_in_the_place_of_one_that_goes_on() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=4, parallelism=2))
    world.settle()
    cancelled(world, "digits-t0-r0", "digits-t1-r0")
    world.edit(cancel=False)
    world.settle()
    assert world.made == ["digits-t0-r0", "digits-t1-r0"]
    assert world.status["phase"] == "Running"
    counts = world.status["automl"]["trials"]
    assert (counts["running"], counts["pending"], counts["canceled"]) == (0, 4, 0)
    for name in ("digits-t0-r0", "digits-t1-r0"):
        world.resumes(name)
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["trials"]["succeeded"] == 4


def test_what_follows_does_not_begin_with_the_best_of_those_that_had_ended() -> None:
    world = World(spec={**a_search(algorithm="random", maxRecommendations=3, parallelism=3), **EVALUATED})
    world.settle()
    world.ends("digits-t0-r0", value=0.4)
    world.settle()
    for name in ("digits-t1-r0", "digits-t2-r0"):
        world.starts(name)
    world.edit(cancel=True)
    for name in ("digits-t1-r0", "digits-t2-r0"):
        world.is_cancelled_with_it(name)
    world.settle()
    world.edit(cancel=False)
    world.settle()
    assert "digits-evaluate" not in world.made
    assert (world.status["phase"], world.phases()["train"]) == ("Running", "Pending")


def test_a_trial_whose_action_cannot_resume_stays_cancelled_and_another_takes_its_place() -> None:
    spec = a_search(algorithm="random", maxRecommendations=3, parallelism=2)
    world = World(spec=spec, rules=without_resuming())
    world.settle()
    cancelled(world, "digits-t0-r0", "digits-t1-r0")
    world.edit(cancel=False)
    world.settle()
    assert world.made == ["digits-t0-r0", "digits-t1-r0", "digits-t2-r0"]
    assert world.status["automl"]["trials"]["canceled"] == 2


def test_one_that_had_not_begun_goes_on_whatever_its_action() -> None:
    spec = a_search(algorithm="random", maxRecommendations=3, parallelism=2)
    world = World(spec=spec, rules=without_resuming())
    world.settle()
    world.edit(cancel=True)
    for name in ("digits-t0-r0", "digits-t1-r0"):
        world.is_cancelled_with_it(name)
    world.settle()
    world.edit(cancel=False)
    world.settle()
    assert world.made == ["digits-t0-r0", "digits-t1-r0"]


@pytest.mark.parametrize("how", ["by itself", "by itself as well", "is being deleted"])
def test_a_trial_that_stays_cancelled_is_not_waited_for(how: str) -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=1))
    world.settle()
    cancelled(world, "digits-t0-r0")
    job = world.jobs["digits-t0-r0"]
    if how == "is being deleted":
        job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    else:
        job["spec"]["cancel"] = True
    if how == "by itself":
        job["status"]["stop"].pop("experiment")
    world.edit(cancel=False)
    world.settle()
    assert world.made == ["digits-t0-r0", "digits-t1-r0"]


def test_a_step_of_a_chain_is_pending_at_once_and_what_follows_waits_for_it() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    cancelled(world, "digits-train")
    world.edit(cancel=False)
    world.settle()
    assert world.phases() == dict.fromkeys(("train", "evaluate", "prune", "export"), "Pending")
    assert world.status["phase"] == "Running"
    assert world.made == ["digits-train"]


def test_the_files_of_trials_that_can_go_on_are_kept_while_the_experiment_is_cancelled() -> None:
    automl = {"maxRecommendations": 3, "parallelism": 3, "checkpointRetention": "Best"}
    world = World(spec=a_search(algorithm="random", **automl))
    world.settle()
    world.ends("digits-t0-r0", value=0.4)
    for name in ("digits-t1-r0", "digits-t2-r0"):
        world.starts(name)
    world.settle()
    world.edit(cancel=True)
    for name in ("digits-t1-r0", "digits-t2-r0"):
        world.is_cancelled_with_it(name)
    world.settle()
    assert not world.pods
    world.edit(cancel=False)
    world.settle()
    for name in ("digits-t1-r0", "digits-t2-r0"):
        world.resumes(name)
    world.runs_all(quality)
    assert [pod.stage for pod in world.pods.values()] == ["sweep"]
