"""Predictions of rows that need no target."""

from __future__ import annotations

import json
import signal

import joblib
import numpy as np
import pandas as pd
import pytest


def predicted(trainer, parent, dataset, **options):
    return trainer.run(
        **{
            "action": "inference",
            "type": "",
            "train": None,
            "inference": dataset,
            "parent": parent.output,
            **options,
        }
    )


def refused(run):
    assert run.code == 2, run.text
    assert "Traceback" not in run.text
    return run.last["message"]


@pytest.fixture
def parent(trainer):
    return trainer.run(type="random_forest", train="wine", parameters={"n_estimators": 10})


def unlabelled(trainer, samples, **more):
    """Two files of wine without its target, with an identifier."""
    frame = pd.read_csv(samples / "wine/data.csv").drop(columns="target").assign(bottle=range(178), **more)
    texts = {"a": frame[:100].to_csv(index=False), "b": frame[100:].to_csv(index=False)}
    return trainer.dataset("unlabelled", **texts), frame


def test_rows_without_a_target_are_predicted_and_tell_where_they_stood(trainer, samples, parent):
    name, frame = unlabelled(trainer, samples)
    run = predicted(trainer, parent, name, parameters={"include_columns": ["bottle"]})
    assert run.code == 0, run.text
    table = pd.read_csv(run.output / "predictions.csv")
    assert list(table.columns[:4]) == ["file", "row", "bottle", "prediction"]
    assert table.loc[100, ["file", "row", "bottle"]].tolist() == ["unlabelled/b.csv", 1, 100]
    model = joblib.load(parent.output / "model.joblib")
    assert (table["prediction"] == model.predict(frame)).all()
    assert np.allclose(table.filter(like="probability_").sum(axis=1), 1)


def test_counts_of_each_class_and_the_time_it_took_are_told(trainer, samples, parent):
    name, _ = unlabelled(trainer, samples)
    run = predicted(trainer, parent, name)
    counts = run.last["categorical"]["predicted"]
    assert sum(counts.values()) == run.verdict["metrics"]["rows"] == 178
    assert json.loads(run.artifact("metrics.json"))["predicted"] == counts
    assert run.verdict["metrics"]["seconds"] > 0


def test_batches_give_what_one_batch_gives_and_each_has_a_line(trainer, samples, parent):
    # The first batches have no remark at all: the type of a column is that of the whole.
    name, _ = unlabelled(trainer, samples, remark=["" if i < 100 else "corked" for i in range(178)])
    options = {"format": "both", "include_columns": ["remark", "bottle"]}
    whole = predicted(trainer, parent, name, parameters=options)
    parts = predicted(trainer, parent, name, parameters={**options, "batch_size": 30})
    assert parts.code == 0, parts.text
    assert parts.artifact("predictions.csv") == whole.artifact("predictions.csv")
    tables = [pd.read_parquet(run.output / "predictions.parquet") for run in (whole, parts)]
    assert tables[0].equals(tables[1])
    assert [line["step"] for line in parts.lines[1:-1]] == [30, 60, 90, 120, 150]


def test_probabilities_can_be_left_out(trainer, samples, parent):
    name, _ = unlabelled(trainer, samples)
    run = predicted(trainer, parent, name, parameters={"probabilities": "false", "format": "parquet"})
    assert list(pd.read_parquet(run.output / "predictions.parquet")) == ["file", "row", "prediction"]
    assert not (run.output / "predictions.csv").exists()


def test_a_quantity_is_told_by_its_mean_and_extremes(trainer):
    parent = trainer.run(type="regression", train="diabetes", parameters={"epochs": 5})
    run = predicted(trainer, parent, "diabetes")
    table = pd.read_csv(run.output / "predictions.csv")
    assert run.verdict["metrics"]["prediction_mean"] == pytest.approx(table["prediction"].mean(), rel=1e-6)
    assert run.verdict["metrics"]["prediction_max"] == pytest.approx(table["prediction"].max(), rel=1e-6)


@pytest.mark.parametrize(
    ("roles", "taken"),
    [
        pytest.param({"inference": "wine-test", "eval": "wine-train"}, "inference", id="first inference"),
        pytest.param({"inference": None, "eval": "wine-test", "train": "wine-train"}, "eval", id="then eval"),
        pytest.param({"inference": None, "train": "wine-train"}, "train", id="then train"),
    ],
)
def test_the_role_that_is_predicted(trainer, parent, roles, taken):
    run = predicted(trainer, parent, None, **roles)
    assert json.loads(run.artifact("metrics.json"))["predictedOn"] == taken


def test_sigterm_between_two_batches_keeps_nothing_and_says_how_far_it_was(trainer, samples, parent):
    frame = pd.read_csv(samples / "wine/data.csv")
    name = trainer.dataset("large", a=pd.concat([frame] * 100).to_csv(index=False))
    options = {"action": "inference", "train": None, "inference": name, "parent": parent.output}
    process = trainer.start(**options, parameters={"batch_size": 20})
    process.wait_for(lambda line: line.get("step", 0) >= 40)
    run, took = process.end(signal.SIGTERM)
    assert run.code == 0
    assert took < 2
    assert run.verdict["complete"] is False
    assert "no predictions are kept" in run.last["message"]
    assert not list(run.output.iterdir())


def test_a_feature_that_is_missing_is_named(trainer, samples, parent):
    frame = pd.read_csv(samples / "wine/data.csv").drop(columns=["target", "hue"])
    name = trainer.dataset("narrow", a=frame.to_csv(index=False))
    assert 'narrow/a.csv lacks the column "hue"' in refused(predicted(trainer, parent, name))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param(
            {"include_columns": ["botle"]}, 'Did you mean "bottle"?', id="a column that is not there"
        ),
        pytest.param({"include_columns": ["row"]}, "Rename it", id="a column that predictions have"),
        pytest.param({"format": "xlsx"}, "must be one of csv, parquet, both", id="a format of others"),
        pytest.param({"probabilities": "perhaps"}, "must be of type boolean", id="words for yes or no"),
        pytest.param({"batch_size": 0}, "must be at least 1", id="batches of nothing"),
    ],
)
def test_parameters(trainer, samples, parent, parameters, says):
    name, _ = unlabelled(trainer, samples, row=1)
    run = predicted(trainer, parent, name, parameters=parameters)
    assert says in refused(run)
    assert not run.output.exists()


def test_no_dataset_at_all_is_refused(trainer, parent):
    assert "datasets.inference" in refused(predicted(trainer, parent, None))
