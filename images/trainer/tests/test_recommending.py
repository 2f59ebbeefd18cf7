"""Which type of model suits the data: measured on real tables, by rules where there is no time, and told which."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

from trainyard_trainer import crossvalidation, reasoning, suitability
from trainyard_trainer import parameters as checking
from trainyard_trainer.crossvalidation import Fit, Measured, OutOfTime
from trainyard_trainer.dataanalysis import DataFacts
from trainyard_trainer.learners import BUILDERS
from trainyard_trainer.preparing import Prepared

TYPES = ["decision_tree", "random_forest", "regression", "neural_network"]


def recommended(trainer, name, **parameters):
    run = trainer.run(action="recommend", type="", train=name, parameters=parameters)
    assert run.code == 0, run.text
    return run


@pytest.mark.parametrize(
    ("name", "key", "able"),
    [
        pytest.param("wine", "accuracy", {"decision_tree", "random_forest", "neural_network"}, id="wine"),
        pytest.param(
            "breast_cancer",
            "accuracy",
            {"decision_tree", "random_forest", "neural_network"},
            id="breast_cancer",
        ),
        pytest.param("diabetes", "rmse", set(TYPES), id="diabetes"),
    ],
)
def test_the_recommended_type_is_within_2_percent_of_the_best_on_rows_held_out(trainer, name, key, able):
    """All tables, in three splits each: python -m tests.bench.recommendation, told in docs/recommendation.md."""
    trainer.sample_in_two(name, fraction=0.3)
    found = recommended(trainer, f"{name}-seen").last["recommendation"]
    assert found["measured"] is True
    held_out = {
        kind: trainer.run(type=kind, train=f"{name}-seen", eval=f"{name}-unseen").last["kpi"][key]
        for kind in sorted(able)
    }
    ours = held_out[found["type"]]
    if key == "accuracy":
        assert ours >= 0.98 * max(held_out.values()), held_out
    else:
        assert ours <= 1.02 * min(held_out.values()), held_out


@pytest.fixture(scope="module")
def measured(lasting_trainer):
    return recommended(lasting_trainer, "wine", folds=2)


def test_a_recommendation_has_what_the_operator_keeps(measured):
    found = measured.last["recommendation"]
    assert set(found) == {
        *("type", "score", "reasoning", "allScores"),
        *("ontologyAnalysis", "dataAnalysis", "measured"),
    }
    assert set(found["allScores"]) == set(TYPES)
    assert all(isinstance(score, int) and 0 <= score <= 100 for score in found["allScores"].values())
    assert found["score"] == found["allScores"][found["type"]] == max(found["allScores"].values())
    assert found["allScores"]["regression"] == 0
    assert found["ontologyAnalysis"] == {
        "numEntities": 1,
        "numAttributes": 14,
        "numRelationships": 0,
        "numericalRatio": "0.9286",
        "categoricalRatio": "0.07143",
        "dataTypes": {"float": 11, "integer": 2, "text": 1},
        "complexity": "low",
    }
    assert found["dataAnalysis"] == {
        "size": "small",
        "recordCount": 178,
        "featureCount": 13,
        "hasUnstructured": False,
    }


def test_it_is_kept_with_the_value_of_each_fold(measured):
    kept = json.loads(measured.artifact("recommendation.json"))
    folds = kept.pop("candidates")
    assert kept == measured.last["recommendation"]
    assert {name: len(found) for name, found in folds.items()} == dict.fromkeys(folds, 2)
    best = np.mean([fold["accuracy"] for fold in folds[kept["type"]]])
    assert measured.last["kpi"] == {"accuracy": pytest.approx(best, abs=1e-6)}
    assert measured.verdict["keyMetric"]["value"] == measured.last["kpi"]["accuracy"]
    assert json.loads(measured.artifact("metrics.json"))["keyMetric"]["name"] == "accuracy"


def test_the_reasoning_is_made_of_the_measured_numbers(measured):
    found = measured.last["recommendation"]
    said = found["reasoning"]
    accuracy = measured.last["categorical"]["accuracy"]
    assert {name for name, value in accuracy.items() if f"{name} accuracy {value:.4f}" in said} | {
        found["type"]
    } == set(accuracy)
    assert f"accuracy {accuracy[found['type']]:.4f}" in said
    assert "Always naming the most frequent class would come to accuracy 0.3989" in said
    assert "178 records and 13 features" in said
    assert 'regression predicts quantities, and "target" has classes' in said


def test_every_fit_is_told_as_it_ends(measured):
    told = [line for line in measured.lines if " fold " in line["message"]]
    assert [line["step"] for line in told] == [1, 2, 3, 4, 5, 6]
    assert {line["max_step"] for line in told} == {6}
    assert all(line["eta"] for line in told)


def test_the_same_seed_recommends_the_same(trainer, measured):
    again = recommended(trainer, "wine", folds=2).last["recommendation"]
    assert again["allScores"] == measured.last["recommendation"]["allScores"]


def test_a_budget_too_small_for_one_fold_of_each_comes_to_rules_and_says_so(trainer):
    name = trainer.dataset("many", data=many_rows())
    found = recommended(trainer, name, time_budget_seconds=1).last["recommendation"]
    assert found["measured"] is False
    assert "by rules alone" in found["reasoning"]
    assert "the time budget of 1 s was too short for one fold of each candidate" in found["reasoning"]
    assert recommended(trainer, name, time_budget_seconds=1).last["kpi"] == {}


def many_rows(rows=6000):
    numbers = np.random.default_rng(0).normal(size=(rows, 12))
    lines = [",".join(f"{number:.3f}" for number in row) for row in numbers]
    header = ",".join([*(f"x{i}" for i in range(11)), "target"])
    return "\n".join([header, *lines]) + "\n"


def test_sigterm_ends_it_within_seconds_with_nothing_kept(trainer):
    name = trainer.dataset("many", data=many_rows())
    process = trainer.start(action="recommend", type="", train=name)
    process.wait_for(lambda line: line.get("step") == 1)
    run, took = process.end(signal.SIGTERM)
    assert run.code == 0
    assert run.verdict["complete"] is False
    assert "stopped after 1 of 20 fits; nothing is recommended" in run.last["message"]
    assert took < 10
    assert not run.output.exists()


def test_nothing_is_kept_where_no_folder_is_given_and_it_is_told_all_the_same(trainer):
    run = trainer.run(
        action="recommend",
        type="",
        train="wine",
        parameters={"folds": 2, "candidates": ["decision_tree"]},
        TRAINYARD_OUTPUT_DIR="",
    )
    assert run.last["recommendation"]["type"] == "decision_tree"
    assert run.last["artifacts"] == []


def test_a_line_stays_short_whatever_the_columns_are_called(trainer):
    header = ",".join([*("long" * 400 + str(i) for i in range(40)), "outcome" * 300])
    rows = "".join(
        ",".join(["some words that make a sentence"] * 40 + [str(i % 2)]) + "\n" for i in range(60)
    )
    name = trainer.dataset("wide", data=f"{header}\n{rows}")
    run = recommended(trainer, name, folds=2, candidates=["decision_tree"])
    assert run.last["recommendation"]["dataAnalysis"]["hasUnstructured"] is True
    assert "There is free text in" in run.last["recommendation"]["reasoning"]
    assert len(run.text.splitlines()[-1]) < 60 * 1024


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        pytest.param("wine", {"candidates": ["svm"]}, '"candidates" must be one of', id="an unknown type"),
        pytest.param("wine", {"candidates": []}, '"candidates" breaks the rule minItems', id="no candidate"),
        pytest.param("wine", {"folds": 1}, '"folds" must be at least 2', id="one fold"),
        pytest.param("wine", {"epochs": 3}, 'Unknown parameter "epochs"', id="a parameter of training"),
        pytest.param(
            "wine",
            {"candidates": ["regression"]},
            "regression is for quantities",
            id="no candidate that can predict classes",
        ),
        pytest.param("wine", {"target": "nosuch"}, '"nosuch" is not in', id="a target that is not there"),
        pytest.param("few", {"folds": 5}, "7 rows are too few for 5 folds", id="too few rows"),
        pytest.param(None, {}, "Name a dataset in datasets.train", id="no data"),
    ],
)
def test_what_cannot_be_recommended_is_refused(trainer, name, parameters, says):
    trainer.dataset("few", data="x,target\n" + "".join(f"{i},{i / 3}\n" for i in range(7)))
    run = trainer.run(action="recommend", type="", train=name, parameters=parameters)
    assert run.code == 2, run.text
    assert says in run.last["message"]


def of(**losses):
    fits = [
        Fit(type=name, fold=fold, loss=loss, seconds=1.0)
        for name, by_fold in losses.items()
        for fold, loss in enumerate(by_fold)
    ]
    return Measured(folds=2, fits=fits)


@pytest.mark.parametrize(
    ("losses", "trivial", "scores"),
    [
        pytest.param([0.0, 0.0], 0.5, 100, id="nothing wrong at all"),
        pytest.param([0.1, 0.3], 0.8, 75, id="a quarter of what is lost without learning"),
        pytest.param([0.5, 0.5], 0.5, 0, id="no better than without learning"),
        pytest.param([0.9, 0.9], 0.5, 0, id="worse than without learning"),
        pytest.param([0.0, 0.0], 0.0, 0, id="a quantity that never changes"),
    ],
)
def test_a_score_is_the_share_of_the_trivial_loss_that_is_saved(losses, trivial, scores):
    found = suitability.by_measurement(of(random_forest=losses), ["random_forest"], trivial)
    assert found == (["random_forest"], {"random_forest": scores})


def test_the_trivial_loss_is_that_of_the_most_frequent_class_or_of_the_mean():
    assert suitability.trivial_loss(np.array(list("aaab")), classify=True) == 0.25
    assert suitability.trivial_loss(np.array([1.0, 3.0]), classify=False) == 1.0


def test_the_lowest_loss_is_recommended_and_what_could_not_be_fitted_is_last():
    measured = of(random_forest=[0.2, 0.2], decision_tree=[0.1, 0.2])
    measured.failed["neural_network"] = "The training diverged."
    ranked, scores = suitability.by_measurement(
        measured, ["random_forest", "decision_tree", "neural_network"], 0.5
    )
    assert ranked == ["decision_tree", "random_forest"]
    assert scores == {"random_forest": 60, "decision_tree": 70, "neural_network": 0}


def facts(**changes):
    usual = {"rows": 5000, "numeric": 10, "categorical": 0, "inputs": 10, "classes": 2, "missing_share": 0.0}
    return DataFacts(**{**usual, "kinds": {}, "free_text": (), **changes})


@pytest.mark.parametrize(
    ("changes", "best", "scores"),
    [
        pytest.param({}, "random_forest", (50, 70, 0, 60), id="of classes a regression is out"),
        pytest.param({"classes": 0}, "random_forest", (50, 70, 60, 60), id="of quantities it is not"),
        pytest.param({"rows": 300, "classes": 0}, "random_forest", (50, 75, 60, 45), id="few records"),
        pytest.param({"rows": 200_000, "classes": 0}, "neural_network", (50, 70, 60, 75), id="many records"),
        pytest.param(
            {"categorical": 20, "classes": 0}, "random_forest", (60, 80, 50, 55), id="mostly categories"
        ),
        pytest.param({"inputs": 900, "classes": 0}, "random_forest", (40, 70, 70, 60), id="many inputs"),
    ],
)
def test_rules(changes, best, scores):
    ranked, found, _ = suitability.by_rules(facts(**changes), TYPES)
    assert ranked[0] == best
    assert tuple(found[name] for name in TYPES) == scores


def test_rules_never_recommend_what_has_been_seen_to_fail(trainer, monkeypatch):
    def fails(type_name, *_, **__):
        if type_name == "random_forest":
            return "It cannot learn from this."
        raise OutOfTime

    monkeypatch.setattr(crossvalidation, "fit_one", fails)
    found = recommended(trainer, "wine", candidates=["random_forest", "decision_tree"]).last["recommendation"]
    assert (found["measured"], found["type"]) == (False, "decision_tree")
    assert found["allScores"] == {"random_forest": 0, "decision_tree": found["score"]}
    assert "random_forest could not be fitted: It cannot learn from this." in found["reasoning"]


def test_reasoning_is_never_longer_than_the_status_has_room_for():
    assert len(reasoning._joined(["word " * 5000])) == reasoning.LONGEST


@pytest.mark.parametrize("rows", [7, 64, 100], ids=["less than a batch", "whole batches", "a batch in part"])
@pytest.mark.parametrize("classify", [True, False], ids=["classes", "a quantity"])
@pytest.mark.parametrize("type_name", ["neural_network", "regression", "random_forest"])
def test_whole_epochs_come_to_the_same_model_as_mini_steps(type_name, rows, classify):
    classify = classify and type_name != "regression"
    by_steps, at_once = (learner_of(type_name, rows, classify=classify) for _ in range(2))
    for epoch in range(1, by_steps.max_epoch + 1):
        for index in range(by_steps.steps_in(epoch)):
            by_steps.step(epoch=epoch, index=index)
        at_once.whole_epoch(epoch)
    one, other = (learner.estimator(best=False) for learner in (by_steps, at_once))
    unseen = np.random.default_rng(4).normal(size=(50, 4))
    predict = "predict_proba" if classify else "predict"
    assert np.array_equal(getattr(one, predict)(unseen), getattr(other, predict)(unseen))


def learner_of(type_name, rows, *, classify):
    generator = np.random.default_rng(3)
    x = generator.normal(size=(rows, 4))
    y = np.arange(rows) % 3 if classify else generator.normal(size=rows)
    prepared = Prepared(
        preprocess=None,
        classes=np.arange(3) if classify else np.empty(0),
        x_train=x,
        y_train=y,
        x_validation=x,
        y_validation=y,
        test=None,
    )
    length = {"n_estimators": 50} if type_name == "random_forest" else {"epochs": 3}
    return BUILDERS[type_name](
        prepared, checking.for_training(length, type_name=type_name), classify=classify
    )
