"""The search of a tuned step: its trials, ledger, proposals, ends."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.experiments import OUTPUT, World, a_search
from trainyard.api import names
from trainyard.search import draws


def quality(job: dict[str, Any]) -> float:
    """Better near 0.01, whatever the rung."""
    told = orjson.loads(job["metadata"]["annotations"].get(names.TRIAL_PARAMETERS, "{}"))
    return 1 - abs(float(told.get("learning_rate", 0)) - 0.01)


def trials_of(world: World) -> dict[str, float]:
    """Trial jobs with their learning rates."""
    return {
        name: job["spec"]["parameters"]["learning_rate"]
        for name, job in world.jobs.items()
        if names.LABEL_TRIAL in job["metadata"]["labels"]
    }


def test_trials_are_jobs_of_the_step_with_parameters_of_their_own() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=2))
    world.settle()
    assert world.made == ["digits-t0-r0", "digits-t1-r0"]
    job = world.jobs["digits-t0-r0"]
    assert job["metadata"]["labels"][names.LABEL_TRIAL] == "0"
    told = orjson.loads(job["metadata"]["annotations"][names.TRIAL_PARAMETERS])
    assert float(told["learning_rate"]) == job["spec"]["parameters"]["learning_rate"]
    assert world.status["automl"]["trials"]["pending"] == 3
    for name in world.made:
        world.starts(name)
    world.settle()
    assert world.status["automl"]["trials"]["running"] == 2
    world.runs_all(quality)
    assert world.made == ["digits-t0-r0", "digits-t1-r0", "digits-t2-r0"]
    assert world.status["phase"] == "Done"
    best = world.status["automl"]["bestTrial"]
    rates = trials_of(world)
    assert best["job"] == min(rates, key=lambda name: abs(rates[name] - 0.01))
    assert world.step("train")["job"] == best["job"]
    assert world.status["artifacts"] == [{"uri": f"pvc://out/uid-of-{best['job']}-1"}]
    assert world.status["progress"]["summary"] == "1/1"
    assert len(world.status["automl"]["ledger"]) == 3


def test_a_step_after_the_tuned_one_is_handed_the_best_trial() -> None:
    spec = a_search(algorithm="random", maxRecommendations=3)
    spec["actions"].append({"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]})
    world = World(spec=spec)
    world.runs_all(quality)
    best = world.status["automl"]["bestTrial"]["job"]
    assert world.jobs["digits-evaluate"]["spec"]["parentJob"] == best
    assert world.status["phase"] == "Done"


def test_a_promoted_trial_goes_on_from_its_checkpoint_for_the_epochs_of_the_rung() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, nu=3, epochMultiplier=2, parallelism=4))
    world.runs_all(quality)
    epochs = {name: job["spec"]["parameters"]["epochs"] for name, job in world.jobs.items()}
    assert sorted(epochs.values()).count(2) == 9  # s=2: 9 trials of 1 unit
    assert len(epochs) == 9 + 3 + 1 + 5 + 1 + 3
    for name, job in world.jobs.items():
        number, rung = (
            int(job["metadata"]["labels"][label]) for label in (names.LABEL_TRIAL, names.LABEL_RUNG)
        )
        before = f"digits-t{number}-r{rung - 1}"
        if rung:
            assert job["spec"]["parentJob"] == before
            assert job["spec"]["checkpoint"] == {"method": "latest_model"}
            assert epochs[name] > epochs[before]
            assert (
                job["spec"]["parameters"]["learning_rate"]
                == world.jobs[before]["spec"]["parameters"]["learning_rate"]
            )
        else:
            assert "parentJob" not in job["spec"]
    assert world.status["phase"] == "Done"
    assert [(r["bracket"], r["configurations"], r["finished"]) for r in world.status["automl"]["rungs"]][
        :3
    ] == [
        (2, 9, 9),
        (2, 3, 3),
        (2, 1, 1),
    ]


def test_the_same_seed_draws_the_same_trials_whatever_the_parallelism() -> None:
    one = World(spec=a_search(algorithm="random", maxRecommendations=8))
    other = World(spec=a_search(algorithm="random", maxRecommendations=8, parallelism=5), uid="uid-2")
    for world in (one, other):
        world.runs_all(quality)
    assert trials_of(one) == trials_of(other)
    another = World(spec=a_search(algorithm="random", maxRecommendations=8, seed=8))
    another.runs_all(quality)
    assert trials_of(another) != trials_of(one)


def test_without_a_seed_one_is_drawn_and_kept() -> None:
    spec = a_search(algorithm="random", maxRecommendations=2)
    del spec["automl"]["seed"]
    world, other = World(spec=spec), World(spec=spec, uid="uid-2")
    for one in (world, other):
        one.runs_all(quality)
    assert world.status["automl"]["seed"] != other.status["automl"]["seed"]
    assert trials_of(world) != trials_of(other)


@pytest.mark.parametrize(
    ("ends", "counted"),
    [
        ({"phase": "Error", "reason": "TrainerFailed"}, "failed"),
        ({"phase": "Done"}, "failed"),  # it told no value
        ({"phase": "Canceled", "reason": "CanceledByUser"}, "canceled"),
        ({"phase": "Done", "value": 0.5}, "succeeded"),
    ],
)
def test_how_a_trial_that_ended_counts(ends: dict[str, Any], counted: str) -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.settle()
    world.ends("digits-t0-r0", **ends)
    world.settle()
    counts = world.status["automl"]["trials"]
    assert counts[counted] == 1
    assert sum(counts[name] for name in ("succeeded", "failed", "stopped", "canceled")) == 1
    assert "digits-t1-r0" in world.jobs


def test_a_value_of_another_metric_is_none() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=1))
    world.settle()
    world.reports("digits-t0-r0", (1.0, 0.9), metric="f1_score")
    world.ends("digits-t0-r0")
    world.settle()
    assert world.status["reason"] == "TrialsFailed"


def test_too_many_failures_end_the_search_and_what_still_runs() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=9, parallelism=3, maxFailed=1))
    world.settle()
    world.ends("digits-t0-r0", "Error", "TrainerFailed")
    world.ends("digits-t1-r0", "Error", "TrainerFailed")
    world.settle()
    assert world.jobs["digits-t2-r0"]["spec"]["cancel"] is True
    assert len(world.jobs) <= 4
    for name, job in world.jobs.items():
        if not job.get("status", {}).get("completionTime"):
            world.ends(name, "Canceled", "CanceledByUser")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "TrialsFailed")
    assert "maxFailed" in world.status["message"]


def test_a_hopeless_trial_is_stopped_and_its_value_counts_as_it_stands() -> None:
    spec = a_search(
        algorithm="random",
        maxRecommendations=4,
        parallelism=1,
        earlyStopping={"startupTrials": 2, "warmupEpochs": 1},
    )
    world = World(spec=spec)
    for number, best in enumerate((0.8, 0.9)):
        world.settle()
        world.reports(f"digits-t{number}-r0", (1, best - 0.1), (2, best), (3, best))
        world.ends(f"digits-t{number}-r0")
    world.settle()
    world.starts("digits-t2-r0")
    world.reports("digits-t2-r0", (1, 0.1), (2, 0.2))
    world.settle()
    job = world.jobs["digits-t2-r0"]
    assert job["spec"]["cancel"] is True
    assert job["metadata"]["annotations"][names.STOPPED] == "median"
    world.ends("digits-t2-r0", "Canceled", "CanceledByUser")
    world.settle()
    assert world.status["automl"]["trials"]["stopped"] == 1
    assert "digits-t3-r0" in world.jobs


def test_a_ledgered_trial_whose_job_is_deleted_counts_and_is_not_run_again() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=9))
    world.settle()
    for name in list(world.jobs):
        world.ends(name, value=quality(world.jobs[name]))
    world.settle()
    made = len(world.made)
    deleted = [name for name, job in world.jobs.items() if job.get("status", {}).get("completionTime")]
    for name in deleted:
        del world.jobs[name]
    world.runs_all(quality)
    assert not set(world.made[made:]) & set(deleted)
    assert world.status["phase"] == "Done"


def test_a_changed_search_begins_anew() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.runs_all(quality)
    world.edit(automl={**world.spec["automl"], "seed": 8})
    world.settle()
    assert world.removed == ["digits-t0-r0", "digits-t1-r0"]
    assert world.made == ["digits-t0-r0", "digits-t1-r0", "digits-t0-r0"]
    world.runs_all(quality)
    assert world.step("train")["run"] == 1
    assert len(world.status["automl"]["ledger"]) == 2


def test_more_trials_and_more_at_once_go_on_with_the_search() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2))
    world.runs_all(quality)
    world.edit(automl={**world.spec["automl"], "maxRecommendations": 4, "parallelism": 2})
    world.runs_all(quality)
    assert world.removed == []
    assert world.made == [f"digits-t{n}-r0" for n in range(4)]
    assert world.status["phase"] == "Done"


def test_a_retry_runs_the_failed_trials_again() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2, parallelism=2))
    world.settle()
    for name in list(world.jobs):
        world.ends(name, "Error", "TrainerFailed")
    world.settle()
    assert world.status["reason"] == "TrialsFailed"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    for name in list(world.jobs):
        assert world.jobs[name]["metadata"]["annotations"][names.RETRY_REQUESTED_AT] == "now"
        world.goes_on(name)
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert len(world.made) == 2


def test_a_cancelled_search_can_go_on() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=3, parallelism=2))
    world.settle()
    world.edit(cancel=True)
    for name in list(world.jobs):
        world.ends(name, "Canceled", "CanceledByUser")
    world.settle()
    assert world.status["phase"] == "Canceled"
    world.edit(cancel=False)
    for name in list(world.jobs):
        world.jobs[name]["status"] = {"phase": "Pending", "reason": "Resuming"}
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["trials"]["succeeded"] == 3
    assert len(world.made) == 3


class TestProposals:
    """A bayesian search: the first trials are drawn, later ones proposed by a pod."""

    def a_world(self, **automl: Any) -> World:
        world = World(spec=a_search(algorithm="bayesian", maxRecommendations=8, **automl))
        for number in range(startup(world)):
            world.settle()
            world.ends(f"digits-t{number}-r0", value=0.5 + number / 100)
        world.settle()
        return world

    def test_a_pod_proposes_and_its_answer_becomes_a_trial(self) -> None:
        world = self.a_world()
        first = startup(world)
        assert world.proposer().name == f"digits-propose-{first}"
        assert f"digits-t{first}-r0" not in world.jobs
        assert world.status["phase"] == "Running"
        world.proposes(("0.02",))
        world.settle()
        assert world.jobs[f"digits-t{first}-r0"]["spec"]["parameters"] == {"learning_rate": 0.02}
        assert not world.pods

    def test_the_answer_is_read_again_by_an_operator_that_died_before_the_job_was_made(self) -> None:
        world = self.a_world()
        world.proposes(("0.02",))
        world.writes_left = 0
        world.look()
        world.writes_left = None
        world.settle()
        assert world.jobs[f"digits-t{startup(world)}-r0"]["spec"]["parameters"] == {"learning_rate": 0.02}

    def test_several_are_proposed_at_once_where_several_may_run(self) -> None:
        world = self.a_world(parallelism=3)
        first = startup(world)
        alive = [n for n, job in world.jobs.items() if not job.get("status", {}).get("completionTime")]
        for name in alive:
            world.ends(name, value=0.6)
        world.settle()
        pod = world.proposer()
        world.proposes(*[(f"0.0{digit}",) for digit in (2, 3, 4)])
        world.settle()
        made = [name for name in world.made if int(name.split("-t")[1].split("-")[0]) >= pod.attempt]
        assert made
        assert pod.attempt >= first

    @pytest.mark.parametrize("line", ["", "nonsense", '{"proposals": []}', '{"proposals": [["5"]]}'])
    def test_an_answer_that_is_none_is_asked_for_again(self, line: str) -> None:
        world = self.a_world()
        pod = world.proposer()
        world.lines[pod.uid] = line
        world.pod_ends(pod, "Succeeded")
        world.look()
        assert "proposed no trial" in world.step("train")["message"]
        world.now += 30
        world.settle()
        assert world.proposer().uid != pod.uid

    def test_a_proposer_that_fails_is_told_of_and_tried_again(self) -> None:
        world = self.a_world()
        world.pod_ends(world.proposer(), "Failed", "numpy is broken")
        world.look()
        assert "numpy is broken" in world.status["message"]
        assert world.status["reason"] == "Proposing"
        world.now += 30
        world.settle()
        world.proposes(("0.02",))
        world.settle()
        assert f"digits-t{startup(world)}-r0" in world.jobs

    def test_pausing_takes_the_proposer_away(self) -> None:
        world = self.a_world()
        world.edit(suspend=True)
        world.settle()
        assert not world.pods
        assert world.status["reason"] == "Paused"


def startup(world: World) -> int:
    from tests.unit.planning.experiments import RULES
    from trainyard.api.experiment import ExperimentSpec
    from trainyard.planning.searchspace import space_of

    spec = ExperimentSpec.model_validate(world.spec)
    assert spec.automl is not None
    action = RULES.context.catalog[0].actions["train"]
    return draws.startup(space_of(spec.automl, action, {}))


class TestRetention:
    def a_world(self) -> World:
        world = World(spec=a_search(algorithm="random", maxRecommendations=3, checkpointRetention="Best"))
        world.runs_all(quality)
        return world

    def test_what_the_others_have_stored_is_removed_when_the_search_has_ended(self) -> None:
        world = self.a_world()
        (pod,) = world.pods.values()
        assert pod.name == "digits-sweep-1"
        best = world.status["automl"]["bestTrial"]["job"]
        order = orjson.loads(world.orders[pod.name]["TRAINYARD_SWEEP"])
        losers = {job["metadata"]["uid"] for name, job in world.jobs.items() if name != best}
        assert set(order["uids"]) == losers
        assert world.status["automl"]["retention"]["state"] == "Pending"
        world.pod_ends(pod, "Succeeded", '{"removed": 2, "bytes": 1000}')
        world.settle()
        assert world.status["automl"]["retention"] == {
            "state": "Done",
            "jobs": 2,
            "bytes": 1000,
            "attempts": 1,
        }
        assert not world.pods

    def test_it_is_tried_three_times(self) -> None:
        world = self.a_world()
        for number in (1, 2, 3):
            world.settle()
            pod = world.pods[f"digits-sweep-{number}"]
            world.pod_ends(pod, "Failed", "The claim is gone.")
        world.settle()
        told = world.status["automl"]["retention"]
        assert told["state"] == "Failed"
        assert "The claim is gone." in told["message"]

    def test_what_trials_that_were_added_later_have_stored_is_removed_as_well(self) -> None:
        world = self.a_world()
        world.pod_ends(world.pods["digits-sweep-1"], "Succeeded", '{"removed": 2, "bytes": 1000}')
        world.settle()
        before = world.status["automl"]["bestTrial"]["job"]
        world.edit(automl={**world.spec["automl"], "maxRecommendations": 5})
        world.runs_all(quality)
        (pod,) = world.pods.values()
        best = world.status["automl"]["bestTrial"]["job"]
        assert best != before  # which was handed on, and stays
        order = orjson.loads(world.orders[pod.name]["TRAINYARD_SWEEP"])
        assert set(order["uids"]) == {
            job["metadata"]["uid"] for name, job in world.jobs.items() if name not in (best, before)
        }
        world.pod_ends(pod, "Succeeded", '{"removed": 2, "bytes": 500}')
        world.settle()
        assert world.status["automl"]["retention"]["state"] == "Done"
        assert world.status["automl"]["retention"]["jobs"] == 3
        assert not world.pods

    def test_a_trial_that_goes_on_after_its_checkpoint_was_removed_starts_from_its_beginning(self) -> None:
        spec = a_search(
            algorithm="asha", maxResource=9, maxRecommendations=9, parallelism=9, checkpointRetention="Best"
        )
        world = World(spec=spec)
        world.runs_all(lambda job: -quality(job))
        assert any("parentJob" in job["spec"] for job in world.jobs.values())
        world.pod_ends(world.pods["digits-sweep-1"], "Succeeded", '{"removed": 9, "bytes": 1000}')
        world.settle()
        before = set(world.jobs)
        world.edit(automl={**world.spec["automl"], "maxRecommendations": 27})
        world.settle()
        added = [name for name in world.jobs if name not in before and name.endswith("-r0")]
        for name in added:
            world.ends(name, value=-9.0)
        world.settle()
        promoted = [name for name in world.jobs if name not in before and not name.endswith("-r0")]
        assert promoted, "an earlier trial was meant to go on"
        assert all("parentJob" not in world.jobs[name]["spec"] for name in promoted)


def test_hyperband_needs_somewhere_to_keep_checkpoints() -> None:
    spec = a_search(algorithm="hyperband")
    del spec["output"]
    world = World(spec=spec)
    world.settle()
    assert world.status["reason"] == "StepFailed"
    assert "spec.output" in world.status["message"]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_hyperband_that_is_killed_and_robbed_comes_to_the_same_winner(data: st.DataObject) -> None:
    parallelism = data.draw(st.integers(1, 9))
    spec = a_search(algorithm="hyperband", maxResource=9, parallelism=parallelism)
    undisturbed = World(spec=a_search(algorithm="hyperband", maxResource=9))
    undisturbed.runs_all(quality)
    world = World(spec=spec)
    disturbances = data.draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=20))
    for _ in range(400):
        if world.status.get("completionTime"):
            break
        world.writes_left = disturbances.pop() if disturbances else None
        world.look()
        alive = [n for n, job in world.jobs.items() if not job.get("status", {}).get("completionTime")]
        if alive:
            name = data.draw(st.sampled_from(alive))
            world.ends(name, value=quality(world.jobs[name]))
    assert world.status.get("phase") == "Done"
    assert sorted(world.made) == sorted(undisturbed.made)
    same = {key: world.status["automl"]["bestTrial"][key] for key in ("number", "value", "job")}
    assert same == {key: undisturbed.status["automl"]["bestTrial"][key] for key in same}
    assert len(OUTPUT) == 1


def test_an_edit_that_makes_no_sense_loses_nothing_of_the_search() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=4, parallelism=2))
    world.settle()
    world.ends("digits-t0-r0", value=0.5)
    world.settle()
    known = world.status["automl"]["ledger"]
    good = world.spec["automl"]
    world.edit(automl={**good, "maxRecommendations": 0})
    world.settle()
    assert world.status["reason"] == "InvalidSpec"
    assert "maxRecommendations" in world.status["message"]
    assert not any("cancel" in job["spec"] for job in world.jobs.values())
    assert world.status["automl"]["ledger"] == known
    del world.jobs["digits-t0-r0"]
    world.edit(automl=good)
    world.runs_all(quality)
    assert world.made.count("digits-t0-r0") == 1
    assert world.status["phase"] == "Done"
