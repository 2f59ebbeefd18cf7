"""Training and evaluating on scikit-learn's real datasets."""

from __future__ import annotations

import csv
import json
import re

import joblib
import pandas as pd
import pytest


@pytest.mark.parametrize(
    ("type_name", "dataset", "least"),
    [
        pytest.param("neural_network", "digits", 0.93, id="a network learns the digits"),
        pytest.param(
            "neural_network", "breast_cancer", 0.9, id="a network learns breast_cancer from parquet"
        ),
        pytest.param("random_forest", "digits", 0.9, id="a forest learns the digits"),
        pytest.param("random_forest", "wine", 0.85, id="a forest learns wines, whose classes are names"),
    ],
)
def test_classification(trainer, type_name, dataset, least):
    run = trainer.run(type=type_name, train=dataset)
    assert run.code == 0
    assert run.verdict["complete"] is True
    assert run.verdict["keyMetric"]["name"] == "accuracy"
    assert run.verdict["keyMetric"]["value"] > least
    assert set(run.verdict["metrics"]) == {
        "accuracy",
        "precision",
        "recall",
        "f1_score",
        "training_loss",
        "validation_loss",
    }
    assert {path.name for path in run.output.iterdir()} == {
        "checkpoints",
        "confusion_matrix.csv",
        "learning_curve.csv",
        "metrics.json",
        "model.joblib",
        "profile.json",
    }


@pytest.mark.parametrize(
    ("type_name", "parameters"),
    [
        pytest.param("neural_network", {"epochs": 60}, id="a network explains a fifth of diabetes' variance"),
        pytest.param("random_forest", {}, id="a forest explains a fifth of diabetes' variance"),
    ],
)
def test_regression(trainer, type_name, parameters):
    run = trainer.run(type=type_name, train="diabetes", parameters=parameters)
    assert run.code == 0
    assert run.verdict["metrics"]["r2_score"] > 0.2
    assert run.verdict["keyMetric"]["name"] == "rmse"
    assert not (run.output / "confusion_matrix.csv").exists()


def test_status_lines_have_the_format_that_the_operator_reads(trainer):
    run = trainer.run(train="wine", parameters={"epochs": 6, "checkpoint_every": 2})
    assert [line["status"] for line in run.lines] == ["STARTED"] + ["RUNNING"] * 7 + ["SUCCESS"]
    for line in run.lines:
        assert re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", line["date"])
        assert re.fullmatch(r"\d{1,2}:\d{1,2}:\d{1,2}", line["time"])
        assert {"kpi", "graphical", "categorical", "message", "verbosity"} <= set(line)
    epochs = run.lines[2:-1]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4, 5, 6]
    assert {line["max_epoch"] for line in epochs} == {6}
    for line in epochs:
        assert re.fullmatch(r"\d+:\d\d:\d\d", line["eta"])
        assert re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", line["time_per_epoch"])
        assert set(line["kpi"]) == {"training_loss", "validation_loss", "accuracy"}
        assert set(line["graphical"]) == {"training_loss", "validation_loss", "validation_accuracy"}
    assert [line["checkpoint"]["epoch"] for line in epochs if "checkpoint" in line] == [2, 4, 6]


def test_the_last_line_has_the_confusion_matrix_and_it_adds_up(trainer):
    run = trainer.run(train="wine", parameters={"epochs": 2})
    cells = run.last["categorical"]["confusion_matrix"]
    rows = json.loads(run.artifact("metrics.json"))["testRows"]
    assert sum(cells.values()) == rows
    right = sum(count for cell, count in cells.items() if len(set(cell.split("->"))) == 1)
    assert right / rows == pytest.approx(run.last["kpi"]["accuracy"], abs=1e-6)
    with (run.output / "confusion_matrix.csv").open() as file:
        table = list(csv.reader(file))
    assert sum(int(count) for row in table[1:] for count in row[1:]) == rows


def test_the_same_seed_gives_the_same_model_and_another_seed_another(trainer):
    first, again, other = (
        trainer.run(train="wine", parameters={"epochs": 3, "random_seed": seed}).artifact(
            "learning_curve.csv"
        )
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_model_predicts_with_scikit_learn_alone_and_in_the_targets_own_terms(trainer, samples):
    run = trainer.run(type="random_forest", train="wine", parameters={"n_estimators": 20})
    model = joblib.load(run.output / "model.joblib")
    frame = pd.read_csv(samples / "wine/data.csv")
    assert (model.predict(frame) == frame["target"]).mean() > 0.95
    assert model.trainyard["parameters"]["n_estimators"] == 20
    assert type(model).__module__.startswith("sklearn.")


def test_early_stopping_ends_early_and_keeps_the_best_epoch(trainer):
    run = trainer.run(
        train="wine", parameters={"epochs": 300, "learning_rate": "0.02", "early_stopping_rounds": 5}
    )
    curve = pd.read_csv(run.output / "learning_curve.csv")
    kept = json.loads(run.artifact("metrics.json"))["modelEpoch"]
    assert len(curve) < 300
    assert kept == len(curve) - 5
    assert curve["validation_loss"].idxmin() == kept - 1


def test_a_forest_that_ends_early_keeps_the_best_epochs_trees(trainer):
    run = trainer.run(
        type="random_forest",
        train="wine",
        parameters={"n_estimators": 400, "trees_per_batch": 5, "early_stopping_rounds": 3},
    )
    kept = json.loads(run.artifact("metrics.json"))["modelEpoch"]
    model = joblib.load(run.output / "model.joblib")["model"]
    assert len(model.estimators_) == model.n_estimators == kept * 5 < 400


@pytest.mark.parametrize(
    ("type_name", "dataset"),
    [
        pytest.param("neural_network", "digits", id="a network evaluates to what its training reported"),
        pytest.param("random_forest", "wine", id="a forest evaluates to what its training reported"),
        pytest.param("random_forest", "diabetes", id="a regression evaluates to what its training reported"),
    ],
)
def test_evaluation_on_the_rows_held_out(trainer, type_name, dataset):
    parameters = {"epochs": 3, "random_seed": 7}
    trained = trainer.run(type=type_name, train=dataset, parameters=parameters)
    evaluated = trainer.run(action="evaluate", type=type_name, train=dataset, parent=trained.output)
    assert evaluated.code == 0
    assert evaluated.verdict["keyMetric"] == trained.verdict["keyMetric"]
    assert evaluated.last["kpi"] == trained.last["kpi"]
    assert evaluated.last["categorical"].items() <= trained.last["categorical"].items()
    assert (evaluated.output / "metrics.json").exists()


@pytest.mark.parametrize(
    ("given", "learned"),
    [
        pytest.param({}, 142, id="four fifths by default"),
        pytest.param({"train_test_split": "0.7"}, 124, id="the share to learn from as a string"),
        pytest.param({"train_test_split": 0.25}, 44, id="less than half"),
    ],
)
def test_train_test_split_is_the_share_of_rows_to_learn_from(trainer, given, learned):
    trained = trainer.run(train="wine", parameters={"epochs": 2, **given})
    evaluated = trainer.run(action="evaluate", train="wine", parent=trained.output)
    summary = json.loads(trained.artifact("metrics.json"))
    assert (summary["trainingRows"], summary["testRows"]) == (learned, 178 - learned)
    assert json.loads(evaluated.artifact("metrics.json"))["testRows"] == 178 - learned
    assert evaluated.last["kpi"] == trained.last["kpi"]


@pytest.mark.parametrize("share", [0.07, 0.29, 0.57, 0.58])
def test_a_share_of_whole_rows_is_not_one_row_less(trainer, share):
    name = trainer.dataset("hundred", a="x,target\n" + "".join(f"{i},{i / 8}\n" for i in range(100)))
    run = trainer.run(
        type="random_forest", train=name, parameters={"n_estimators": 1, "train_test_split": share}
    )
    assert json.loads(run.artifact("metrics.json"))["trainingRows"] == round(share * 100)


def test_an_eval_dataset_is_the_test_set_of_training_and_of_evaluation(trainer, samples):
    trained = trainer.run(train="wine-train", eval="wine-test", parameters={"epochs": 5})
    evaluated = trainer.run(action="evaluate", train="wine-train", eval="wine-test", parent=trained.output)
    rows = len(pd.read_csv(samples / "wine-test/data.csv"))
    assert json.loads(evaluated.artifact("metrics.json"))["testRows"] == rows
    assert evaluated.verdict["keyMetric"] == trained.verdict["keyMetric"]


def test_several_train_datasets_are_learned_as_one(trainer):
    run = trainer.run(train=["wine-train", "wine-test"], parameters={"epochs": 2})
    summary = json.loads(run.artifact("metrics.json"))
    assert summary["trainingRows"] + summary["testRows"] == 178


def test_nothing_is_kept_where_no_folder_is_given_and_training_still_succeeds(trainer):
    run = trainer.run(
        train="wine",
        parameters={"epochs": 2},
        TRAINYARD_OUTPUT_DIR="",
        TRAINYARD_CHECKPOINT_DIR="",
    )
    assert run.code == 0
    assert run.verdict["complete"] is True
    assert not any("checkpoint" in line for line in run.lines)
    assert not (trainer.root / "uid").exists()
