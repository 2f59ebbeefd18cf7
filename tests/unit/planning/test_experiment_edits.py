"""An Experiment that is edited while it runs, or whose jobs are deleted: what is told stays true, and nothing hangs."""

from __future__ import annotations

import pytest

from tests.unit.planning.experiments import CHAIN, World, a_search

CIRCLE = [
    {"name": "train", "action": "train", "parameters": {"epochs": 4}},
    {"name": "a", "action": "evaluate", "dependsOn": ["b"]},
    {"name": "b", "action": "evaluate", "dependsOn": ["a"]},
]


def condition(world: World, kind: str) -> str:
    return next((one["status"] for one in world.status["conditions"] if one["type"] == kind), "")


def waits_for_its_parent(world: World, name: str) -> None:
    world.jobs[name]["status"] = {
        "phase": "Pending",
        "reason": "WaitingForParent",
        "message": "There is none.",
    }


def test_an_edit_that_makes_no_sense_does_not_end_what_still_runs() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.starts("digits-train")
    world.settle()
    world.edit(actions=CIRCLE)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "InvalidSpec")
    assert "1 job of it still runs" in world.status["message"]
    assert "completionTime" not in world.status
    assert (condition(world, "Finished"), condition(world, "Stalled")) == ("False", "True")
    world.ends("digits-train")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert condition(world, "Finished") == "True"


def test_what_is_mended_before_its_jobs_have_ended_has_never_failed() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.edit(actions=CIRCLE)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "InvalidSpec")
    world.edit(actions=CHAIN["actions"])
    world.runs_all()
    assert world.status["phase"] == "Done"
    assert world.made.count("digits-train") == 1


def test_a_search_whose_numbers_make_no_sense_goes_on_with_what_runs() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=4, parallelism=2))
    world.settle()
    for name in world.jobs:
        world.starts(name)
    world.settle()
    good = world.spec["automl"]
    world.edit(automl={**good, "maxRecommendations": 0})
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "InvalidSpec")
    assert "maxRecommendations is 0" in world.status["message"]
    assert "completionTime" not in world.status
    for name in list(world.jobs):
        world.ends(name, value=0.8)
    world.settle()
    assert world.status["phase"] == "Error"
    world.edit(automl=good)
    world.runs_all(lambda job: 0.9)
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["trials"]["succeeded"] == 4
    assert len(world.made) == 4


@pytest.mark.parametrize("fails", [False, True])
def test_what_another_search_had_found_is_not_told_of_this_one(fails: bool) -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.runs_all(lambda job: 0.9)
    assert world.status["keyMetric"]["name"] == "accuracy"
    assert world.status["artifacts"]
    world.edit(objective={"metric": "rmse", "goal": "Minimize"})
    world.settle()
    assert not {"keyMetric", "artifacts"} & set(world.status)
    if fails:
        for _ in range(2):
            for name in [name for name, job in world.jobs.items() if not job.get("status", {}).get("phase")]:
                world.ends(name, "Error", "TrainerFailed")
            world.settle()
        assert world.status["phase"] == "Error"
        assert not {"keyMetric", "artifacts"} & set(world.status)


def test_what_was_found_stays_when_its_job_is_deleted_and_when_a_step_is_added() -> None:
    world = World(spec={**CHAIN, "actions": CHAIN["actions"][:1]})
    world.runs_all(lambda job: 0.9)
    told = {name: world.status[name] for name in ("keyMetric", "artifacts")}
    world.jobs.clear()
    world.settle()
    assert {name: world.status[name] for name in told} == told
    world.edit(actions=[*CHAIN["actions"][:1], {"name": "other", "action": "train"}])
    world.settle()
    assert {name: world.status[name] for name in told} == told


def test_what_was_found_stays_when_a_step_is_renamed_or_another_one_taken_out() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.runs_all(lambda job: 0.9)
    told = {name: world.status[name] for name in ("keyMetric", "artifacts")}
    world.jobs.clear()
    world.edit(actions=[{"name": "fit", "action": "train"}])
    world.settle()
    assert {name: world.status[name] for name in told} == told
    chain = World(spec={**CHAIN, "actions": CHAIN["actions"][:2]})
    chain.runs_all(lambda job: 0.9)
    metric = chain.status["keyMetric"]
    chain.jobs.clear()
    chain.edit(actions=CHAIN["actions"][:1])
    chain.settle()
    assert chain.status["keyMetric"] == metric


def test_a_retry_of_a_step_whose_job_was_cancelled_lets_it_run() -> None:
    world = World(spec={**CHAIN, "actions": CHAIN["actions"][:1]})
    world.settle()
    world.jobs["digits-train"]["spec"]["cancel"] = True
    world.ends("digits-train", "Canceled", "CanceledByUser")
    world.settle()
    assert world.status["phase"] == "Canceled"
    world.annotations["trainyard.dev/retry-requested-at"] = "now"
    world.settle()
    assert world.jobs["digits-train"]["spec"]["cancel"] is False


def test_a_step_s_job_is_known_by_its_name_whatever_its_label_says() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.starts("digits-train")
    world.jobs["digits-train"]["metadata"]["labels"]["trainyard.dev/step"] = "other"
    world.settle()
    assert "cancel" not in world.jobs["digits-train"]["spec"]


def test_a_step_whose_job_waits_for_one_that_was_deleted_has_that_run_again() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.ends("digits-train")
    world.settle()
    del world.jobs["digits-train"]
    waits_for_its_parent(world, "digits-evaluate")
    waits_for_its_parent(world, "digits-prune")
    world.settle()
    assert world.made.count("digits-train") == 2
    world.runs_all()
    assert world.status["phase"] == "Done"
    assert world.made.count("digits-evaluate") == 1


def test_a_step_that_has_ended_is_not_run_again_for_one_that_needs_it_no_longer() -> None:
    world = World(spec=dict(CHAIN))
    world.runs_all()
    del world.jobs["digits-train"]
    world.settle()
    assert world.made.count("digits-train") == 1
