"""One model through its life: train, evaluate, prune, retrain, evaluate, export, inference, each on what was left."""

from __future__ import annotations

import json

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from trainyard_trainer import samples as sample_data

CASES = [
    pytest.param("decision_tree", "wine", {}, "leaves", id="a tree of classes"),
    pytest.param("decision_tree", "diabetes", {"max_depth": 8}, "leaves", id="a tree of a quantity"),
    pytest.param("random_forest", "wine", {"n_estimators": 30}, "trees", id="a forest of classes"),
    pytest.param("random_forest", "diabetes", {"n_estimators": 30}, "trees", id="a forest of a quantity"),
    pytest.param("neural_network", "wine", {"epochs": 10}, "weights", id="a network of classes"),
    pytest.param("neural_network", "breast_cancer", {"epochs": 5}, "weights", id="a network of two classes"),
    pytest.param("neural_network", "digits", {"epochs": 3}, "weights", id="a network of whole numbers"),
    pytest.param("neural_network", "diabetes", {"epochs": 20}, "weights", id="a network of a quantity"),
    pytest.param("regression", "diabetes", {"epochs": 30}, "coefficients", id="a regression"),
]


def done(run):
    assert run.code == 0, run.text
    assert run.last["status"] == "SUCCESS"
    assert run.verdict["complete"] is True
    left = {path.name: path.stat().st_size for path in run.output.iterdir() if path.is_file()}
    assert {file["path"]: file["size"] for file in run.last["artifacts"]} == left
    return run


def model_of(run):
    return joblib.load(run.output / "model.joblib")


def served(run, frame):
    """What onnxruntime makes of a frame, told by the description beside the model and by nothing else."""
    description = json.loads(run.artifact("model.onnx.json"))
    session = onnxruntime.InferenceSession(run.output / description["file"])
    types = {"float": np.float32, "string": object}
    feed = {
        place["name"]: frame[[place["column"]]].to_numpy(dtype=types[place["type"]])
        for place in description["inputs"]
    }
    return session.run([place["name"] for place in description["outputs"]], feed)


@pytest.mark.parametrize(("type_name", "dataset", "parameters", "unit"), CASES)
def test_a_chain(trainer, type_name, dataset, parameters, unit):
    frame = sample_data._frame(dataset)
    trained = done(trainer.run(type=type_name, train=dataset, parameters=parameters))
    key = trained.verdict["keyMetric"]
    measured = done(trainer.run(action="evaluate", type=type_name, train=dataset, parent=trained.output))
    assert measured.verdict["keyMetric"] == key

    pruned = done(
        trainer.run(
            action="prune", type=type_name, train=dataset, parent=trained.output, parameters={"amount": "0.4"}
        )
    )
    metrics = pruned.verdict["metrics"]
    assert metrics[unit] < metrics[f"{unit}_before"]
    assert metrics[f"{key['name']}_before"] == key["value"]
    assert metrics["bytes"] == (pruned.output / "model.joblib").stat().st_size

    retrained = done(trainer.run(action="retrain", type=type_name, train=dataset, parent=pruned.output))
    assert retrained.verdict["metrics"][f"{key['name']}_before"] == pruned.verdict["keyMetric"]["value"]
    assert retrained.closed()

    evaluated = done(trainer.run(action="evaluate", type="", train=dataset, parent=retrained.output))
    assert evaluated.verdict["keyMetric"] == retrained.verdict["keyMetric"]

    model = model_of(retrained)
    exported = done(trainer.run(action="export", type="", train=dataset, parent=retrained.output))
    assert exported.verdict["metrics"]["largest_difference"] < 1e-5
    outputs = served(exported, frame)
    if hasattr(model, "predict_proba"):
        assert (outputs[0] == model.predict(frame)).all()
        assert np.abs(outputs[1] - model.predict_proba(frame)).max() < 1e-5
    else:
        assert np.allclose(outputs[0].ravel(), model.predict(frame), rtol=1e-4)

    predicted = done(
        trainer.run(
            action="inference",
            type="",
            train=None,
            inference=dataset,
            parent=retrained.output,
            parameters={"format": "both"},
        )
    )
    for table in (
        pd.read_csv(predicted.output / "predictions.csv"),
        pd.read_parquet(predicted.output / "predictions.parquet"),
    ):
        assert len(table) == len(frame)
        if hasattr(model, "predict_proba"):
            assert (table["prediction"] == model.predict(frame)).all()
            shares = table[[f"probability_{label}" for label in model["model"].classes_]]
            assert np.allclose(shares, model.predict_proba(frame))
        else:
            assert np.allclose(table["prediction"], model.predict(frame))
