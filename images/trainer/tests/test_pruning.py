"""A smaller model: what is removed, how much, and that the price is measured on rows that decided nothing."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from trainyard_trainer.learners import weakest_links

FOREST = {"n_estimators": 40, "trees_per_batch": 20}


def model_of(run):
    return joblib.load(run.output / "model.joblib")["model"]


def pruned(trainer, parent, dataset, **parameters):
    return trainer.run(action="prune", type="", train=dataset, parent=parent.output, parameters=parameters)


def refused(run):
    assert run.code == 2, run.text
    assert "Traceback" not in run.text
    return run.last["message"]


def test_of_a_network_the_smallest_weights_of_each_layer_become_zero(trainer):
    parent = trainer.run(train="wine", parameters={"epochs": 3, "hidden_layer_sizes": [20, 10]})
    run = pruned(trainer, parent, "wine", amount=0.3)
    for before, after in zip(model_of(parent).coefs_, model_of(run).coefs_, strict=True):
        gone = after == 0
        assert gone.sum() == int(0.3 * before.size)
        assert np.abs(before[gone]).max() <= np.abs(before[~gone]).min()
        assert np.array_equal(before[~gone], after[~gone])


def test_pruning_again_takes_a_share_of_what_is_left(trainer):
    parent = trainer.run(train="wine", parameters={"epochs": 2})
    once = pruned(trainer, parent, "wine", amount=0.5)
    twice = pruned(trainer, once, "wine", amount=0.5)
    assert [run.verdict["metrics"]["weights"] for run in (once, twice)] == [800, 400]


def test_of_a_forest_the_first_trees_stay(trainer, samples):
    parent = trainer.run(type="random_forest", train="wine", parameters=FOREST)
    run = pruned(trainer, parent, "wine", amount=0.75)
    one, other = model_of(parent), model_of(run)
    assert other.n_estimators == len(other.estimators_) == 10
    frame = pd.read_csv(samples / "wine/data.csv").drop(columns="target").to_numpy()
    for before, after in zip(one.estimators_, other.estimators_, strict=False):
        assert np.array_equal(before.predict(frame), after.predict(frame))


@pytest.mark.parametrize("dataset", ["digits", "diabetes"])
def test_of_a_tree_the_leaves_go_that_cost_complexity_names(trainer, dataset):
    parent = trainer.run(type="decision_tree", train=dataset)
    run = pruned(trainer, parent, dataset, amount=0.7)
    before, after = (run.verdict["metrics"][name] for name in ("leaves_before", "leaves"))
    assert 2 <= after <= before - int(0.7 * before)
    # Branches go as a whole, but the next smaller step of the path is the one that was asked for.
    assert after > 0.2 * before
    kept = set(model_of(run).tree_.threshold)
    assert kept <= set(model_of(parent).tree_.threshold)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_the_branches_that_go_are_those_that_scikit_learn_would_take(name):
    features, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    kind = DecisionTreeClassifier if name == "digits" else DecisionTreeRegressor
    whole = kind(random_state=0).fit(features, targets)
    for alpha in whole.cost_complexity_pruning_path(features, targets).ccp_alphas[1:-1:20]:
        theirs = kind(random_state=0, ccp_alpha=alpha).fit(features, targets)
        ours = weakest_links.pruned(whole.tree_, leaves=theirs.get_n_leaves())
        assert np.array_equal(ours.threshold, theirs.tree_.threshold)
        assert np.array_equal(ours.value, theirs.tree_.value)


def test_a_tree_keeps_its_first_split_however_much_is_to_go(trainer):
    parent = trainer.run(type="decision_tree", train="wine")
    assert model_of(pruned(trainer, parent, "wine", amount=0.99)).get_n_leaves() >= 2


def test_without_a_word_half_of_it_goes(trainer):
    parent = trainer.run(type="random_forest", train="wine", parameters=FOREST)
    assert pruned(trainer, parent, "wine").verdict["metrics"]["trees"] == 20


def test_as_much_goes_as_a_tolerated_loss_allows_and_half_of_the_rows_report(trainer):
    parent = trainer.run(type="random_forest", train="digits", parameters=FOREST)
    little, much = (pruned(trainer, parent, "digits", tolerated_loss=loss) for loss in ("0.001", "0.2"))
    assert little.verdict["metrics"]["trees"] > much.verdict["metrics"]["trees"]
    assert json.loads(much.artifact("metrics.json"))["testRows"] == 180
    tried = [line for line in much.lines if line["status"] == "RUNNING"]
    assert tried[0]["message"].startswith("5% of the trees removed: accuracy 0.")


def test_what_no_loss_allows_is_kept_as_it_was(trainer, samples):
    # A stump: whatever is removed of it, it has one split left, which is what it had.
    parent = trainer.run(type="decision_tree", train="wine", parameters={"max_depth": 1})
    run = pruned(trainer, parent, "wine", tolerated_loss=0)
    assert run.code == 0, run.text
    assert run.verdict["metrics"]["leaves"] == run.verdict["metrics"]["leaves_before"] == 2


def test_a_pruned_model_is_evaluated_on_the_rows_that_its_parent_held_out(trainer):
    parent = trainer.run(type="decision_tree", train="digits", parameters={"random_seed": 5})
    run = pruned(trainer, parent, "digits", amount=0.5)
    evaluated = trainer.run(action="evaluate", type="", train="digits", parent=run.output)
    assert evaluated.verdict["keyMetric"] == run.verdict["keyMetric"]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param({"amount": 0.5, "tolerated_loss": 0.1}, "not both", id="two words on how much"),
        pytest.param({"amount": 1}, "must be below 1", id="all of it"),
        pytest.param({"amount": 0}, "must be above 0", id="none of it"),
        pytest.param(
            {"amount": 0.01}, "Nothing would be removed: the model has 20 trees", id="less than one"
        ),
        pytest.param({"ammount": 0.1}, 'Did you mean "amount"?', id="a misspelled parameter"),
    ],
)
def test_amounts_that_cannot_be(trainer, parameters, says):
    parent = trainer.run(type="random_forest", train="wine", parameters={"n_estimators": 20})
    run = pruned(trainer, parent, "wine", **parameters)
    assert says in refused(run)
    assert not run.output.exists()


def test_a_result_that_would_be_lost_is_refused(trainer):
    parent = trainer.run(type="decision_tree", train="wine")
    run = trainer.run(action="prune", train="wine", parent=parent.output, TRAINYARD_OUTPUT_DIR="")
    assert "Give the job an output" in refused(run)
