"""Whose files are removed with `checkpointRetention: Best`, also when jobs of the search are gone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.unit.planning.experiments import World, a_search
from trainyard.api import names

Json = dict[str, Any]


def number_of(job: Json) -> int:
    return int(job["metadata"]["labels"][names.LABEL_TRIAL])


def rung_of(job: Json) -> int:
    return int(job["metadata"]["labels"][names.LABEL_RUNG])


def swept(world: World) -> set[str]:
    """The UIDs whose files the pod removes that there is."""
    (pod,) = world.pods.values()
    order = orjson.loads(world.orders[pod.name]["TRAINYARD_SWEEP"])
    return set(order["uids"])


def uids(world: World, *, but: int) -> set[str]:
    """The UIDs of all jobs but those of a trial."""
    return {job["metadata"]["uid"] for job in world.jobs.values() if number_of(job) != but}


def a_search_of_three_but_for(world: World, name: str) -> None:
    """Trial 2 is the best; when it ends, the job of this name is deleted at once."""
    world.settle()
    for number in range(3):
        world.ends(f"digits-t{number}-r0", value=0.5 + number / 10)
        if number == 2:
            world.look()
            del world.jobs[name]
        world.settle()
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["bestTrial"]["number"] == 2


def test_the_best_trial_keeps_what_it_has_stored_on_all_of_its_rungs() -> None:
    world = World(
        spec=a_search(algorithm="hyperband", maxResource=9, parallelism=30, checkpointRetention="Best")
    )
    world.runs_all(lambda job: 0.5 - number_of(job) / 100 + rung_of(job) / 10)
    best = world.status["automl"]["bestTrial"]
    assert best["rung"] == 2
    assert swept(world) == uids(world, but=best["number"])


def test_without_the_best_trial_s_job_the_others_are_swept_all_the_same() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3))
    a_search_of_three_but_for(world, "digits-t2-r0")
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    assert swept(world) == uids(world, but=2)


def test_it_is_told_that_files_of_deleted_jobs_remain() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3))
    a_search_of_three_but_for(world, "digits-t0-r0")
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    assert swept(world) == {world.jobs["digits-t1-r0"]["metadata"]["uid"]}
    world.pod_ends(world.pods["digits-sweep-1"], "Succeeded", '{"removed": 1, "bytes": 500}')
    world.settle()
    assert world.status["automl"]["retention"] == {
        "state": "Done",
        "jobs": 1,
        "bytes": 500,
        "attempts": 1,
        "message": "Somebody has deleted the job of 1 run; what such have left in the output remains there.",
    }


def test_when_only_the_best_one_s_job_is_left_that_is_told_as_well() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3))
    a_search_of_three_but_for(world, "digits-t0-r0")
    del world.jobs["digits-t1-r0"]
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    assert not world.pods
    told = world.status["automl"]["retention"]
    assert (told["state"], told["jobs"]) == ("Done", 0)
    assert told["message"].startswith("Somebody has deleted the jobs of 2 runs;")


def a_finished_search_with_the_best_kept(**spec: Any) -> tuple[World, str]:
    """A search of three trials that has ended and been swept, and the name of its best job."""
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, checkpointRetention="Best") | spec)
    world.runs_all(lambda job: 0.5 + number_of(job) / 10)
    is_swept(world, "digits-sweep-1")
    return world, world.status["automl"]["bestTrial"]["job"]


def is_swept(world: World, name: str, *, then: str = "Done") -> None:
    world.pod_ends(world.pods[name], "Succeeded", '{"removed": 2, "bytes": 500}')
    world.settle()
    assert world.status["automl"]["retention"]["state"] == then


def goes_on(world: World, *, trials: int, value: float) -> None:
    """The search is given more trials, all of which end with this value."""
    world.edit(automl={**world.spec["automl"], "maxRecommendations": trials})
    world.runs_all(lambda job: value)


def uid_of(world: World, name: str) -> str:
    return str(world.jobs[name]["metadata"]["uid"])


def a_job_of_somebody(parent: str) -> Json:
    """A job that works on what another one has left; it names no Experiment."""
    return {"metadata": {"name": "mine", "uid": "uid-of-mine"}, "spec": {"parentJob": parent}}


def test_what_was_the_best_at_an_earlier_end_is_kept_as_a_version_may_stand_on_it() -> None:
    world, first = a_finished_search_with_the_best_kept(model="digits-model")
    goes_on(world, trials=5, value=0.9)
    second = world.status["automl"]["bestTrial"]["job"]
    assert second != first
    assert swept(world).isdisjoint({uid_of(world, first), uid_of(world, second)})
    assert len(swept(world)) == 3
    is_swept(world, next(iter(world.pods)))
    goes_on(world, trials=6, value=0.95)
    third = world.status["automl"]["bestTrial"]["job"]
    assert third not in (first, second)
    assert swept(world).isdisjoint({uid_of(world, name) for name in (first, second, third)})
    assert len(swept(world)) == 3


def test_it_is_known_also_where_nothing_was_to_be_removed_at_that_end() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(lambda job: 0.5 + number_of(job) / 10)
    first = world.status["automl"]["bestTrial"]["job"]
    goes_on(world, trials=4, value=0.9)
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    assert world.status["automl"]["bestTrial"]["job"] != first
    assert uid_of(world, first) not in swept(world)
    assert len(swept(world)) == 2


def test_one_that_was_the_best_only_for_a_while_is_swept() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, checkpointRetention="Best"))
    # NB: one after the other, so that each is the best for as long as the next one runs.
    world.edit(automl={**world.spec["automl"], "parallelism": 1})
    world.runs_all(lambda job: 0.5 + number_of(job) / 10)
    assert swept(world) == uids(world, but=2)


def test_a_search_that_is_another_keeps_none_for_the_one_before() -> None:
    world, _ = a_finished_search_with_the_best_kept()
    world.edit(automl={**world.spec["automl"], "seed": 8})
    world.runs_all(lambda job: 0.9 - number_of(job) / 10)
    best = world.status["automl"]["bestTrial"]
    assert world.status["automl"]["keptTrials"] == [best["number"]]
    assert swept(world) == uids(world, but=best["number"])


def test_files_that_are_missed_are_told_without_those_that_are_kept() -> None:
    world, _ = a_finished_search_with_the_best_kept()
    assert "message" not in world.status["automl"]["retention"]
    goes_on(world, trials=5, value=0.9)
    is_swept(world, next(iter(world.pods)))
    assert "message" not in world.status["automl"]["retention"]


def test_a_job_that_another_works_on_is_kept_until_that_has_ended() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(lambda job: 0.5 + number_of(job) / 10)
    world.others["mine"] = a_job_of_somebody("digits-t0-r0")
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    assert swept(world) == {uid_of(world, "digits-t1-r0")}
    is_swept(world, "digits-sweep-1")
    told = world.status["automl"]["retention"]
    assert (told["jobs"], told["message"]) == (
        1,
        "What other jobs still work on stays until they have ended.",
    )
    # Nobody rings for the end of a job that is not its own.
    assert world.look().plan.requeue_after is not None
    world.others["mine"]["status"] = {"completionTime": "2026-11-22T12:00:00Z"}
    world.settle()
    assert set(world.pods) == {"digits-sweep-2"}
    assert swept(world) == {uid_of(world, "digits-t0-r0"), uid_of(world, "digits-t1-r0")}
    is_swept(world, "digits-sweep-2")
    assert "message" not in world.status["automl"]["retention"]
    assert world.look().plan.requeue_after is None


def test_one_that_others_worked_on_when_the_pod_was_made_is_removed_by_the_next() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(lambda job: 0.5 + number_of(job) / 10)
    world.others["mine"] = a_job_of_somebody("digits-t0-r0")
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    world.others["mine"]["status"] = {"completionTime": "2026-11-22T12:00:00Z"}
    is_swept(world, "digits-sweep-1", then="Pending")
    assert uid_of(world, "digits-t0-r0") in swept(world)
    is_swept(world, "digits-sweep-2")
    assert world.status["automl"]["retention"]["jobs"] == 2


def test_all_rungs_of_a_trial_are_kept_for_a_job_that_works_on_one() -> None:
    spec = a_search(algorithm="hyperband", maxResource=9, parallelism=30)
    world = World(spec=spec)
    world.runs_all(lambda job: 0.5 - number_of(job) / 100 + rung_of(job) / 10)
    best = world.status["automl"]["bestTrial"]["number"]
    other = next(name for name, job in world.jobs.items() if rung_of(job) == 1 and number_of(job) != best)
    world.others["mine"] = a_job_of_somebody(other)
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    stay = {best, number_of(world.jobs[other])}
    assert swept(world) == {
        job["metadata"]["uid"] for job in world.jobs.values() if number_of(job) not in stay
    }


def test_a_trial_s_job_that_is_a_version_by_itself_is_kept() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3))
    world.runs_all(lambda job: 0.5 + number_of(job) / 10)
    world.jobs["digits-t0-r0"]["spec"]["model"] = "digits-model"
    world.edit(automl={**world.spec["automl"], "checkpointRetention": "Best"})
    world.settle()
    assert swept(world) == {uid_of(world, "digits-t1-r0")}


@pytest.mark.parametrize("where", ["Experiment", "step"])
def test_not_every_trial_can_become_a_version(where: str) -> None:
    spec = a_search(algorithm="random", maxRecommendations=3)
    template = {"spec": {"model": "digits-model"}}
    if where == "step":
        spec["actions"][0]["jobTemplate"] = template
    else:
        spec["jobTemplate"] = template
    world = World(spec=spec)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert world.status["message"] == (
        "spec.actions[0] (train): jobTemplate.spec.model would make a version of MLModel digits-model of every trial. "
        "Name the model as spec.model of the Experiment: then the best one becomes a version."
    )
    assert not world.made


def test_a_step_beside_the_tuned_one_may_become_a_version_by_itself() -> None:
    spec = a_search(algorithm="random", maxRecommendations=2)
    fine = {"name": "prune", "action": "prune", "dependsOn": ["train"]}
    spec["actions"].append(fine | {"jobTemplate": {"spec": {"model": "digits-model"}}})
    world = World(spec=spec)
    world.runs_all(lambda job: 0.5)
    assert world.status["phase"] == "Done"
    assert world.jobs["digits-prune"]["spec"]["model"] == "digits-model"
