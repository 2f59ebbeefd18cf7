"""A training without data: on a generated table, and nothing that comes of it can be mistaken for more."""

from __future__ import annotations

import json

import joblib
import pytest

from trainyard_trainer.synthetic import made

ASKED = {"synthetic_data": True}
SHORT = {
    "neural_network": {"epochs": 12},
    "random_forest": {"n_estimators": 30},
    "regression": {"epochs": 20},
}
MARK = "synthetic demo data"


@pytest.mark.parametrize("type_name", ["decision_tree", "random_forest", "regression", "neural_network"])
def test_every_type_learns_from_the_demo_data_and_says_so_everywhere(trainer, type_name):
    run = trainer.run(type=type_name, train=None, parameters={**SHORT.get(type_name, {}), **ASKED})
    assert run.code == 0, run.text
    assert all(MARK in line["message"] for line in run.lines)
    assert MARK in run.verdict["message"]
    assert run.last["kpi"]["synthetic_data"] == run.verdict["metrics"]["synthetic_data"] == 1
    summary = json.loads(run.artifact("metrics.json"))
    model = joblib.load(run.output / "model.joblib")
    assert summary["synthetic_data"] is True
    assert model.trainyard["synthetic_data"] is True
    quantity = type_name == "regression"
    assert summary["task"] == ("regression" if quantity else "classification")
    assert summary["metrics"]["r2_score" if quantity else "accuracy"] > 0.5


@pytest.mark.parametrize(
    ("parameters", "task", "target"),
    [
        pytest.param({}, "classification", "demo_target", id="classes without a word"),
        pytest.param(
            {"task": "regression"}, "regression", "demo_target", id="a quantity where it is asked for"
        ),
        pytest.param(
            {"target": "churn"}, "classification", "churn", id="a target by the name that was given"
        ),
        pytest.param(
            {"ignore_columns": ["id", "demo_site"]},
            "classification",
            "demo_target",
            id="columns to ignore that the real data has",
        ),
    ],
)
def test_the_table_follows_the_parameters(trainer, parameters, task, target):
    run = trainer.run(type="decision_tree", train=None, parameters={**parameters, **ASKED})
    assert run.code == 0, run.text
    summary = json.loads(run.artifact("metrics.json"))
    assert (summary["task"], summary["target"]) == (task, target)


def test_the_same_seed_makes_the_same_table_and_another_seed_another(trainer):
    first, again, other = (
        json.loads(
            trainer.run(type="decision_tree", train=None, parameters={"random_seed": seed, **ASKED}).artifact(
                "metrics.json"
            )
        )
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["metrics"] != other["metrics"]
    assert first["dataSha256"] != other["dataSha256"]


def test_a_model_of_the_demo_data_is_evaluated_on_the_rows_it_held_out_and_says_so(trainer):
    trained = trainer.run(type="decision_tree", train=None, parameters={"random_seed": 3, **ASKED})
    run = trainer.run(action="evaluate", type="", train=None, parent=trained.output)
    assert run.verdict["keyMetric"] == trained.verdict["keyMetric"]
    assert MARK in run.last["message"]
    assert run.last["kpi"]["synthetic_data"] == 1


@pytest.mark.parametrize("action", ["prune", "retrain", "export"])
def test_what_is_made_of_a_model_of_the_demo_data_says_so_too(trainer, action):
    trained = trainer.run(type="decision_tree", train=None, parameters=ASKED)
    given = {"train": trainer.dataset("real", data=demo_rows())} if action == "retrain" else {"train": None}
    run = trainer.run(action=action, type="", parent=trained.output, **given)
    assert run.code == 0, run.text
    assert MARK in run.last["message"]
    assert MARK in run.verdict["message"]
    if action != "export":
        assert run.last["kpi"]["synthetic_data"] == 1
        assert json.loads(run.artifact("metrics.json"))["synthetic_data"] is True
        assert joblib.load(run.output / "model.joblib").trainyard["synthetic_data"] is True


def demo_rows():
    return str(made(target="demo_target", task="classification", seed=9).frame.to_csv(index=False))


def test_a_training_of_the_demo_data_that_was_stopped_goes_on_with_it(trainer):
    short = trainer.run(type="regression", train=None, parameters={"epochs": 3, **ASKED})
    longer = trainer.run(
        type="regression", train=None, parameters={"epochs": 6, **ASKED}, resume=short.checkpoints
    )
    whole = trainer.run(type="regression", train=None, parameters={"epochs": 6, **ASKED})
    assert "resumed after epoch 3" in longer.text
    assert longer.last["kpi"] == whole.last["kpi"]


@pytest.mark.parametrize("role", ["train", "eval"])
def test_demo_data_beside_real_data_is_refused(trainer, role):
    run = trainer.run(type="decision_tree", **{"train": None, role: "wine"}, parameters=ASKED)
    assert run.code == 2
    assert f"this one has datasets.{role}" in run.last["message"]


def test_no_data_and_no_word_of_demo_data_is_refused_with_the_parameter_named(trainer):
    run = trainer.run(type="decision_tree", train=None)
    assert run.code == 2
    assert "synthetic_data to true" in run.last["message"]


def test_real_data_leaves_no_trace_of_the_parameter(trainer):
    run = trainer.run(type="decision_tree", train="wine", parameters={"synthetic_data": False})
    assert run.code == 0
    assert "synthetic" not in run.text + run.artifact("metrics.json")
