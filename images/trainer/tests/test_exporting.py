"""An exported model predicts as the original does, also on gaps and on categories never seen, or is not kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
GAPS = "size,colour of it,many,target\n" + "".join(
    f"{'' if i % 9 == 4 else i % 50},{'' if i % 7 == 2 else ['red', 'green', 'blue'][i % 3]},"
    f"k{i * 7919 % 150},{'yes' if i % 3 == 0 else 'no'}\n"
    for i in range(400)
)


def exported(trainer, parent, dataset, **options):
    return trainer.run(
        **{"action": "export", "type": "", "train": dataset, "parent": parent.output, **options}
    )


def refused(run):
    assert run.code == 2, run.text
    assert "Traceback" not in run.text
    return run.last["message"]


@pytest.mark.parametrize("type_name", ["neural_network", "random_forest", "decision_tree"])
def test_gaps_rare_and_unknown_categories_are_read_as_the_original_reads_them(trainer, type_name):
    name = trainer.dataset("gaps", a=GAPS)
    parent = trainer.run(type=type_name, train=name, parameters={"epochs": 3})
    run = exported(trainer, parent, name)
    assert run.code == 0, run.text
    description = json.loads(run.artifact("model.onnx.json"))
    assert [place["column"] for place in description["inputs"]] == ["size", "colour of it", "many"]
    session = onnxruntime.InferenceSession(run.output / "model.onnx")
    frame = pd.DataFrame(
        {"size": [3.0, np.nan, 1e6], "colour of it": ["red", np.nan, "mauve"], "many": ["k1", "k2", "k999"]}
    ).astype({"colour of it": object, "many": object})
    feed = {
        place["name"]: frame[[place["column"]]].fillna("").to_numpy(dtype=object)
        if place["type"] == "string"
        else frame[[place["column"]]].to_numpy(dtype=np.float32)
        for place in description["inputs"]
    }
    model = joblib.load(parent.output / "model.joblib")
    label, probabilities = session.run(None, feed)
    assert (label == model.predict(frame)).all()
    assert np.allclose(probabilities, model.predict_proba(frame), atol=1e-5)


@pytest.mark.parametrize("type_name", ["neural_network", "random_forest", "decision_tree", "regression"])
def test_without_a_dataset_rows_are_made_up_to_compare_on(trainer, type_name):
    parent = trainer.run(type=type_name, train="diabetes", parameters={"epochs": 2})
    run = exported(trainer, parent, None, parameters={"verify_rows": 300})
    assert run.code == 0, run.text
    verified = json.loads(run.artifact("model.onnx.json"))["verified"]
    assert (verified["rows"], verified["source"]) == (300, "made-up data")
    assert verified["largestDifference"] < 1e-5


def test_made_up_rows_are_within_what_was_learned_with_gaps_and_unknown_categories(trainer):
    name = trainer.dataset("gaps", a=GAPS)
    parent = trainer.run(type="decision_tree", train=name)
    run = exported(trainer, parent, None)
    assert run.code == 0, run.text
    from trainyard_trainer import profiles
    from trainyard_trainer.columns import Layout

    facts = joblib.load(parent.output / "model.joblib").trainyard
    rows = profiles.made_up(facts["profile"], Layout(**facts["layout"]), rows=500, seed=1)
    assert rows["size"].min() >= 0
    assert rows["size"].max() <= 49
    assert rows.isna().any().all()
    assert set(rows["colour of it"].dropna()) > {"red", "green", "blue"}


def test_an_opset_is_honoured(trainer):
    parent = trainer.run(train="wine", parameters={"epochs": 1})
    run = exported(trainer, parent, "wine", parameters={"opset": 15})
    assert run.verdict["metrics"]["opset"] <= 15
    assert json.loads(run.artifact("model.onnx.json"))["opset"] == run.verdict["metrics"]["opset"]


def test_the_same_model_is_the_same_file(trainer):
    parent = trainer.run(train="wine", parameters={"epochs": 1})
    one, other = (exported(trainer, parent, "wine") for _ in range(2))
    assert (one.output / "model.onnx").read_bytes() == (other.output / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("action", "absent"),
    [
        pytest.param("train", ["onnx", "onnxruntime", "skl2onnx"], id="a training needs no ONNX"),
        pytest.param("inference", ["onnx", "onnxruntime", "skl2onnx"], id="nor does an inference"),
        pytest.param(
            "refused", ["numpy", "pandas", "sklearn", "onnx"], id="an order that is refused needs nothing"
        ),
    ],
)
def test_what_an_action_does_not_need_is_not_imported(trainer, action, absent):
    parent = trainer.run(type="decision_tree", train="wine")
    environment = trainer.environment(action=action, type="decision_tree", train="wine", parent=parent.output)
    script = (
        "import sys; from trainyard_trainer.__main__ import main; main();"
        f" print([name for name in {absent} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.strip() == "[]"


def test_the_rows_to_compare_on_are_limited(trainer):
    parent = trainer.run(type="decision_tree", train="digits")
    run = exported(trainer, parent, "digits", parameters={"verify_rows": 50})
    assert run.verdict["metrics"]["rows_compared"] == 50


def test_a_model_that_does_not_predict_as_the_original_is_not_kept_and_the_reason_is_told(trainer):
    rows = "".join(f"{1_600_000_000 + i},{i * 0.5}\n" for i in range(200))
    name = trainer.dataset("times", a="seconds,target\n" + rows)
    parent = trainer.run(type="regression", train=name, parameters={"epochs": 30})
    run = exported(trainer, parent, name)
    assert "does not predict as the original does" in refused(run)
    assert "take a constant off a column" in run.last["message"]
    assert not run.output.exists()


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param({"format": "tensorrt"}, '"format" must be one of onnx', id="a format of others"),
        pytest.param({"opset": 3}, "must be at least 15", id="an opset that is too old"),
        pytest.param({"opset": 99}, "must be at most 22", id="an opset that nobody writes"),
        pytest.param({"tolerance": "0"}, "must be above 0", id="no tolerance"),
    ],
)
def test_parameters(trainer, parameters, says):
    parent = trainer.run(type="decision_tree", train="wine")
    assert says in refused(exported(trainer, parent, "wine", parameters=parameters))


def test_without_a_parent_it_is_refused(trainer):
    assert "There is no model for export" in refused(trainer.run(action="export"))
