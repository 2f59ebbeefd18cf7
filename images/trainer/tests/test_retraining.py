"""A parent's model that goes on learning, and that never is tested on what it has learned."""

from __future__ import annotations

import json
import shutil

import joblib
import numpy as np
import pandas as pd
import pytest

NETWORK = {"epochs": 4, "hidden_layer_sizes": [32]}
FOREST = {"n_estimators": 20, "trees_per_batch": 5}
PARENTS = {
    "neural_network": ("wine", NETWORK),
    "random_forest": ("wine", FOREST),
    "decision_tree": ("wine", {}),
    "regression": ("diabetes", {"epochs": 10}),
}


def pipeline_of(run):
    return joblib.load(run.output / "model.joblib")


def trained(trainer, type_name):
    dataset, parameters = PARENTS[type_name]
    return trainer.run(type=type_name, train=dataset, parameters=parameters), dataset


def retrained(trainer, parent, dataset, **options):
    return trainer.run(
        **{"action": "retrain", "type": "", "train": dataset, "parent": parent.output, **options}
    )


def refused(run):
    assert run.code == 2, run.text
    assert "Traceback" not in run.text
    return run.last["message"]


@pytest.mark.parametrize("type_name", ["neural_network", "regression"])
def test_pruned_weights_stay_zero_and_the_others_learn(trainer, type_name):
    parent, dataset = trained(trainer, type_name)
    pruned = trainer.run(action="prune", train=dataset, parent=parent.output, parameters={"amount": 0.6})
    run = retrained(trainer, pruned, dataset, parameters={"epochs": 5})
    before, after = (
        [model.coef_] if type_name == "regression" else model.coefs_
        for model in (pipeline_of(pruned)["model"], pipeline_of(run)["model"])
    )
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one == 0, other == 0)
        assert not np.allclose(one, other)


@pytest.mark.parametrize("type_name", ["neural_network", "regression"])
def test_it_goes_on_from_the_parents_weights(trainer, type_name):
    """One epoch of steps too small to matter: what comes out is what went in."""
    parent, dataset = trained(trainer, type_name)
    run = retrained(trainer, parent, dataset, parameters={"epochs": 1, "learning_rate": "1e-12"})
    key = parent.verdict["keyMetric"]
    assert run.verdict["keyMetric"]["value"] == pytest.approx(key["value"], rel=1e-6)
    assert run.verdict["metrics"][f"{key['name']}_before"] == pytest.approx(key["value"], rel=1e-6)


def test_a_forest_keeps_its_trees_and_adds_others_than_it_had_before_it_was_pruned(trainer):
    parent, _ = trained(trainer, "random_forest")
    pruned = trainer.run(action="prune", train="wine", parent=parent.output, parameters={"amount": 0.5})
    run = retrained(trainer, pruned, "wine", parameters={"n_estimators": 10, "trees_per_batch": 4})
    assert [line["epoch"] for line in run.lines if line.get("kpi")] == [1, 2, 3, 3]
    old, new = pipeline_of(parent)["model"].estimators_, pipeline_of(run)["model"].estimators_
    same = [np.array_equal(a.tree_.threshold, b.tree_.threshold) for a, b in zip(old, new, strict=True)]
    assert same == [True] * 10 + [False] * 10
    assert pipeline_of(run)["model"].n_estimators == 20


def test_a_forest_adds_as_many_trees_as_it_has(trainer):
    parent, _ = trained(trainer, "random_forest")
    assert len(pipeline_of(retrained(trainer, parent, "wine"))["model"].estimators_) == 40


def halves(trainer, samples, dataset):
    """Two datasets of different rows of one."""
    frame = pd.read_csv(samples / dataset / "data.csv").sample(frac=1, random_state=0)
    parts = {"first": frame[: len(frame) // 2], "second": frame[len(frame) // 2 :]}
    for name, part in parts.items():
        trainer.dataset(name, data=part.to_csv(index=False))
    return parts


@pytest.mark.parametrize("dataset", ["wine", "diabetes"])
def test_a_tree_keeps_its_splits_and_its_leaves_say_what_the_new_rows_say(trainer, samples, dataset):
    parts = halves(trainer, samples, dataset)
    parent = trainer.run(type="decision_tree", train="first", parameters={"max_depth": 3})
    run = retrained(trainer, parent, "second", eval="first")
    old, new = pipeline_of(parent), pipeline_of(run)
    assert np.array_equal(old["model"].tree_.threshold, new["model"].tree_.threshold)
    rows = parts["second"]
    leaves = new["model"].apply(new["preprocess"].transform(rows))
    for leaf in np.unique(leaves):
        targets = rows["target"][leaves == leaf]
        value = new["model"].tree_.value[leaf, 0]
        if dataset == "diabetes":
            assert value[0] == pytest.approx(targets.mean())
        else:
            shares = [(targets == label).mean() for label in new["model"].classes_]
            assert value == pytest.approx(shares)


@pytest.mark.parametrize("dataset", ["wine", "diabetes"])
def test_on_its_own_rows_a_trees_leaves_stay_as_they_were(trainer, dataset):
    parent = trainer.run(type="decision_tree", train=dataset, parameters={"max_depth": 4})
    for weight in (0, 1):
        run = retrained(trainer, parent, dataset, parameters={"parent_weight": weight})
        old, new = (pipeline_of(one)["model"].tree_ for one in (parent, run))
        assert np.allclose(old.value, new.value)
        assert np.allclose(old.impurity, new.impurity)


def test_a_row_of_a_trees_parent_counts_as_much_as_parent_weight_says(trainer, samples):
    parts = halves(trainer, samples, "diabetes")
    parent = trainer.run(type="decision_tree", train="first", eval="second", parameters={"max_depth": 3})
    run = retrained(trainer, parent, "second", eval="first", parameters={"parent_weight": 1})
    both = pd.concat(parts.values())
    assert pipeline_of(run)["model"].tree_.value[0, 0, 0] == pytest.approx(both["target"].mean())


@pytest.mark.parametrize("type_name", list(PARENTS))
def test_on_the_parents_data_the_test_rows_are_the_parents(trainer, type_name):
    parent, dataset = trained(trainer, type_name)
    run = retrained(trainer, parent, dataset, parameters={"random_seed": 99})
    assert json.loads(run.artifact("metrics.json"))["split"] == {"fraction": 0.8, "seed": 0}
    again = trainer.run(action="evaluate", type="", train=dataset, parent=run.output)
    assert again.verdict["keyMetric"] == run.verdict["keyMetric"]


def test_another_split_of_the_parents_data_is_refused(trainer):
    parent, _ = trained(trainer, "decision_tree")
    message = refused(retrained(trainer, parent, "wine", parameters={"train_test_split": "0.5"}))
    assert "rows that it has learned would become test rows" in message


def test_other_data_is_split_anew_and_it_is_said_that_rows_may_be_shared(trainer, samples):
    halves(trainer, samples, "wine")
    parent = trainer.run(train="first", parameters=NETWORK)
    run = retrained(trainer, parent, "second", parameters={"train_test_split": 0.5})
    assert run.code == 0, run.text
    assert "some of the test rows were learned by the parent" in run.log
    assert json.loads(run.artifact("metrics.json"))["split"] == {"fraction": 0.5, "seed": 0}


def test_a_parent_that_held_no_rows_out_asks_for_an_eval_dataset(trainer):
    parent = trainer.run(train="wine-train", eval="wine-test", parameters=NETWORK)
    assert "datasets.eval" in refused(retrained(trainer, parent, "wine-train"))


@pytest.mark.parametrize(
    ("type_name", "classes", "says"),
    [
        pytest.param(
            "neural_network", "abc", 'hold the class "c"', id="a class that the parent does not know"
        ),
        pytest.param(
            "random_forest", "aa", "lack a class that the parent's forest knows", id="a class too few"
        ),
    ],
)
def test_classes_that_are_not_the_parents(trainer, type_name, classes, says):
    known = trainer.dataset("known", a="x,target\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    other = trainer.dataset(
        "other", a="x,target\n" + "".join(f"{i},{classes[i % len(classes)]}\n" for i in range(60))
    )
    parent = trainer.run(type=type_name, train=known, parameters={"epochs": 1})
    assert says in refused(retrained(trainer, parent, other))


def test_a_type_that_is_not_the_parents_is_refused(trainer):
    parent, _ = trained(trainer, "decision_tree")
    assert "Set type to decision_tree" in refused(retrained(trainer, parent, "wine", type="random_forest"))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param({"hidden_layer_sizes": [8]}, "Unknown parameter", id="what the parent decides"),
        pytest.param({"epochs": 2, "max_iterations": 3}, "the same parameter", id="two lengths that differ"),
        pytest.param({"learning_rate": 0}, "must be above 0", id="a step of nothing"),
    ],
)
@pytest.mark.parametrize("type_name", ["", "neural_network"], ids=["type unsaid", "type said"])
def test_parameters(trainer, type_name, parameters, says):
    parent, _ = trained(trainer, "neural_network")
    assert says in refused(retrained(trainer, parent, "wine", type=type_name, parameters=parameters))


def same_model(one, other, samples, dataset):
    frame = pd.read_csv(samples / dataset / "data.csv")
    assert np.array_equal(*[pipeline_of(run).predict(frame) for run in (one, other)])
    assert one.artifact("learning_curve.csv") == other.artifact("learning_curve.csv")
    assert one.verdict["metrics"] == other.verdict["metrics"]
    return True


@pytest.mark.parametrize(
    ("type_name", "parameters"),
    [
        pytest.param("neural_network", {"epochs": 6, "checkpoint_every": 1}, id="a network"),
        pytest.param("random_forest", {"n_estimators": 25, "trees_per_batch": 5}, id="a forest"),
        pytest.param("regression", {"epochs": 6, "checkpoint_every": 1}, id="a regression"),
    ],
)
def test_resuming_a_retraining_after_an_epoch(trainer, samples, type_name, parameters):
    parent, dataset = trained(trainer, type_name)
    pruned = trainer.run(action="prune", train=dataset, parent=parent.output)
    parameters = {**parameters, "checkpoints_kept": 10}
    whole = retrained(trainer, pruned, dataset, parameters=parameters)
    for path in sorted(whole.checkpoints.glob("epoch-*"))[2:]:
        shutil.rmtree(path)
    resumed = retrained(trainer, pruned, dataset, parameters=parameters, resume=whole.checkpoints)
    assert resumed.lines[1]["message"].startswith("resumed after epoch 2")
    assert same_model(whole, resumed, samples, dataset)


def test_a_checkpoint_of_another_parents_retraining_is_not_resumed(trainer):
    parent, _ = trained(trainer, "neural_network")
    first = retrained(trainer, parent, "wine", parameters={"epochs": 2})
    pruned = trainer.run(action="prune", train="wine", parent=parent.output)
    run = retrained(trainer, pruned, "wine", parameters={"epochs": 2}, resume=first.checkpoints)
    assert "was not saved by this retrain of this parent" in run.log
    assert run.lines[2]["epoch"] == 1
