"""Searches that lose jobs which they go on from, or values: they go on, and what is told is so."""

from __future__ import annotations

import pytest

from tests.unit.planning.experiments import World, a_search
from tests.unit.planning.test_trials import quality
from trainyard.api import names


def test_the_best_trial_that_is_made_again_and_fails_is_told_of_and_can_be_retried() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(quality)
    best = world.status["automl"]["bestTrial"]["job"]
    del world.jobs[best]
    world.edit(
        actions=[*world.spec["actions"], {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]}]
    )
    world.settle()
    assert world.made.count(best) == 2
    world.ends(best, "Error", "TrainerFailed")
    world.settle()
    assert world.phases() == {"train": "Error", "evaluate": "Error"}
    assert best in world.status["message"]
    assert "digits-evaluate" not in world.jobs
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert world.jobs[best]["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"
    world.goes_on(best)
    world.settle()
    world.ends(best, value=0.9)
    world.runs_all(quality)
    assert world.status["phase"] == "Done"


@pytest.mark.parametrize("waits", [False, True])
def test_a_promoted_trial_whose_earlier_job_is_deleted_before_it_began_starts_from_its_beginning(
    waits: bool,
) -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=30))
    world.settle()
    for name in [name for name in world.jobs if name.endswith("-r0")]:
        world.ends(name, value=quality(world.jobs[name]))
    world.settle()
    promoted = next(name for name in world.jobs if name.endswith("-r1"))
    parent = world.jobs[promoted]["spec"]["parentJob"]
    del world.jobs[parent]
    if waits:
        world.jobs[promoted]["status"] = {"phase": "Pending", "reason": "WaitingForParent", "message": "No."}
    world.settle()
    if not waits:
        assert promoted not in world.removed, "it may have begun, and needs its parent no longer"
        return
    assert world.removed == [promoted]
    assert "parentJob" not in world.jobs[promoted]["spec"]
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert parent not in world.made[world.made.index(promoted) :], "what has ended is not run again"


def test_a_promoted_trial_that_waits_for_the_step_before_is_left_to_wait() -> None:
    spec = a_search(algorithm="asha", nu=2, maxResource=4, maxRecommendations=2, action="train")
    spec["actions"] = [
        {"name": "prep", "action": "train"},
        {"name": "train", "action": "train", "dependsOn": ["prep"]},
    ]
    world = World(spec=spec)
    world.settle()
    world.ends("digits-prep")
    for number in (0, 1):
        world.settle()
        world.ends(f"digits-t{number}-r0", value=0.5)
    world.look()
    for name in [name for name in world.jobs if "-t" in name]:
        del world.jobs[name]
    world.settle()
    (promoted,) = [name for name in world.jobs if name.endswith("-r1")]
    assert world.jobs[promoted]["spec"]["parentJob"] == "digits-prep"
    del world.jobs["digits-prep"]
    world.jobs[promoted]["status"] = {"phase": "Pending", "reason": "WaitingForParent", "message": "No."}
    world.settle()
    assert promoted in world.jobs
    assert world.removed == []
    assert world.made.count("digits-prep") == 2


def test_a_retry_is_for_the_best_trial_s_job_where_that_is_what_was_lost() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    world.ends("digits-t1-r0", value=0.9)
    world.settle()
    assert world.status["phase"] == "Done"
    del world.jobs["digits-t1-r0"]
    world.edit(
        actions=[*world.spec["actions"], {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]}]
    )
    world.settle()
    world.ends("digits-t1-r0", "Error", "TrainerFailed")
    world.settle()
    assert world.status["phase"] == "Error"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    asked = {
        name: job["metadata"]["annotations"].get(names.RETRY_REQUESTED_AT) for name, job in world.jobs.items()
    }
    assert asked == {"digits-t0-r0": None, "digits-t1-r0": "now"}


def test_a_trial_that_went_to_nan_has_failed_on_a_rung_and_does_not_go_on() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=9, epochMultiplier=3))
    world.settle()
    for number in range(9):
        name = f"digits-t{number}-r0"
        if number == 0:
            world.reports(name, (1, 0.9))
        else:
            world.reports(name, (1, 0.5), (2, 0.6), (3, 0.7 + number / 100))
        world.jobs[name]["status"]["progress"] = {"epoch": 3}
        world.ends(name)
    world.settle()
    promoted = sorted(name for name in world.jobs if name.endswith("-r1"))
    assert promoted == ["digits-t6-r1", "digits-t7-r1", "digits-t8-r1"]
    assert world.status["automl"]["trials"]["failed"] == 1


def test_a_trainer_that_measures_every_few_epochs_is_none_that_went_to_nan() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=9, epochMultiplier=3))
    world.settle()
    for number in range(9):
        name = f"digits-t{number}-r0"
        world.reports(name, (2, 0.5 + number / 100))
        world.jobs[name]["status"]["progress"] = {"epoch": 3}
        world.ends(name)
    world.settle()
    assert world.status["automl"]["trials"]["failed"] == 0
    assert len([name for name in world.jobs if name.endswith("-r1")]) == 3


def test_a_lost_best_trial_that_no_step_needs_any_longer_leaves_the_search_done() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.runs_all(quality)
    train = world.spec["actions"]
    best = world.status["automl"]["bestTrial"]["job"]
    del world.jobs[best]
    world.edit(actions=[*train, {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]}])
    world.settle()
    world.ends(best, "Error", "TrainerFailed")
    world.settle()
    assert world.phases() == {"train": "Error", "evaluate": "Error"}
    world.edit(actions=train)
    world.settle()
    assert world.status["phase"] == "Done"
