"""Chains: what starts when, what is handed on, what runs again, and what an Experiment says of itself."""

from __future__ import annotations

import pytest

from tests.unit.planning.experiments import CHAIN, OUTPUT, World, a_search
from trainyard.api import names
from trainyard.api.experiment import ExperimentSpec
from trainyard.planning import steps


def a_world(**spec: object) -> World:
    return World(spec={**CHAIN, **spec})


def changed(world: World, step: str, **fields: object) -> None:
    """One step of the spec is edited."""
    actions = [{**one, **(fields if one["name"] == step else {})} for one in world.spec["actions"]]
    world.edit(actions=actions)


def test_a_step_starts_when_all_that_it_depends_on_are_done_and_is_handed_the_artifacts_of_the_first() -> (
    None
):
    world = a_world()
    world.settle()
    assert world.made == ["digits-train"]
    world.ends("digits-train")
    world.settle()
    assert world.made == ["digits-train", "digits-evaluate", "digits-prune"]
    world.ends("digits-prune")
    world.settle()
    assert "digits-export" not in world.jobs
    world.ends("digits-evaluate")
    world.settle()
    assert world.jobs["digits-export"]["spec"]["parentJob"] == "digits-prune"
    world.ends("digits-export")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Done", "Completed")
    assert world.status["artifacts"] == [{"uri": "pvc://out/uid-of-digits-export-1"}]
    assert world.status["progress"] == {"done": 4, "total": 4, "summary": "4/4"}


def test_a_job_is_made_from_the_experiment_its_template_and_the_step() -> None:
    world = World(
        spec={
            "type": "neural_network",
            "datasets": {"train": ["digits"], "eval": "digits-test"},
            "output": OUTPUT,
            "env": [{"name": "A", "value": "1"}],
            "actionParameters": {"train": {"random_seed": 7, "epochs": 9}, "evaluate": {"n": 1}},
            "jobTemplate": {
                "metadata": {"labels": {"team": "vision"}},
                "spec": {"backoffLimit": 2, "resources": {"requests": {"cpu": "1"}}},
            },
            "actions": [
                {
                    "name": "train",
                    "action": "train",
                    "parameters": {"epochs": 4},
                    "jobTemplate": {
                        "spec": {"resources": {"requests": {"memory": "1Gi"}}, "datasets": {"eval": "other"}}
                    },
                }
            ],
        }
    )
    world.settle()
    job = world.jobs["digits-train"]
    assert job["spec"] == {
        "type": "neural_network",
        "action": "train",
        "datasets": {"train": ["digits"], "eval": "other"},
        "output": OUTPUT,
        "env": [{"name": "A", "value": "1"}],
        "backoffLimit": 2,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
        "parameters": {"random_seed": 7, "epochs": 4},
        "experiment": "digits",
    }
    assert job["metadata"]["labels"]["team"] == "vision"
    assert job["metadata"]["labels"][names.LABEL_STEP] == "train"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


@pytest.mark.parametrize(
    ("experiment", "step", "handed"),
    [
        ({}, None, None),
        ({"method": "latest_model"}, None, {"method": "latest_model"}),
        ({"method": "latest_model"}, {"method": "best_model"}, None),
        ({}, {"method": "from_epoch_number", "epoch": 3}, {"method": "from_epoch_number", "epoch": 3}),
        (
            {"method": "from_epoch_number", "epochs": {"train": 12}},
            None,
            {"method": "from_epoch_number", "epoch": 12},
        ),
        ({"method": "from_epoch_number", "epochs": {"prune": 12}}, None, None),
    ],
)
def test_which_checkpoint_is_handed_on(experiment: object, step: object, handed: object) -> None:
    world = a_world(checkpoint=experiment)
    if step is not None:
        changed(world, "evaluate", checkpoint=step)
    world.settle()
    world.ends("digits-train")
    world.settle()
    assert world.jobs["digits-evaluate"]["spec"].get("checkpoint") == handed
    assert "checkpoint" not in world.jobs["digits-train"]["spec"]


def test_a_failed_step_fails_what_hangs_on_it_and_nothing_else() -> None:
    world = a_world()
    world.settle()
    world.ends("digits-train")
    world.settle()
    world.ends("digits-prune", "Error", "TrainerFailed")
    world.settle()
    assert world.phases() == {"train": "Done", "evaluate": "Pending", "prune": "Error", "export": "Error"}
    assert world.status["phase"] == "Running"
    assert world.step("export")["reason"] == "ParentFailed"
    world.ends("digits-evaluate")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "StepFailed")
    assert "prune (TrainerFailed)" in world.status["message"]


def test_a_changed_step_runs_again_and_what_follows_and_only_that() -> None:
    world = a_world()
    world.runs_all()
    world.made.clear()
    changed(world, "prune", parameters={"fraction": 0.5})
    world.settle()
    assert world.removed == ["digits-prune", "digits-export"]
    assert world.made == ["digits-prune"]
    world.runs_all()
    assert world.made == ["digits-prune", "digits-export"]
    assert world.step("prune")["run"] == 1
    assert world.status["phase"] == "Done"


@pytest.mark.parametrize(
    "edit",
    [
        {"jobTemplate": {"spec": {"backoffLimit": 5}}},
        {"displayName": "Another name"},
        {"actionParameters": {"inference": {"n": 1}}},
    ],
)
def test_how_a_job_is_run_may_change_without_running_it_again(edit: dict[str, object]) -> None:
    world = a_world()
    world.runs_all()
    world.made.clear()
    world.edit(**edit)
    world.settle()
    assert world.made == world.removed == []
    assert world.status["observedGeneration"] == 2


def test_a_retry_reaches_what_failed_and_what_hangs_on_it_runs_then() -> None:
    world = a_world()
    world.settle()
    world.ends("digits-train", "Error", "TrainerFailed")
    world.settle()
    assert world.status["phase"] == "Error"
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    asked = world.jobs["digits-train"]["metadata"]["annotations"][names.RETRY_REQUESTED_AT]
    assert asked == world.status["retryRequestedAt"] == "now"
    world.goes_on("digits-train")
    world.settle()
    assert "completionTime" not in world.status
    world.ends("digits-train")
    world.runs_all()
    assert world.status["phase"] == "Done"


def test_a_finished_job_that_somebody_deletes_is_not_run_again() -> None:
    world = a_world()
    world.runs_all()
    del world.jobs["digits-train"], world.jobs["digits-export"]
    world.made.clear()
    world.settle()
    assert world.made == []
    assert set(world.phases().values()) == {"Done"}
    assert world.status["phase"] == "Done"


def test_one_that_is_still_needed_is_run_again_when_its_job_is_deleted() -> None:
    world = a_world()
    world.settle()
    world.ends("digits-train")
    world.settle()
    world.ends("digits-evaluate")
    world.ends("digits-prune")
    del world.jobs["digits-prune"]
    world.made.clear()
    world.settle()
    assert world.made == ["digits-prune"]


def test_an_unfinished_job_that_somebody_deletes_is_made_again() -> None:
    world = a_world()
    world.settle()
    world.starts("digits-train")
    world.settle()
    del world.jobs["digits-train"]
    world.settle()
    assert world.made == ["digits-train", "digits-train"]


def test_a_paused_experiment_makes_nothing_and_is_paused_when_nothing_runs() -> None:
    world = a_world()
    world.settle()
    world.starts("digits-train")
    world.edit(suspend=True)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Pausing")
    world.jobs["digits-train"]["status"] = {"phase": "Pending", "reason": "Paused"}
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "Paused")
    world.ends("digits-train")
    world.settle()
    assert world.made == ["digits-train"]
    world.edit(suspend=False)
    world.settle()
    assert world.made == ["digits-train", "digits-evaluate", "digits-prune"]


def test_a_cancelled_experiment_ends_when_its_jobs_have() -> None:
    world = a_world()
    world.settle()
    world.starts("digits-train")
    world.edit(cancel=True)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Canceling")
    world.ends("digits-train", "Canceled", "CanceledByUser")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Canceled", "CanceledByUser")
    assert "completionTime" in world.status


def test_one_that_is_cancelled_before_anything_runs_is_canceled_at_once() -> None:
    world = a_world(cancel=True)
    world.settle()
    assert world.made == []
    assert world.status["phase"] == "Canceled"


def test_a_step_that_is_taken_out_is_cancelled_and_its_record_stays() -> None:
    world = a_world()
    world.settle()
    world.ends("digits-train")
    world.settle()
    world.ends("digits-prune")
    world.edit(actions=CHAIN["actions"][:1])
    world.settle()
    assert world.jobs["digits-evaluate"]["spec"]["cancel"] is True
    assert "cancel" not in world.jobs["digits-prune"]["spec"]
    assert world.status["phase"] == "Done"


def test_without_steps_it_is_a_draft_that_jobs_can_join() -> None:
    world = World(spec={"type": "neural_network"})
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "Draft")
    joined = {"metadata": {"name": "mine", "uid": "1"}, "spec": {}, "status": {"phase": "Running"}}
    world.jobs["mine"] = joined
    world.settle()
    assert world.status["jobs"] == {
        "total": 1,
        "pending": 0,
        "running": 1,
        "done": 0,
        "error": 0,
        "canceled": 0,
    }
    assert world.status["reason"] == "Draft"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {
                "actions": [
                    {"name": "a", "action": "train", "dependsOn": ["c"]},
                    {"name": "b", "action": "train", "dependsOn": ["a"]},
                    {"name": "c", "action": "train", "dependsOn": ["b"]},
                ]
            },
            "a -> c -> b -> a wait for each other",
        ),
        (
            {"actions": [{"name": "a", "action": "distill"}]},
            "spec.actions[0] (a): There is no action distill",
        ),
        ({"actions": [{"name": "a", "action": "evaluate"}]}, "name it as spec.parentJob"),
        (
            {"jobTemplate": {"spec": {"backoffLimit": -1}}, "actions": [{"name": "a", "action": "train"}]},
            "spec.actions[0] (a): backoffLimit",
        ),
        (
            {"automl": {"algorithm": "random"}, "actions": [{"name": "a", "action": "evaluate"}]},
            "name it as spec.parentJob",
        ),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_runs(spec: dict[str, object], message: str) -> None:
    world = World(spec={"type": "neural_network", **spec})
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert message in world.status["message"]
    assert world.made == []


def test_the_best_value_of_the_objective_is_the_experiments() -> None:
    world = a_world()
    world.settle()
    world.ends("digits-train", value=0.9)
    world.settle()
    world.ends("digits-prune", value=0.8)
    world.settle()
    assert world.status["keyMetric"] == {"name": "accuracy", "value": "0.9", "display": "accuracy 0.9"}


def test_artifacts_and_the_result_file_are_those_of_the_last_step_that_has_left_any() -> None:
    world = a_world()
    world.settle()
    drawn = {"uri": "pvc://out/train/metrics.json", "sha256": "ab"}
    world.ends("digits-train", result=drawn)
    world.settle()
    assert world.status["result"] == drawn
    world.ends("digits-evaluate", result={"uri": "pvc://out/evaluate/metrics.json"})
    world.ends("digits-prune", "Error", "TrainerFailed", result={"uri": "pvc://out/prune/metrics.json"})
    world.settle()
    assert world.status["result"] == {"uri": "pvc://out/evaluate/metrics.json"}
    assert world.status["artifacts"] == [{"uri": "pvc://out/uid-of-digits-evaluate-1"}]
    del world.jobs["digits-evaluate"], world.jobs["digits-train"]
    world.settle()
    assert world.status["result"] == {"uri": "pvc://out/evaluate/metrics.json"}


def test_the_result_file_of_a_search_is_the_best_trials() -> None:
    world = World(spec=a_search(algorithm="random", maxRecommendations=2, parallelism=2))
    world.settle()
    world.ends("digits-t0-r0", value=0.9, result={"uri": "pvc://out/t0/metrics.json"})
    world.ends("digits-t1-r0", value=0.8, result={"uri": "pvc://out/t1/metrics.json"})
    world.settle()
    assert world.status["result"] == {"uri": "pvc://out/t0/metrics.json"}


def test_between_two_steps_it_goes_on_running() -> None:
    world = a_world()
    world.settle()
    assert world.status["phase"] == "Pending"
    world.starts("digits-train")
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Training")
    assert world.status["progress"]["action"] == "train"
    world.ends("digits-train")
    world.settle()
    assert world.status["phase"] == "Running"
    world.jobs["digits-evaluate"]["status"] = {
        "phase": "Pending",
        "reason": "Unschedulable",
        "message": "0/3 nodes",
    }
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "Unschedulable")
    assert "0/3 nodes" in world.status["message"]


def test_a_look_at_what_has_not_changed_writes_nothing() -> None:
    world = a_world()
    world.runs_all()
    before = world.writes
    world.now += 100
    world.look()
    assert world.writes == before


@pytest.mark.parametrize("spec", [CHAIN, a_search(algorithm="random", maxRecommendations=3)])
def test_killed_after_any_write_it_comes_to_the_same(spec: dict[str, object]) -> None:
    undisturbed = World(spec=dict(spec))
    undisturbed.runs_all(lambda job: 0.5)
    for writes in range(undisturbed.writes):
        world = World(spec=dict(spec), writes_left=writes)
        for _ in range(2 * writes + 2):
            world.look()
            for name, job in world.jobs.items():
                if not job.get("status", {}).get("completionTime"):
                    world.ends(name, value=0.5)
        world.writes_left = None
        world.runs_all(lambda job: 0.5)
        assert world.made == undisturbed.made or sorted(world.made) == sorted(undisturbed.made)
        assert world.phases() == undisturbed.phases()
        assert world.status.get("automl") == undisturbed.status.get("automl")


def test_steps_come_after_those_that_they_depend_on() -> None:
    spec = ExperimentSpec.model_validate(CHAIN)
    ordered = steps.in_order(list(reversed(spec.actions)))
    found = [step.name for step in ordered if not isinstance(step, str)]
    assert sorted(found) == sorted(step.name for step in spec.actions)
    for step in spec.actions:
        assert all(found.index(before) < found.index(step.name) for before in step.depends_on)
