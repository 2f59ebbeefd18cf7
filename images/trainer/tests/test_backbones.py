"""A training that begins with the weights of another model, and everything that cannot."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pytest


def base(run, *, name="champ@3", backbone=True, path=None):
    told = [{"name": name, "path": str(path or run.output), "backbone": backbone, "card": None}]
    return {"TRAINYARD_BASE_MODELS": json.dumps(told)}


def network(trainer, *, train="wine", epochs=8, sizes=(20, 10), **more):
    return trainer.run(train=train, parameters={"epochs": epochs, "hidden_layer_sizes": list(sizes), **more})


def first_loss(run):
    return float(run.artifact("learning_curve.csv").splitlines()[1].split(",")[1])


@pytest.mark.parametrize("data", ["wine", "diabetes"], ids=["of classes", "of a quantity"])
def test_a_network_begins_where_the_base_model_ended(trainer, data):
    taught = network(trainer, train=data, epochs=15)
    fresh = network(trainer, train=data, epochs=1)
    begun = trainer.run(train=data, parameters={"epochs": 1, "hidden_layer_sizes": [20, 10]}, **base(taught))
    assert begun.code == 0, begun.text
    assert "begins with all of its 3 layers from the base model champ@3" in begun.log
    last = float(taught.artifact("learning_curve.csv").splitlines()[-1].split(",")[1])
    assert first_loss(begun) < 0.6 * first_loss(fresh)
    assert first_loss(begun) == pytest.approx(last, rel=0.25)


def test_only_layers_of_the_same_place_and_shape_are_taken_and_the_others_are_as_without_it(trainer):
    taught = network(trainer, epochs=8, sizes=(20, 10))
    given = {"epochs": 1, "hidden_layer_sizes": [20, 7], "learning_rate": 1e-12}
    begun = trainer.run(train="wine", parameters=given, **base(taught))
    fresh = trainer.run(train="wine", parameters=given)
    assert "begins with 1 of its 3 layers (1) from the base model champ@3" in begun.log
    was, new, without = (
        joblib.load(run.output / "model.joblib")["model"].coefs_ for run in (taught, begun, fresh)
    )
    assert np.allclose(new[0], was[0], atol=1e-6)
    assert not np.allclose(new[0], without[0], atol=1e-3)
    for place in (1, 2):
        assert np.allclose(new[place], without[place], atol=1e-6)


def test_what_it_began_with_is_kept_with_the_model(trainer):
    taught = network(trainer, epochs=2)
    begun = trainer.run(
        train="wine", parameters={"epochs": 1, "hidden_layer_sizes": [20, 10]}, **base(taught)
    )
    kept = json.loads(begun.artifact("metrics.json"))["backbone"]
    assert (kept["name"], kept["layers"]) == ("champ@3", [1, 2, 3])
    digests = {file["path"]: file["sha256"] for file in taught.last["artifacts"]}
    assert kept["sha256"] == digests["model.joblib"]
    assert joblib.load(begun.output / "model.joblib").trainyard["backbone"] == kept


def test_zeros_of_a_pruned_base_model_do_not_stay_zero(trainer):
    taught = network(trainer, epochs=2)
    pruned = trainer.run(action="prune", type="", train="wine", parent=taught.output)
    begun = trainer.run(
        train="wine", parameters={"epochs": 3, "hidden_layer_sizes": [20, 10]}, **base(pruned)
    )
    weights = joblib.load(begun.output / "model.joblib")["model"].coefs_[0]
    assert (weights == 0).mean() < 0.1


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(trainer):
    taught = network(trainer, epochs=4)
    sizes = {"hidden_layer_sizes": [20, 10], "checkpoint_every": 1}
    short = trainer.run(train="wine", parameters={"epochs": 2, **sizes}, **base(taught))
    longer = trainer.run(
        train="wine", parameters={"epochs": 4, **sizes}, resume=short.checkpoints, **base(taught)
    )
    whole = trainer.run(train="wine", parameters={"epochs": 4, **sizes}, **base(taught))
    assert longer.artifact("learning_curve.csv") == whole.artifact("learning_curve.csv")


def test_a_file_by_itself_is_a_base_model_too(trainer):
    taught = network(trainer, epochs=2)
    begun = trainer.run(
        train="wine",
        parameters={"epochs": 1, "hidden_layer_sizes": [20, 10]},
        **base(taught, path=taught.output / "model.joblib"),
    )
    assert begun.code == 0, begun.text


def test_a_whole_model_is_none_to_begin_with(trainer):
    taught = network(trainer, epochs=1)
    run = trainer.run(type="decision_tree", train="wine", **base(taught, backbone=False))
    assert run.code == 0
    assert "backbone" not in run.artifact("metrics.json")


@pytest.fixture(scope="module")
def tree(lasting_trainer):
    return lasting_trainer.run(type="decision_tree", train="wine")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"type": "decision_tree"}, "A decision_tree cannot begin", id="another type"),
        pytest.param({"type": "distributed_neural_network"}, "cannot begin", id="a network of several nodes"),
        pytest.param(
            {}, "is a DecisionTreeClassifier, and only a network's", id="a base model of another type"
        ),
        pytest.param({"action": "evaluate"}, "say isPtmBackbone: false", id="another action"),
        pytest.param({"action": "recommend"}, "begins with no other model's weights", id="a recommendation"),
    ],
)
def test_what_cannot_begin_with_it_is_refused(trainer, tree, options, says):
    run = trainer.run(train="wine", **options, **base(tree))
    assert run.code == 2, run.text
    assert says in run.last["message"]


def test_a_base_model_of_which_no_layer_fits_is_refused_with_the_shapes_of_both(trainer):
    taught = network(trainer, epochs=1, sizes=(20, 10))
    run = trainer.run(train="digits", parameters={"epochs": 1, "hidden_layer_sizes": [9]}, **base(taught))
    assert run.code == 2
    assert "its layers are 13x20, 20x10, 10x3, and those of this network 64x9, 9x10" in run.last["message"]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        pytest.param("[", "TRAINYARD_BASE_MODELS cannot be read", id="no JSON"),
        pytest.param('[{"name": "x"}]', "with name, path and backbone", id="no path"),
        pytest.param(
            '[{"name": "x", "path": "/nosuch", "backbone": true}]',
            "x has no model.joblib",
            id="an empty place",
        ),
        pytest.param(
            '[{"name": "x", "path": "/a", "backbone": true}, {"name": "y", "path": "/b", "backbone": true}]',
            "x and y are two",
            id="two of them",
        ),
    ],
)
def test_base_models_that_cannot_be_read_are_refused(trainer, told, says):
    run = trainer.run(train="wine", TRAINYARD_BASE_MODELS=told)
    assert run.code == 2
    assert says in run.last["message"]


def test_a_base_model_that_is_no_pickle_is_refused_by_its_name(trainer, tmp_path):
    (tmp_path / "model.joblib").write_bytes(b"not a model")
    run = trainer.run(train="wine", **base(None, path=tmp_path))
    assert run.code == 2
    assert "Name another model than champ@3 in baseModels" in run.last["message"]
