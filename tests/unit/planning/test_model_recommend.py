"""The recommendation of a model of type auto: when it is measured, what becomes of the answer, and who waits for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.models import CATALOG, OUTPUT, RULES, World
from trainyard.api import names
from trainyard.api.mlmodel import MLModelStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import modelrecommend
from trainyard.planning.context import Context
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.observed import Refusal

Json = dict[str, Any]

AUTO: Json = {"type": "auto", "datasets": {"train": ["digits"]}, "output": OUTPUT}
ANSWER: Json = {
    "type": "random_forest",
    "score": 93,
    "reasoning": "A random forest reached 0.97 in 5-fold cross-validation, a decision tree 0.85.",
    "allScores": {"random_forest": 93, "decision_tree": 71},
    "ontologyAnalysis": {
        "numEntities": 1,
        "numAttributes": 64,
        "dataTypes": {"number": 64},
        "complexity": "low",
    },
    "dataAnalysis": {"size": "small", "recordCount": 1797, "featureCount": 64, "hasUnstructured": False},
    "measured": True,
}


def measuring(**spec: Any) -> World:
    """A model of which the first measuring runs."""
    return World({**AUTO, **spec}).settle()


def answered(world: World, answer: Any = ANSWER, *, phase: str = "Done") -> World:
    """The newest measuring has ended with this word."""
    name = measurings(world)[-1]
    world.answers[name] = {"status": "SUCCESS", "recommendation": answer}
    return world.runs(name).ends(name, phase).settle()


def measurings(world: World) -> list[str]:
    return [name for name in world.made if "-recommend-" in name]


def run_of(world: World) -> Json:
    found: Json = world.status["recommendationRun"]
    return found


def test_a_draft_of_type_auto_is_measured_without_being_trained() -> None:
    world = measuring(
        trainingConfig={"target": "digit", "random_seed": 42, "n_estimators": 50},
        recommendation={"candidates": ["random_forest", "regression"], "timeBudgetSeconds": 60},
    )
    assert list(world.tasks) == ["digits-recommend-1"]
    job = world.tasks["digits-recommend-1"]
    assert job["spec"] == {
        "runtime": "reference",
        "action": "recommend",
        "datasets": {"train": ["digits"]},
        "parameters": {
            "target": "digit",
            "random_seed": 42,
            "candidates": ["random_forest", "regression"],
            "time_budget_seconds": 60,
            "folds": 5,
        },
    }
    TrainingJobSpec.model_validate(job["spec"])
    assert job["metadata"]["labels"][names.LABEL_TASK] == "recommend"
    assert run_of(world)["state"] == "Running"
    answered(world)
    assert world.status["recommendation"] == {**ANSWER, "dataset": "digits", "time": "2027-01-15T08:00:10Z"}
    assert (run_of(world)["state"], world.status["lifecycle"]) == ("Done", "draft")
    assert "TypeRecommended" in world.events
    assert world.look().jobs == ()
    MLModelStatus.model_validate(world.status)


def test_training_waits_for_it_and_takes_the_type_and_the_column() -> None:
    world = measuring(training={}, recommendation={"target": "digit"})
    assert list(world.tasks) == ["digits-recommend-1"]
    answered(world)
    assert world.tasks["digits-train-1"]["spec"]["type"] == "random_forest"
    assert world.tasks["digits-train-1"]["spec"]["parameters"] == {"target": "digit"}


def test_it_runs_where_the_model_is_trained() -> None:
    said = {
        "resources": {"limits": {"cpu": "2"}},
        "queueName": "team",
        "accelerator": {"count": 1},
        "nodes": 2,
    }
    world = measuring(training={"jobTemplate": {"spec": said}})
    spec = world.tasks["digits-recommend-1"]["spec"]
    assert (spec["resources"], spec["queueName"]) == ({"limits": {"cpu": "2"}}, "team")
    assert not spec.keys() & {"accelerator", "nodes", "output", "model"}


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    ("away", "back"),
    [({"stage": "archived"}, {"stage": "active"}), ({"datasets": {}}, {"datasets": {"train": ["digits"]}})],
    ids=["archived", "no data"],
)
def test_a_measuring_that_was_not_wanted_for_a_while_is_done_anew(
    away: Json, back: Json, *, ended: bool
) -> None:
    world = measuring().edit(**away).settle()
    assert world.tasks["digits-recommend-1"]["spec"]["cancel"] is True
    if ended:
        world.ends("digits-recommend-1", "Canceled").settle()
    world.edit(**back).settle()
    assert measurings(world) == ["digits-recommend-1", "digits-recommend-2"]
    assert answered(world).status["recommendation"]["type"] == "random_forest"


@pytest.mark.parametrize(
    "spec",
    [{"type": "random_forest"}, {"datasets": {}}, {"stage": "archived"}],
    ids=["a type is named", "no data", "archived"],
)
def test_nothing_is_measured_when_there_is_nothing_to_measure(spec: Json) -> None:
    world = World({**AUTO, **spec}).settle()
    assert world.made == []
    assert "recommendationRun" not in world.status


@pytest.mark.parametrize(
    ("edit", "again"),
    [
        ({"datasets": {"train": ["digits", "more"]}}, True),
        ({"recommendation": {"target": "other"}}, True),
        ({"recommendation": {"candidates": ["decision_tree"]}}, True),
        ({"recommendation": {"timeBudgetSeconds": 10}}, True),
        ({"recommendation": {"folds": 3}}, True),
        ({"trainingConfig": {"ignore_columns": ["id"]}}, True),
        ({"trainingConfig": {"n_estimators": 7}}, False),
        ({"description": "digits"}, False),
        ({"training": {"jobTemplate": {"spec": {"resources": {"limits": {"cpu": "1"}}}}}}, False),
    ],
)
def test_only_what_changes_the_measurement_measures_anew(edit: Json, again: bool) -> None:
    world = answered(measuring()).edit(**edit).settle()
    assert measurings(world) == ["digits-recommend-1", "digits-recommend-2"][: 1 + again]
    assert world.status["recommendation"]["type"] == "random_forest"
    assert (run_of(world)["state"] == "Running") == again


def test_one_that_runs_for_what_the_spec_said_before_is_cancelled() -> None:
    world = measuring().edit(recommendation={"folds": 3}).settle()
    assert world.tasks["digits-recommend-1"]["spec"]["cancel"] is True
    world.ends("digits-recommend-1", "Canceled").settle()
    assert (run_of(world)["job"], run_of(world)["state"]) == ("digits-recommend-2", "Running")
    answered(world)
    assert run_of(world)["state"] == "Done"


def test_training_does_not_take_what_was_measured_on_other_data() -> None:
    world = answered(measuring()).edit(training={}, datasets={"train": ["other"]}).settle()
    assert not any("-train-" in name for name in world.made)
    answered(world, {**ANSWER, "type": "decision_tree"})
    assert world.tasks["digits-train-1"]["spec"]["type"] == "decision_tree"


def test_a_type_that_is_named_after_all_ends_it_and_keeps_what_was_found() -> None:
    world = answered(measuring()).edit(recommendation={"folds": 3}).settle()
    world.edit(type="random_forest").settle()
    assert world.tasks["digits-recommend-2"]["spec"]["cancel"] is True
    assert world.status["recommendation"]["score"] == 93
    assert world.status["reason"] == "Draft"
    assert "recommendationRun" not in world.status


@pytest.mark.parametrize(
    ("phase", "answer", "said"),
    [
        ("Error", ANSWER, "digits-recommend-1 failed with OutOfMemory: It has ended."),
        ("Canceled", ANSWER, "digits-recommend-1 was cancelled."),
        ("Done", None, "its last status line has no recommendation, or its log is gone."),
        ("Done", "forest", "its last status line has no recommendation, or its log is gone."),
        ("Done", {**ANSWER, "score": 101}, "its recommendation cannot be read: score: "),
        ("Done", {**ANSWER, "reasoning": "x" * 5000}, "its recommendation cannot be read: reasoning: "),
        ("Done", {"score": 3}, "its recommendation cannot be read: type: "),
        (
            "Done",
            {**ANSWER, "type": "transformer"},
            "it recommends transformer, which is none of the candidates.",
        ),
    ],
)
def test_a_failure_says_why_and_is_tried_again_when_a_training_is_asked_for(
    phase: str, answer: Any, said: str
) -> None:
    world = answered(measuring(), answer, phase=phase)
    assert run_of(world)["state"] == "Failed"
    assert said in run_of(world)["message"]
    assert said in world.status["message"]
    assert world.status["reason"] == "RecommendationFailed"
    assert world.events.count("RecommendationFailed") >= 1
    world.passes(86400).settle()
    assert measurings(world) == ["digits-recommend-1"]
    world.asked("one").settle()
    assert measurings(world) == ["digits-recommend-1", "digits-recommend-2"]
    assert run_of(world)["requestedAt"] == "one"
    answered(world, None)
    assert measurings(world) == ["digits-recommend-1", "digits-recommend-2"]
    answered(world.asked("two").settle())
    assert run_of(world)["state"] == "Done"
    assert "digits-train-1" in world.tasks


def test_a_failed_one_is_not_told_of_at_every_look() -> None:
    world = answered(measuring(), {"score": 3})
    before = len(world.events)
    world.passes(600).settle()
    assert len(world.events) == before


def test_a_request_for_a_training_does_not_measure_what_was_measured() -> None:
    world = answered(measuring()).asked("one").settle()
    assert measurings(world) == ["digits-recommend-1"]
    assert "digits-train-1" in world.tasks


def test_one_that_was_deleted_is_a_failure_and_one_that_is_tried_again_is_followed() -> None:
    world = measuring()
    del world.tasks["digits-recommend-1"]
    world.settle()
    assert "was deleted before it had ended" in run_of(world)["message"]
    world = answered(measuring(), phase="Error")
    job = world.tasks["digits-recommend-1"]
    job["metadata"]["annotations"][names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert run_of(world)["state"] == "Running"
    job["status"]["retryRequestedAt"] = "now"
    answered(world)
    assert world.status["recommendation"]["type"] == "random_forest"


def test_what_the_job_waits_for_is_told() -> None:
    world = measuring()
    world.tasks["digits-recommend-1"]["status"] = {
        "phase": "Pending",
        "reason": "WaitingForDataset",
        "message": "Dataset digits is not there.",
    }
    world.settle()
    assert run_of(world)["message"] == "WaitingForDataset: Dataset digits is not there."
    world.runs("digits-recommend-1").settle()
    assert "message" not in run_of(world)


def test_a_catalogue_that_cannot_measure_is_told_and_a_newer_one_goes_on() -> None:
    reference = dataclasses.replace(CATALOG[0], actions={"train": CATALOG[0].actions["train"]})
    world = World(AUTO, rules=ModelRules(context=Context(catalog=(reference,)))).settle()
    assert world.made == []
    assert "Runtime reference has no action recommend" in world.status["message"]
    world.rules = RULES
    assert measurings(world.settle()) == ["digits-recommend-1"]


def test_a_job_that_the_api_server_refuses_is_tried_again() -> None:
    world = World(AUTO)
    (step,) = modelrecommend.plan(world.observed(), now=world.now, rules=RULES).jobs
    refusal = Refusal(status=403, message="exceeded quota", first_at=world.now, last_at=world.now, count=1)
    world.refusals[step.name, step.digest] = refusal
    world.settle()
    assert (world.made, run_of(world)["state"]) == ([], "Running")
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "PolicyRefused")
    assert "exceeded quota" in world.status["message"]
    world.passes(20).settle()
    assert measurings(world) == ["digits-recommend-1"]


def test_an_answer_that_was_not_read_yet_is_waited_for() -> None:
    world = measuring().ends("digits-recommend-1")
    observed = dataclasses.replace(world.observed(), answers={})
    part = modelrecommend.plan(observed, now=world.now, rules=RULES)
    assert part.status["recommendationRun"]["state"] == "Running"
    assert part.requeue_after is not None
    part = modelrecommend.plan(observed, now=world.now + 180, rules=RULES)
    assert "its log is gone" in part.status["recommendationRun"]["message"]


@pytest.mark.parametrize("writes", range(8))
def test_an_operator_that_ends_between_two_writes_measures_once(writes: int) -> None:
    world = World({**AUTO, "training": {}}, writes_left=writes)
    for _ in range(5):
        world.look()
    world.writes_left = None
    answered(world.settle())
    assert measurings(world) == ["digits-recommend-1"]
    assert world.newest == "digits-train-1"
