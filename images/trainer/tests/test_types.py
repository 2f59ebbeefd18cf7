"""What is a tree's and a regression's own."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error
from sklearn.tree import DecisionTreeClassifier

from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.preparing import split


def model_of(run):
    return joblib.load(run.output / "model.joblib")


def parts_of(run, samples, dataset):
    """The rows that a training learned from and those it held out, and their targets."""
    facts = model_of(run).trainyard
    frame = pd.read_csv(samples / dataset / "data.csv")
    layout = Layout(**facts["layout"])
    examples = Examples(features=frame[layout.features], targets=frame["target"].to_numpy(), dropped=0)
    return split(examples, layout, **facts["split"])


def test_the_last_level_of_a_tree_is_the_tree_that_scikit_learn_grows_by_itself(trainer, samples):
    run = trainer.run(type="decision_tree", train="wine", parameters={"random_seed": 3})
    learned, _ = parts_of(run, samples, "wine")
    whole = DecisionTreeClassifier(random_state=3).fit(learned.features, learned.targets)
    grown = model_of(run)["model"]
    assert np.array_equal(grown.tree_.threshold, whole.tree_.threshold)
    assert np.array_equal(grown.tree_.value, whole.tree_.value)
    assert run.last["epoch"] == run.last["max_epoch"] == whole.get_depth()


@pytest.mark.parametrize(
    ("parameters", "depth"),
    [
        pytest.param({"epochs": 2}, 2, id="epochs are levels"),
        pytest.param({"max_iterations": 3}, 3, id="max_iterations is another name of epochs"),
        pytest.param({"max_depth": 3}, 3, id="max_depth ends it too"),
        pytest.param({"max_depth": 4, "epochs": 2}, 2, id="of both the smaller one counts"),
    ],
)
def test_the_depth_of_a_tree(trainer, parameters, depth):
    run = trainer.run(type="decision_tree", train="digits", parameters=parameters)
    assert model_of(run)["model"].get_depth() == depth
    assert run.last["epoch"] == run.last["max_epoch"] == depth


def test_a_tree_that_can_be_split_no_further_ends_before_max_depth_and_says_so_from_the_start(trainer):
    run = trainer.run(type="decision_tree", train="wine", parameters={"max_depth": 500})
    assert run.lines[1]["max_epoch"] == run.last["epoch"] == model_of(run)["model"].get_depth() < 20


def test_a_tree_of_which_no_feature_tells_the_classes_apart_is_one_leaf(trainer):
    name = trainer.dataset("same", a="x,target\n" + "".join(f"1,{'ab'[i % 2]}\n" for i in range(40)))
    run = trainer.run(type="decision_tree", train=name)
    assert run.code == 0, run.text
    assert model_of(run)["model"].get_n_leaves() == 1


def test_a_tree_that_ends_early_keeps_the_best_depth(trainer):
    run = trainer.run(type="decision_tree", train="digits", parameters={"early_stopping_rounds": 2})
    kept = json.loads(run.artifact("metrics.json"))["modelEpoch"]
    assert kept == run.last["epoch"] - 2
    assert model_of(run)["model"].get_depth() == kept


def test_a_regression_comes_to_the_least_squares_fit(trainer, samples):
    run = trainer.run(
        type="regression", train="diabetes", parameters={"alpha": 0, "epochs": 150, "batch_size": 120}
    )
    learned, held = parts_of(run, samples, "diabetes")
    exact = LinearRegression().fit(learned.features, learned.targets)
    rmse = root_mean_squared_error(held.targets, exact.predict(held.features))
    assert run.verdict["metrics"]["rmse"] == pytest.approx(rmse, rel=0.01)
    assert set(run.verdict["metrics"]) == {"rmse", "mae", "r2_score", "training_loss", "validation_loss"}


def test_the_importance_of_a_regressions_features_is_their_share_of_the_coefficients(trainer):
    run = trainer.run(type="regression", train="diabetes", parameters={"epochs": 20})
    importance = json.loads(run.artifact("metrics.json"))["featureImportance"]
    weights = dict(zip(importance, np.abs(model_of(run)["model"].coef_), strict=True))
    assert sum(importance.values()) == pytest.approx(1)
    assert max(importance, key=importance.get) == max(weights, key=weights.get)


def test_a_few_whole_numbers_are_a_quantity_to_a_regression(trainer):
    name = trainer.dataset("marks", a="x,target\n" + "".join(f"{i},{1 + i // 20}\n" for i in range(100)))
    run = trainer.run(type="regression", train=name, parameters={"epochs": 150})
    assert run.code == 0, run.text
    assert run.verdict["metrics"]["r2_score"] > 0.9


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param("".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)), id="text"),
        pytest.param("".join(f"{i},{i % 2 == 0}\n" for i in range(40)), id="true and false"),
    ],
)
def test_a_regression_refuses_classes_and_names_the_types_that_take_them(trainer, rows):
    name = trainer.dataset("mine", a="x,target\n" + rows)
    run = trainer.run(type="regression", train=name)
    assert run.code == 2
    assert "holds classes" in run.last["message"]
    assert "train a decision_tree, random_forest or neural_network" in run.last["message"]


def test_a_regression_refuses_the_task_classification(trainer):
    run = trainer.run(type="regression", train="wine", parameters={"task": "classification"})
    assert run.code == 2
    assert '"task" must be one of auto, regression' in run.last["message"]
