"""A training that another job goes on with, and models that are taken out of a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal

import joblib
import numpy as np
import pandas as pd
import pytest

from trainyard_trainer import checkpoints

NETWORK = {"hidden_layer_sizes": [32]}
FOREST = {"trees_per_batch": 4}
TYPES = [
    pytest.param("neural_network", "wine", NETWORK, id="a network"),
    pytest.param("neural_network", "diabetes", NETWORK, id="a network of a quantity"),
    pytest.param("random_forest", "wine", FOREST, id="a forest"),
    pytest.param("decision_tree", "diabetes", {}, id="a tree"),
    pytest.param("regression", "diabetes", {}, id="a regression"),
]


def continued(trainer, parent, **options):
    """Another job that goes on with a parent's training; what the agent gives it is the parent's newest checkpoint."""
    given = {"resume": parent.checkpoints, "parent": parent.output, "TRAINYARD_CONTINUES": "true"}
    return trainer.run(**{**given, **options})


def checkpoint(run, epoch, into):
    """The folder with one checkpoint of a run, as the agent hands it on."""
    into.mkdir()
    shutil.copytree(run.checkpoints / f"epoch-{epoch:06d}", into / f"epoch-{epoch:06d}")
    return into


def numbers_of(model):
    """All numbers that a fitted estimator predicts by."""
    if hasattr(model, "coefs_"):
        return [*model.coefs_, *model.intercepts_]
    if hasattr(model, "coef_"):
        return [model.coef_, np.array(model.intercept_)]
    trees = getattr(model, "estimators_", [model])
    return [part for tree in trees for part in (tree.tree_.threshold, tree.tree_.value, tree.tree_.feature)]


def same_to_the_bit(one, other):
    models = [joblib.load(run.output / "model.joblib") for run in (one, other)]
    pairs = zip(*(numbers_of(model["model"]) for model in models), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)
    assert models[0].trainyard == models[1].trainyard
    assert one.artifact("learning_curve.csv") == other.artifact("learning_curve.csv")
    assert one.verdict["metrics"] == other.verdict["metrics"]
    return True


def epochs_of(run):
    return [line["epoch"] for line in run.lines if line["status"] == "RUNNING" and line.get("kpi")]


@pytest.mark.parametrize(("type_name", "dataset", "parameters"), TYPES)
def test_3_epochs_and_then_up_to_9_are_the_same_as_9(trainer, type_name, dataset, parameters):
    options = {"type": type_name, "train": dataset}
    through = trainer.run(**options, parameters={**parameters, "epochs": 9})
    first = trainer.run(**options, parameters={**parameters, "epochs": 3})
    before = {path: path.read_bytes() for path in first.output.rglob("*") if path.is_file()}
    second = continued(trainer, first, **options, parameters={**parameters, "epochs": 9})
    assert second.code == 0, second.text
    assert epochs_of(second) == [4, 5, 6, 7, 8, 9]
    assert second.lines[1]["message"].startswith("resumed after epoch 3")
    assert same_to_the_bit(through, second)
    assert second.closed()[-1] == "epoch-000009"
    assert "epoch-000003" not in second.closed()
    assert {path: path.read_bytes() for path in first.output.rglob("*") if path.is_file()} == before


def test_three_rungs_are_the_same_as_one_training(trainer):
    options = {"train": "wine"}
    parameters = {**NETWORK, "early_stopping_rounds": 50}
    through = trainer.run(**options, parameters={**parameters, "epochs": 9})
    rung = trainer.run(**options, parameters={**parameters, "epochs": 1})
    for epochs in (3, 9):
        rung = continued(trainer, rung, **options, parameters={**parameters, "epochs": epochs})
    assert same_to_the_bit(through, rung)


def test_after_a_crash_it_goes_on_from_its_own_checkpoint(trainer):
    options = {"train": "wine"}
    parameters = {**NETWORK, "checkpoint_every": 1, "batch_size": 8}
    first = trainer.run(**options, parameters={**parameters, "epochs": 2})
    process = trainer.start(
        **options,
        parameters={**parameters, "epochs": 20},
        resume=first.checkpoints,
        parent=first.output,
        TRAINYARD_CONTINUES="true",
    )
    process.wait_for(lambda line: line["epoch"] == 4)
    killed, _ = process.end(signal.SIGKILL)
    assert "epoch-000004" in killed.closed()
    again = continued(
        trainer, first, **options, parameters={**parameters, "epochs": 20}, resume=killed.checkpoints
    )
    assert epochs_of(again)[0] >= 5
    through = trainer.run(**options, parameters={**parameters, "epochs": 20})
    assert same_to_the_bit(through, again)


@pytest.mark.parametrize("type_name", ["neural_network", "random_forest", "decision_tree"])
def test_the_best_model_so_far_is_kept_when_later_epochs_are_worse(trainer, type_name):
    """The loss on the rows that early stopping watches goes up again within these epochs."""
    shape = {
        "neural_network": {"hidden_layer_sizes": [64], "learning_rate": 0.1, "batch_size": 16},
        "random_forest": {"trees_per_batch": 1},
        "decision_tree": {},
    }[type_name]
    parameters = {**shape, "early_stopping_rounds": 30, "checkpoint_every": 1}
    options = {"type": type_name, "train": "wine"}
    through = trainer.run(**options, parameters={**parameters, "epochs": 11})
    curve = pd.read_csv(through.output / "learning_curve.csv")["validation_loss"]
    best = int(curve.idxmin()) + 1
    assert best < len(curve), "the later epochs were meant to be worse"
    first = trainer.run(**options, parameters={**parameters, "epochs": best})
    second = continued(trainer, first, **options, parameters={**parameters, "epochs": 11})
    assert json.loads(second.artifact("metrics.json"))["modelEpoch"] == best
    assert same_to_the_bit(through, second)


def test_one_that_has_nothing_left_to_do_saves_the_checkpoint_for_the_next(trainer):
    options = {"train": "wine", "parameters": {**NETWORK, "epochs": 3}}
    first = trainer.run(**options)
    second = continued(trainer, first, **options)
    assert second.closed() == ["epoch-000003"]
    assert second.verdict["metrics"] == first.verdict["metrics"]
    third = continued(trainer, second, train="wine", parameters={**NETWORK, "epochs": 9})
    assert epochs_of(third) == [4, 5, 6, 7, 8, 9]


def refused(run):
    assert run.code == 2, run.text
    assert "Traceback" not in run.text
    return run.last["message"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"train": "diabetes"}, "The data has changed since", id="other data"),
        pytest.param(
            {"type": "random_forest", "parameters": {}}, "is of type neural_network", id="another type"
        ),
        pytest.param(
            {"parameters": {"batch_size": 7}}, "batch_size was 32", id="another meaning of the state"
        ),
        pytest.param({"resume": None}, "TRAINYARD_RESUME is not set", id="no folder"),
    ],
)
def test_a_training_that_shall_go_on_never_begins_anew(trainer, change, says):
    first = trainer.run(train="wine", parameters={"epochs": 2})
    options = {"train": "wine", "parameters": {"epochs": 4}} | change
    assert says in refused(continued(trainer, first, **options))


def test_a_folder_without_a_checkpoint_is_no_beginning(trainer, tmp_path):
    first = trainer.run(train="wine", parameters={"epochs": 2})
    (tmp_path / "none").mkdir()
    message = refused(continued(trainer, first, train="wine", resume=tmp_path / "none"))
    assert "no complete checkpoint" in message
    assert "leave spec.checkpoint out" in message


RETRAINED = [
    pytest.param("neural_network", "wine", {"epochs": 4, **NETWORK}, id="a network"),
    pytest.param("random_forest", "wine", {"n_estimators": 8, "trees_per_batch": 2}, id="a forest"),
    pytest.param("regression", "diabetes", {"epochs": 10}, id="a regression"),
]


@pytest.mark.parametrize(("type_name", "dataset", "parameters"), RETRAINED)
def test_a_retraining_is_gone_on_with_as_well(trainer, type_name, dataset, parameters):
    trained = trainer.run(type=type_name, train=dataset, parameters=parameters)
    pruned = trainer.run(action="prune", train=dataset, parent=trained.output)
    options = {"action": "retrain", "type": type_name, "train": dataset}
    through = trainer.run(**options, parent=pruned.output, parameters={"epochs": 6})
    first = trainer.run(**options, parent=pruned.output, parameters={"epochs": 2})
    second = continued(trainer, first, **options, parameters={"epochs": 6})
    assert second.code == 0, second.text
    assert epochs_of(second) == [3, 4, 5, 6]
    assert same_to_the_bit(through, second)


def test_a_retraining_of_a_training_is_none_to_go_on_with(trainer):
    trained = trainer.run(train="wine", parameters={"epochs": 2})
    run = continued(trainer, trained, action="retrain", type="", train="wine")
    assert "no retraining to go on with" in refused(run)


CHAINED = [
    pytest.param("decision_tree", "wine", {}, "leaves", id="a tree"),
    pytest.param("random_forest", "wine", {"epochs": 5, "trees_per_batch": 2}, "trees", id="a forest"),
    pytest.param("neural_network", "wine", {"epochs": 5, "checkpoint_every": 1}, "weights", id="a network"),
    pytest.param(
        "neural_network",
        "diabetes",
        {"epochs": 5, "checkpoint_every": 1},
        "weights",
        id="a network of a quantity",
    ),
    pytest.param(
        "regression", "diabetes", {"epochs": 5, "checkpoint_every": 1}, "coefficients", id="a regression"
    ),
]


@pytest.mark.parametrize(("type_name", "dataset", "parameters", "unit"), CHAINED)
def test_every_action_works_on_the_model_of_a_checkpoint(
    trainer, samples, tmp_path, type_name, dataset, parameters, unit
):
    trained = trainer.run(type=type_name, train=dataset, parameters={**parameters, "checkpoints_kept": 30})
    latest = int(trained.closed()[-1].removeprefix("epoch-"))
    early = checkpoint(trained, 2, tmp_path / "early")
    given = {"type": "", "train": dataset, "parent": trained.output}

    def on(folder, action, **options):
        run = trainer.run(action=action, **given, TRAINYARD_PARENT_CHECKPOINT=str(folder), **options)
        assert run.code == 0, run.text
        assert run.last["status"] == "SUCCESS"
        return run

    # The latest one is what the training has left; an early one is the training of so many epochs.
    newest = on(checkpoint(trained, latest, tmp_path / "newest"), "evaluate")
    whole = trainer.run(action="evaluate", **given)
    assert newest.verdict["metrics"] == whole.verdict["metrics"]
    assert newest.last["epoch"] == latest
    shorter = trainer.run(type=type_name, train=dataset, parameters={**parameters, "epochs": 2})
    evaluated = on(early, "evaluate")
    assert evaluated.verdict["keyMetric"] == shorter.verdict["keyMetric"]
    assert evaluated.verdict["metrics"] != whole.verdict["metrics"]
    assert "checkpoint of epoch 2" in evaluated.log

    pruned = on(early, "prune", parameters={"amount": 0.4})
    key = evaluated.verdict["keyMetric"]
    assert pruned.verdict["metrics"][f"{key['name']}_before"] == key["value"]
    assert pruned.verdict["metrics"][unit] < pruned.verdict["metrics"][f"{unit}_before"]
    assert pruned.verdict["metrics"]["bytes_before"] > 0

    retrained = on(early, "retrain", parameters={})
    assert retrained.verdict["metrics"][f"{key['name']}_before"] == key["value"]

    predicted = on(early, "inference")
    frame = pd.read_csv(samples / dataset / "data.csv")
    model = joblib.load(shorter.output / "model.joblib")
    predictions = pd.read_csv(predicted.output / "predictions.csv")["prediction"]
    if hasattr(model, "predict_proba"):
        assert (predictions == model.predict(frame)).all()
    else:
        assert np.allclose(predictions, model.predict(frame))

    exported = on(early, "export")
    assert exported.verdict["metrics"]["largest_difference"] < 1e-4


@pytest.mark.parametrize(("type_name", "dataset", "parameters", "unit"), CHAINED)
def test_a_retrainings_checkpoint_is_a_model_as_well(trainer, tmp_path, type_name, dataset, parameters, unit):
    trained = trainer.run(type=type_name, train=dataset, parameters=parameters)
    pruned = trainer.run(action="prune", type="", train=dataset, parent=trained.output)
    retrained = trainer.run(action="retrain", type="", train=dataset, parent=pruned.output)
    newest = int(retrained.closed()[-1].removeprefix("epoch-"))
    folder = checkpoint(retrained, newest, tmp_path / "newest")
    given = {"type": "", "train": dataset, "parent": retrained.output}
    one = trainer.run(action="evaluate", **given)
    other = trainer.run(action="evaluate", **given, TRAINYARD_PARENT_CHECKPOINT=str(folder))
    assert other.code == 0, other.text
    assert other.verdict["metrics"] == one.verdict["metrics"]


def test_a_crashed_retraining_of_a_checkpoint_resumes_only_on_that_checkpoint(trainer, tmp_path):
    trained = trainer.run(train="wine", parameters={**NETWORK, "epochs": 4, "checkpoint_every": 1})
    two, three = (checkpoint(trained, epoch, tmp_path / str(epoch)) for epoch in (2, 3))
    options = {"action": "retrain", "type": "", "train": "wine", "parent": trained.output}
    first = trainer.run(**options, parameters={"epochs": 2}, TRAINYARD_PARENT_CHECKPOINT=str(two))
    more = {"parameters": {"epochs": 4}, "resume": first.checkpoints}
    same = trainer.run(**options, **more, TRAINYARD_PARENT_CHECKPOINT=str(two))
    assert epochs_of(same) == [3, 4]
    other = trainer.run(**options, **more, TRAINYARD_PARENT_CHECKPOINT=str(three))
    assert "was not saved by this retrain of this parent" in other.log
    assert epochs_of(other) == [1, 2, 3, 4]


@pytest.mark.parametrize("action", ["evaluate", "prune", "retrain", "inference", "export"])
def test_a_checkpoint_that_cannot_be_used_is_refused_and_says_what_to_do(trainer, tmp_path, action):
    trained = trainer.run(train="wine", parameters={"epochs": 1})
    folder = checkpoint(trained, 1, tmp_path / "one")
    state = folder / "epoch-000001" / "state.joblib"
    state.write_bytes(b"x" * state.stat().st_size)
    options = {"action": action, "type": "", "train": "wine", "parent": trained.output}
    run = trainer.run(**options, TRAINYARD_PARENT_CHECKPOINT=str(folder))
    assert "leave that out" in refused(run)
    assert "another SHA-256" in run.log


def test_a_checkpoint_before_the_first_step_holds_no_model(trainer, tmp_path):
    trained = trainer.run(train="wine", parameters={"epochs": 1})
    folder = checkpoint(trained, 1, tmp_path / "one")
    saved = joblib.load(folder / "epoch-000001" / "state.joblib")
    shutil.rmtree(folder / "epoch-000001")
    checkpoints.save(folder, dataclasses.replace(saved, model=None), epoch=0, step=0, keep=1)
    options = {"action": "evaluate", "type": "", "train": "wine", "parent": trained.output}
    run = trainer.run(**options, TRAINYARD_PARENT_CHECKPOINT=str(folder))
    assert "nothing had been learned by then" in refused(run)
