"""Trials that are tried again: by a retry, or as more of them may fail; as many at once as are to run."""

from __future__ import annotations

import pytest

from tests.unit.planning.experiments import World, a_search
from tests.unit.planning.test_trials import quality
from trainyard.api import names


def test_a_retry_tries_no_more_trials_at_once_than_are_to_run() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=6, parallelism=2))
    world.settle()
    for first in range(0, 6, 2):
        for number in (first, first + 1):
            world.ends(f"digits-t{number}-r0", "Error", "TrainerFailed")
        world.settle()
    assert world.status["reason"] == "TrialsFailed"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    for first in range(0, 6, 2):
        world.settle()
        asked = [
            name
            for name, job in world.jobs.items()
            if job["metadata"]["annotations"].get(names.RETRY_REQUESTED_AT) == "now"
        ]
        assert len(asked) == first + 2
        assert world.status["automl"]["trials"]["failed"] == 0
        for name in asked[first:]:
            world.goes_on(name)
        world.settle()
        assert world.status["automl"]["trials"]["pending"] == 6 - first
        for name in asked[first:]:
            world.ends(name, value=0.5)
    world.settle()
    assert world.status["phase"] == "Done"
    assert len(world.made) == 6


def test_a_retry_while_others_still_run_is_for_those_that_have_failed() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=2))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    assert world.made[-1] == "digits-t2-r0"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert not world.jobs["digits-t0-r0"]["metadata"]["annotations"].get(names.RETRY_REQUESTED_AT), (
        "no place yet"
    )
    world.ends("digits-t1-r0", value=0.5)
    world.settle()
    assert world.jobs["digits-t0-r0"]["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"


def test_one_that_fails_again_after_a_retry_has_failed() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2, parallelism=1))
    world.settle()
    for number in range(2):
        world.ends(f"digits-t{number}-r0", "Error", "TrainerFailed")
        world.settle()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    for number in range(2):
        world.settle()
        world.goes_on(f"digits-t{number}-r0")
        world.ends(f"digits-t{number}-r0", "Error", "TrainerFailed")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "TrialsFailed")
    assert world.status["automl"]["trials"]["failed"] == 2


@pytest.mark.parametrize("gone", [False, True])
def test_trials_that_were_stopped_for_others_run_when_more_may_fail(gone: bool) -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=6, parallelism=3, maxFailed=1))
    world.settle()
    world.starts("digits-t2-r0")
    world.reports("digits-t2-r0", (1, 0.99))
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.ends("digits-t1-r0", "Error", "TrainerFailed")
    world.settle()
    world.ends("digits-t2-r0", "Canceled", "CanceledByUser")
    world.settle()
    assert world.status["automl"]["trials"]["stopped"] == 1
    assert "bestTrial" not in world.status["automl"], "half a training is no result"
    if gone:
        del world.jobs["digits-t2-r0"]
        world.settle()
    world.edit(automl={**world.spec["automl"], "maxFailed": 5})
    world.settle()
    if not gone:
        job = world.jobs["digits-t2-r0"]
        assert job["spec"]["cancel"] is False
        assert not job["metadata"]["annotations"].get(names.STOPPED)
        world.goes_on("digits-t2-r0")
    world.runs_all(quality)
    trials = world.status["automl"]["trials"]
    assert (trials["succeeded"], trials["failed"], trials["stopped"]) == (4, 2, 0)
    assert world.status["phase"] == "Done"


def failed_and_stopped() -> World:
    """Trial 0 has failed, and the two others were stopped for that; a retry was asked for as r1."""
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3, maxFailed=0))
    world.settle()
    fails_and_stops(world)
    world.annotations[names.RETRY_REQUESTED_AT] = "r1"
    world.settle()
    return world


def fails_and_stops(world: World) -> None:
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    for number in (1, 2):
        world.ends(f"digits-t{number}-r0", "Canceled", "CanceledByUser")
    world.settle()


def test_what_was_stopped_a_second_time_is_asked_by_a_request_of_its_own() -> None:
    world = failed_and_stopped()
    for number in range(3):
        world.goes_on(f"digits-t{number}-r0")
    world.settle()
    fails_and_stops(world)
    assert world.status["phase"] == "Error"
    world.edit(automl={**world.spec["automl"], "maxFailed": 1})
    world.settle()
    asked = [
        world.jobs[f"digits-t{n}-r0"]["metadata"]["annotations"][names.RETRY_REQUESTED_AT] for n in (1, 2)
    ]
    assert "r1" not in asked
    assert world.status["automl"]["trials"]["canceled"] == 0
    assert world.status["phase"] != "Done"


def test_what_was_just_asked_to_try_again_is_not_told_of_by_its_former_end() -> None:
    world = failed_and_stopped()
    assert (world.status["phase"], world.status["reason"]) != ("Pending", "TrainerFailed")
    assert "CanceledByUser" not in world.status["message"]
    assert world.events[-1] not in ("TrainerFailed", "CanceledByUser")


def test_a_retry_of_more_trials_than_there_are_to_be_by_now_leaves_none_waiting() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3))
    world.settle()
    for number in range(3):
        world.ends(f"digits-t{number}-r0", "Error", "TrainerFailed")
    world.settle()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 2})
    world.settle()
    for number in (0, 1):
        world.goes_on(f"digits-t{number}-r0")
        world.ends(f"digits-t{number}-r0", value=0.5)
    world.settle()
    trials = world.status["automl"]["trials"]
    assert (trials["total"], trials["succeeded"], trials["stopped"], trials["pending"]) == (3, 2, 1, 0)
    assert {entry["state"] for entry in world.status["automl"]["ledger"]} == {"success", "stopped"}


def test_counts_add_up_when_there_are_to_be_fewer_trials_than_there_were() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    for number in (1, 2):
        world.ends(f"digits-t{number}-r0", "Canceled", "CanceledByUser")
    world.settle()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 1})
    world.look()
    trials = world.status["automl"]["trials"]
    ended = sum(trials[name] for name in ("succeeded", "failed", "stopped", "canceled"))
    assert trials["total"] == trials["pending"] + trials["running"] + ended


def test_a_retry_reaches_a_search_whose_step_is_renamed_at_once() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=1))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.edit(actions=[{"name": "fit", "action": "train"}])
    world.settle()
    assert world.jobs["digits-t0-r0"]["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"


def test_a_retry_that_is_asked_for_while_the_search_makes_no_sense_counts_when_it_does() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=1))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    good = world.spec["automl"]
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.edit(automl={**good, "maxRecommendations": 0})
    world.settle()
    assert "retryRequestedAt" not in world.status
    world.edit(automl=good)
    world.settle()
    assert world.jobs["digits-t0-r0"]["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"


def test_one_that_went_on_and_ended_well_unseen_is_a_success() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.settle()
    world.ends("digits-t0-r0", "Canceled", "CanceledByUser")
    world.look()
    assert world.status["automl"]["trials"]["canceled"] == 1
    world.ends("digits-t0-r0", value=0.9)
    world.settle()
    assert world.status["automl"]["trials"]["canceled"] == 0
    assert world.status["automl"]["bestTrial"]["number"] == 0


def test_a_retry_runs_trials_again_that_ended_well_but_told_no_value() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2, parallelism=2))
    world.settle()
    for number in range(2):
        world.ends(f"digits-t{number}-r0")
    world.settle()
    assert world.status["reason"] == "TrialsFailed"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert sorted(world.removed) == ["digits-t0-r0", "digits-t1-r0"]
    assert "Completed" not in world.events
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert len(world.made) == 4


def test_those_that_told_no_value_are_run_again_one_after_the_other_where_one_is_to_run() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=1))
    for number in range(3):
        world.settle()
        world.ends(f"digits-t{number}-r0")
    world.settle()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert world.removed == ["digits-t0-r0"]
    world.runs_all(quality)
    assert world.status["automl"]["trials"]["succeeded"] == 3
    assert len(world.made) == 6


def test_what_was_stopped_before_any_trial_had_a_value_runs_when_more_may_fail() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3, maxFailed=0))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    for number in (1, 2):
        world.ends(f"digits-t{number}-r0", "Canceled", "CanceledByUser")
    world.settle()
    assert world.status["reason"] == "TrialsFailed"
    world.edit(automl={**world.spec["automl"], "maxFailed": 1})
    world.settle()
    for number in (1, 2):
        assert world.jobs[f"digits-t{number}-r0"]["spec"]["cancel"] is False
        world.goes_on(f"digits-t{number}-r0")
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert len(world.made) == 3
