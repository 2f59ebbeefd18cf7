"""Experiments whose life takes odd turns: edits at a bad moment, jobs and pods that go, steps that come back."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from tests.unit.planning.experiments import CHAIN, World, a_search
from tests.unit.planning.test_trials import quality, startup
from trainyard.api import names
from trainyard.planning.observed import Refusal

TUNED_AND_EVALUATED: dict[str, Any] = {
    "actions": [
        {"name": "train", "action": "train"},
        {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]},
    ]
}


def tuned_and_evaluated(**automl: Any) -> World:
    given = {"algorithm": "random", "maxRecommendations": 3, **automl}
    world = World(spec={**a_search(**given), **TUNED_AND_EVALUATED})
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    return world


def better(job: dict[str, Any]) -> float:
    """The later the trial the better."""
    return 0.1 + int(job["metadata"]["labels"].get(names.LABEL_TRIAL, "0")) / 1000


def test_a_search_that_cannot_be_read_for_a_while_deletes_nothing_of_what_follows() -> None:
    world = tuned_and_evaluated()
    known = world.step("train")
    good = world.spec["automl"]
    world.edit(automl={**good, "maxRecommendations": 0})
    world.settle()
    assert world.status["phase"] == "Error"
    assert world.removed == []
    world.edit(automl=good)
    world.settle()
    assert world.removed == []
    assert world.phases() == {"train": "Done", "evaluate": "Done"}
    assert world.step("train") == known


@pytest.mark.parametrize("name", ["t0-r0", "t1-r0"])
def test_a_step_that_is_called_like_a_trial_is_refused_before_anything_runs(name: str) -> None:
    spec = a_search(algorithm="random", maxRecommendations=3)
    spec["actions"].append({"name": name, "action": "train"})
    world = World(spec=spec)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert name in world.status["message"]
    assert world.made == world.removed == []


def test_when_all_trials_were_cancelled_the_search_has_not_failed() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2, parallelism=2))
    world.settle()
    world.edit(cancel=True)
    for name in list(world.jobs):
        world.ends(name, "Canceled", "CanceledByUser")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Canceled", "CanceledByUser")
    world.edit(cancel=False)
    world.settle()
    assert world.status["phase"] == "Canceled"
    for name in list(world.jobs):
        world.jobs[name]["status"] = {"phase": "Pending", "reason": "Resuming"}
    world.runs_all(quality)
    assert world.status["phase"] == "Done"


def test_a_step_that_was_taken_out_and_is_put_back_goes_on() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.starts("digits-train")
    world.edit(actions=[{"name": "other", "action": "train"}])
    world.settle()
    assert world.jobs["digits-train"]["spec"]["cancel"] is True
    world.ends("digits-train", "Canceled", "CanceledByUser")
    world.settle()
    world.edit(actions=CHAIN["actions"])
    world.settle()
    assert world.jobs["digits-train"]["spec"]["cancel"] is False
    assert names.STOPPED not in world.jobs["digits-train"]["metadata"]["annotations"]
    assert world.made.count("digits-train") == 1


def test_a_step_that_is_put_back_into_what_is_cancelled_waits_until_it_is_not() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.edit(actions=[{"name": "other", "action": "train"}], cancel=True)
    world.settle()
    world.ends("digits-train", "Canceled", "CanceledByUser")
    world.edit(actions=CHAIN["actions"])
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Canceled", "CanceledByUser")
    world.edit(cancel=False)
    world.settle()
    assert world.jobs["digits-train"]["spec"]["cancel"] is False
    world.goes_on("digits-train")
    world.runs_all()
    assert world.status["phase"] == "Done"


def test_a_step_whose_job_a_user_has_cancelled_stays_so() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.jobs["digits-train"]["spec"]["cancel"] = True
    world.ends("digits-train", "Canceled", "CanceledByUser")
    world.settle()
    assert world.jobs["digits-train"]["spec"]["cancel"] is True
    assert world.step("train")["phase"] == "Canceled"


def test_a_search_that_is_switched_off_and_on_again_goes_on_where_it_was() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=2))
    world.settle()
    world.ends("digits-t0-r0", value=0.5)
    world.settle()
    good = world.spec["automl"]
    world.edit(automl={**good, "enabled": False})
    world.settle()
    alive = [name for name, job in world.jobs.items() if job["spec"].get("cancel")]
    assert alive == ["digits-t1-r0", "digits-t2-r0"]
    for name in alive:
        world.ends(name, "Canceled", "CanceledByUser")
    world.settle()
    world.edit(automl=good)
    world.settle()
    assert not any(world.jobs[name]["spec"]["cancel"] for name in alive)
    for name in alive:
        world.jobs[name]["status"] = {"phase": "Pending", "reason": "Resuming"}
    world.runs_all(quality)
    assert world.status["automl"]["trials"]["succeeded"] == 3


def test_when_all_steps_are_taken_out_what_runs_is_cancelled() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.starts("digits-train")
    world.edit(actions=[])
    world.settle()
    assert world.status["reason"] == "Draft"
    assert world.jobs["digits-train"]["spec"]["cancel"] is True


@pytest.mark.parametrize("algorithm", ["random", "hyperband", "asha"])
def test_the_best_trial_is_told_in_full_also_when_its_job_is_deleted(algorithm: str) -> None:
    world = World(spec=a_search(algorithm=algorithm, maxRecommendations=3, maxResource=9))
    world.runs_all(quality)
    best = world.status["automl"]["bestTrial"]
    assert best["parameters"]
    del world.jobs[best["job"]]
    world.settle()
    assert world.status["automl"]["bestTrial"] == best
    assert best in world.status["automl"]["topTrials"]


def test_the_proposed_parameters_of_the_best_trial_outlive_its_job() -> None:
    world = World(spec=a_search(algorithm="bayesian", maxRecommendations=4))
    proposed(world)
    best = world.status["automl"]["bestTrial"]
    assert best["parameters"] == [{"name": "learning_rate", "value": "0.02"}]
    del world.jobs[best["job"]]
    world.settle()
    assert world.status["automl"]["bestTrial"] == best


def proposed(world: World) -> None:
    for number in range(startup(world)):
        world.settle()
        world.ends(f"digits-t{number}-r0", value=0.5)
    world.settle()
    world.proposes(("0.02",))
    world.settle()
    world.ends(f"digits-t{startup(world)}-r0", value=0.9)
    world.settle()


@pytest.mark.parametrize("algorithm", ["random", "hyperband", "asha", "bayesian"])
def test_the_best_trial_runs_again_when_its_job_is_gone_and_a_step_needs_what_it_made(algorithm: str) -> None:
    world = World(
        spec={
            **a_search(algorithm=algorithm, maxRecommendations=4, maxResource=9),
            **TUNED_AND_EVALUATED,
        }
    )
    if algorithm == "bayesian":
        proposed(world)
    world.runs_all(quality if algorithm != "bayesian" else None)
    assert world.status["phase"] == "Done"
    best = world.status["automl"]["bestTrial"]
    was = world.jobs.pop(best["job"])
    world.made.clear()
    world.settle()
    assert world.made == []
    actions = [{**one} for one in TUNED_AND_EVALUATED["actions"]]
    actions[1]["parameters"] = {"n": 5}
    world.edit(actions=actions)
    world.settle()
    assert world.made == [best["job"]]
    assert world.jobs[best["job"]]["spec"]["parameters"] == was["spec"]["parameters"]
    assert not world.pods
    world.ends(best["job"], value=float(best["value"]))
    world.settle()
    assert world.made == [best["job"], "digits-evaluate"]
    assert world.jobs["digits-evaluate"]["spec"]["parentJob"] == best["job"]


def test_what_follows_runs_again_when_more_trials_have_found_a_better_one() -> None:
    world = tuned_and_evaluated()
    before = world.jobs["digits-evaluate"]["spec"]["parentJob"]
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 4})
    world.settle()
    assert "digits-evaluate" not in world.removed
    world.ends("digits-t3-r0", value=5.0)
    world.settle()
    world.runs_all()
    assert world.jobs["digits-evaluate"]["spec"]["parentJob"] == "digits-t3-r0" != before
    assert world.removed == ["digits-evaluate"]
    assert world.status["phase"] == "Done"


def test_what_follows_stays_when_more_trials_have_found_none_better() -> None:
    world = tuned_and_evaluated()
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 4})
    world.settle()
    world.ends("digits-t3-r0", value=-5.0)
    world.runs_all()
    assert world.removed == []
    assert world.status["phase"] == "Done"


def swept(world: World, number: int = 1) -> set[str]:
    """The pod that sweeps ends; the UIDs of whose files are gone."""
    world.settle()
    pod = world.pods[f"digits-sweep-{number}"]
    order = orjson.loads(world.orders[pod.name]["TRAINYARD_SWEEP"])
    world.pod_ends(pod, "Succeeded", '{"removed": 2, "bytes": 1000}')
    world.settle()
    return set(order["uids"])


def test_a_search_that_goes_on_after_its_files_were_removed_is_swept_again() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2, checkpointRetention="Best"))
    world.runs_all(better)
    swept(world)
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 4})
    world.runs_all(better)
    best = world.status["automl"]["bestTrial"]["job"]
    assert best == "digits-t3-r0"
    gone = swept(world, 2)
    # NB: trial 1 was the best when the search had ended before, and was handed on.
    assert gone == {"uid-of-digits-t0-r0-1", "uid-of-digits-t2-r0-1"}
    assert world.status["automl"]["retention"]["state"] == "Done"
    assert not world.pods


def test_a_trial_whose_checkpoint_was_removed_is_promoted_from_its_beginning() -> None:
    spec = a_search(algorithm="asha", maxResource=9, nu=3, maxRecommendations=3, checkpointRetention="Best")
    world = World(spec=spec)
    world.runs_all(lambda job: 1 - better(job))
    swept(world)
    made = set(world.made)
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 6})
    world.runs_all(lambda job: 1 - better(job))
    again = set(world.made) - made
    promoted = [name for name in again if not name.endswith("-r0") and name.replace("r1", "r0") in made]
    assert promoted
    for name in promoted:
        assert "parentJob" not in world.jobs[name]["spec"]


def test_trials_that_others_failures_have_stopped_run_again_on_a_retry() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=3, maxFailed=0))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.settle()
    for name in ("digits-t1-r0", "digits-t2-r0"):
        assert world.jobs[name]["metadata"]["annotations"][names.STOPPED] == "maxFailed"
        world.ends(name, "Canceled", "CanceledByUser")
    world.settle()
    assert world.status["reason"] == "TrialsFailed"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    for name, job in world.jobs.items():
        assert job["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"
        assert job["spec"]["cancel"] is False
        world.goes_on(name)
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["trials"]["succeeded"] == 3


@pytest.mark.parametrize("spec", [CHAIN, a_search(algorithm="random", maxRecommendations=2)])
def test_a_retry_of_what_is_cancelled_waits_until_it_is_not(spec: dict[str, Any]) -> None:
    world = World(spec=dict(spec))
    world.settle()
    world.edit(cancel=True)
    for name in list(world.jobs):
        world.ends(name, "Canceled", "CanceledByUser")
    world.settle()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Canceled", "CanceledByUser")
    world.edit(cancel=False)
    world.settle()
    (job,) = world.jobs.values()
    assert job["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"
    assert world.status["retryRequestedAt"] == "now"


class TestProposers:
    def a_world(self) -> World:
        world = World(spec=a_search(algorithm="bayesian", maxRecommendations=8))
        for number in range(startup(world)):
            world.settle()
            world.ends(f"digits-t{number}-r0", value=0.5)
        world.settle()
        return world

    def test_one_that_was_evicted_before_its_container_was_told_of_is_tried_again(self) -> None:
        world = self.a_world()
        pod = world.proposer()
        world.pods[pod.name] = dataclasses.replace(pod, phase="Failed", reason="Evicted", message="disk")
        for _ in range(5):
            world.look()
            world.now += 30
        assert world.proposer().uid != pod.uid

    def test_one_of_a_former_search_is_taken_away(self) -> None:
        world = self.a_world()
        world.edit(automl={**world.spec["automl"], "seed": 8})
        world.settle()
        assert not world.pods

    def test_one_is_taken_away_when_nothing_is_tuned_any_longer(self) -> None:
        world = self.a_world()
        world.edit(automl={**world.spec["automl"], "enabled": False})
        world.settle()
        assert not world.pods

    def test_one_that_is_refused_is_told_of_and_the_rest_is_written(self) -> None:
        world = self.a_world()
        world.pods.clear()
        del world.jobs["digits-t0-r0"]
        refusal = Refusal(
            status=403, message="exceeded quota: pods", first_at=world.now, last_at=world.now, count=1
        )
        world.pod_refusal = refusal
        world.settle()
        assert not world.pods
        assert "exceeded quota: pods" in world.status["message"]
        world.now += 16
        world.look()
        assert world.pods


def test_a_digest_is_the_same_in_every_release() -> None:
    """NB: another one here runs weeks of training again. Make sure that it is the same, and do not change this."""
    chain = World(spec=dict(CHAIN))
    chain.settle()
    search = World(spec=a_search(algorithm="hyperband", maxResource=9))
    search.settle()
    assert {entry["name"]: entry["digest"] for entry in chain.status["steps"]} == {
        "train": "e60f7a20dfbcfe04",
        "evaluate": "9e235cb695ed5e5a",
        "prune": "517255616eee83e0",
        "export": "b9174c4fa14eeaa5",
    }
    assert search.status["automl"]["digest"] == "ba846e4f0e568773"


@pytest.mark.parametrize("tuned", [False, True])
def test_a_retry_makes_the_job_again_whose_artifacts_it_needs(tuned: bool) -> None:
    spec = a_search(algorithm="random", maxRecommendations=2) if tuned else dict(CHAIN)
    world = World(spec={**spec, **TUNED_AND_EVALUATED})
    world.settle()
    while "digits-evaluate" not in world.jobs:
        world.ends(world.made[-1], value=0.5)
        world.settle()
    world.ends("digits-evaluate", "Error", "TrainerFailed")
    world.settle()
    before = world.step("train")["job"]
    del world.jobs[before]
    world.made.clear()
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert world.made == [before]
    world.goes_on("digits-evaluate")
    world.runs_all(lambda job: 0.5)
    assert world.status["phase"] == "Done"
    assert world.removed == []


def test_a_trial_that_is_told_of_no_step_any_longer_is_given_its_label_back() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.settle()
    world.starts("digits-t0-r0")
    world.settle()
    del world.jobs["digits-t0-r0"]["metadata"]["labels"][names.LABEL_STEP]
    world.settle()
    assert world.jobs["digits-t0-r0"]["metadata"]["labels"][names.LABEL_STEP] == "train"
    world.runs_all(quality)
    assert world.made == ["digits-t0-r0", "digits-t1-r0"]
    assert world.status["phase"] == "Done"


def test_a_trial_that_has_lost_its_number_is_left_alone_and_told_of() -> None:
    label = names.LABEL_TRIAL
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.settle()
    world.starts("digits-t0-r0")
    world.settle()
    lost = world.jobs["digits-t0-r0"]["metadata"]["labels"].pop(label)
    world.settle()
    assert "cancel" not in world.jobs["digits-t0-r0"]["spec"]
    assert world.step("train")["reason"] == "JobNameTaken"
    assert "digits-t0-r0" in world.status["message"]
    world.jobs["digits-t0-r0"]["metadata"]["labels"][label] = lost
    world.runs_all(quality)
    assert world.made == ["digits-t0-r0", "digits-t1-r0"]
    assert world.status["phase"] == "Done"


def test_a_step_is_known_by_its_jobs_name_whatever_labels_somebody_adds() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.jobs["digits-train"]["metadata"]["labels"][names.LABEL_TRIAL] = "3"
    world.settle()
    assert "cancel" not in world.jobs["digits-train"]["spec"]
