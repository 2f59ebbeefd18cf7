"""Checkpoints: stopped, killed and broken, and always the same model in the end."""

from __future__ import annotations

import json
import shutil
import signal
import time

import joblib
import numpy as np
import pytest

NETWORK = {"epochs": 6, "hidden_layer_sizes": [32], "checkpoint_every": 1}
FOREST = {"n_estimators": 60, "trees_per_batch": 10}


def same_model(one, other, samples, dataset):
    """Whether two runs end with equal curves, scores and predictions, bit by bit."""
    import pandas as pd

    frame = pd.read_csv(samples / dataset / "data.csv")
    models = [joblib.load(run.output / "model.joblib") for run in (one, other)]
    assert np.array_equal(*[model.predict(frame) for model in models])
    if hasattr(models[0], "predict_proba"):
        assert np.array_equal(*[model.predict_proba(frame) for model in models])
    assert one.artifact("learning_curve.csv") == other.artifact("learning_curve.csv")
    assert one.verdict["metrics"] == other.verdict["metrics"]
    return True


def checkpoint(run, epoch):
    return run.checkpoints / f"epoch-{epoch:06d}"


@pytest.mark.parametrize(
    ("type_name", "dataset", "parameters"),
    [
        pytest.param("neural_network", "wine", NETWORK, id="a resumed network equals the uninterrupted one"),
        pytest.param("random_forest", "wine", FOREST, id="a resumed forest equals the uninterrupted one"),
        pytest.param(
            "neural_network", "diabetes", NETWORK, id="a resumed regression equals the uninterrupted"
        ),
        pytest.param("decision_tree", "wine", {}, id="a resumed tree equals the uninterrupted one"),
        pytest.param("decision_tree", "diabetes", {}, id="a resumed tree of a quantity equals it, too"),
        pytest.param(
            "decision_tree",
            "digits",
            {"early_stopping_rounds": 2},
            id="a resumed tree ends early where the uninterrupted one does",
        ),
        pytest.param(
            "regression",
            "diabetes",
            {"epochs": 6, "checkpoint_every": 1},
            id="a resumed linear regression equals the uninterrupted one",
        ),
        pytest.param(
            "random_forest",
            "wine",
            {**FOREST, "early_stopping_rounds": 2},
            id="a resumed forest ends early where the uninterrupted one does",
        ),
    ],
)
def test_resuming_after_an_epoch(trainer, samples, type_name, dataset, parameters):
    parameters = {**parameters, "checkpoints_kept": 30}
    whole = trainer.run(type=type_name, train=dataset, parameters=parameters)
    for path in sorted(whole.checkpoints.glob("epoch-*"))[2:]:
        shutil.rmtree(path)
    resumed = trainer.run(type=type_name, train=dataset, parameters=parameters, resume=whole.checkpoints)
    assert resumed.lines[1]["message"].startswith("resumed after epoch 2")
    assert resumed.lines[2]["epoch"] == 3
    assert same_model(whole, resumed, samples, dataset)


def test_a_training_continued_for_more_epochs_equals_one_that_was_longer_from_the_start(trainer, samples):
    longer = trainer.run(train="wine", parameters=NETWORK)
    short = trainer.run(train="wine", parameters={**NETWORK, "epochs": 2})
    continued = trainer.run(train="wine", parameters=NETWORK, resume=short.checkpoints)
    assert same_model(longer, continued, samples, "wine")


@pytest.mark.parametrize("type_name", ["neural_network", "random_forest", "decision_tree", "regression"])
def test_resuming_a_finished_training_reports_its_result_again(trainer, type_name):
    options = {"type": type_name, "train": "diabetes", "parameters": {"epochs": 3}}
    whole = trainer.run(**options)
    again = trainer.run(**options, resume=whole.checkpoints)
    assert [line["status"] for line in again.lines] == ["STARTED", "RUNNING", "SUCCESS"]
    assert again.verdict["metrics"] == whole.verdict["metrics"]


@pytest.mark.parametrize(
    ("type_name", "parameters"),
    [
        pytest.param(
            "neural_network",
            {"epochs": 6, "batch_size": 8, "checkpoint_every": 100},
            id="a network stopped by SIGTERM in mid-epoch saves and goes on to the same model",
        ),
        pytest.param(
            "random_forest",
            {"n_estimators": 120, "trees_per_batch": 40, "checkpoint_every": 100},
            id="a forest stopped by SIGTERM in mid-batch saves and goes on to the same model",
        ),
    ],
)
def test_sigterm(trainer, samples, type_name, parameters):
    process = trainer.start(type=type_name, train="digits", parameters=parameters)
    first = process.wait_for(lambda line: line["epoch"] == 1)
    time.sleep(0.02)
    stopped, took = process.end(signal.SIGTERM)
    assert stopped.code == 0
    assert took < 2
    assert stopped.last["status"] == "RUNNING"
    assert stopped.last["message"] == f"stopped after epoch {stopped.last['epoch']}; checkpoint saved"
    assert stopped.verdict["complete"] is False
    saved = json.loads((checkpoint(stopped, stopped.last["epoch"]) / "manifest.json").read_text())
    assert saved["step"] == stopped.last["checkpoint"]["step"] > first["step"]
    assert saved["step"] % first["step"], "the stop was meant to come in the middle of an epoch"

    whole = trainer.run(type=type_name, train="digits", parameters=parameters)
    resumed = trainer.run(type=type_name, train="digits", parameters=parameters, resume=stopped.checkpoints)
    assert resumed.verdict["complete"] is True
    assert same_model(whole, resumed, samples, "digits")


LEVELS = {"max_depth": 40}
PASSES = {"epochs": 40, "batch_size": 400, "checkpoint_every": 1}


@pytest.fixture
def large(trainer):
    """Rows enough for a level of a tree to take a while."""
    import pandas as pd

    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(8000, 12))).add_prefix("x")
    frame["target"] = generator.normal(size=8000)
    return trainer.dataset("large", data=frame.to_csv(index=False))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize(("type_name", "parameters"), [("decision_tree", LEVELS), ("regression", PASSES)])
def test_a_tree_and_a_regression_go_on_to_the_same_model(
    trainer, samples, large, type_name, parameters, number
):
    process = trainer.start(type=type_name, train=large, parameters=parameters)
    process.wait_for(lambda line: line["epoch"] == 3)
    ended, took = process.end(number)
    assert took < 2
    if number is signal.SIGTERM:
        assert ended.code == 0
        assert ended.last["message"] == f"stopped after epoch {ended.last['epoch']}; checkpoint saved"
        assert ended.verdict["complete"] is False
    assert ended.closed()
    resumed = trainer.run(type=type_name, train=large, parameters=parameters, resume=ended.checkpoints)
    assert int(resumed.lines[1]["epoch"]) >= 3
    whole = trainer.run(type=type_name, train=large, parameters=parameters)
    assert same_model(whole, resumed, trainer.data, large)


def test_sigterm_before_training_begins_ends_at_once_and_says_that_nothing_was_saved(trainer):
    process = trainer.start(train="digits")
    process.wait_for(lambda line: line["status"] == "STARTED")
    stopped, _ = process.end(signal.SIGTERM)
    assert stopped.code == 0
    assert stopped.verdict["complete"] is False
    assert stopped.last["status"] == "RUNNING"
    assert "nothing to save" in stopped.last["message"] or stopped.last["checkpoint"]["step"] == 0


def test_sigterm_after_the_last_epoch_lets_the_work_be_finished(trainer):
    process = trainer.start(train="wine", parameters={"epochs": 5})
    process.wait_for(lambda line: line["epoch"] == 5)
    finished, _ = process.end(signal.SIGTERM)
    assert finished.code == 0
    assert finished.verdict["complete"] is True
    assert finished.last["status"] == "SUCCESS"


def test_killed_in_the_middle_of_a_checkpoint_it_resumes_from_the_one_before(trainer, samples):
    parameters = {"epochs": 500, "hidden_layer_sizes": [900, 900], "batch_size": 200, "checkpoint_every": 1}
    process = trainer.start(train="wine", parameters=parameters)
    process.wait_for(lambda line: line["epoch"] == 2)
    folder = process._checkpoints
    while not list(folder.glob(".epoch-*.tmp/.state.joblib.tmp")):
        pass
    killed, _ = process.end(signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    unfinished = list(folder.glob(".epoch-*.tmp"))
    assert unfinished, "the kill was meant to come in the middle of a checkpoint"
    newest = int(killed.closed()[-1].removeprefix("epoch-"))

    parameters["epochs"] = newest + 2
    resumed = trainer.run(train="wine", parameters=parameters, resume=folder)
    assert resumed.code == 0
    assert resumed.lines[1]["message"].startswith(f"resumed after epoch {newest} ")
    assert same_model(trainer.run(train="wine", parameters=parameters), resumed, samples, "wine")


def test_a_training_resumed_in_the_folder_of_the_killed_one_removes_its_leftovers(trainer):
    first = trainer.run(train="wine", parameters={**NETWORK, "epochs": 3})
    leftover = first.checkpoints / ".epoch-000004.tmp"
    leftover.mkdir()
    again = trainer.run(
        train="wine",
        parameters=NETWORK,
        resume=first.checkpoints,
        TRAINYARD_CHECKPOINT_DIR=str(first.checkpoints),
    )
    assert again.code == 0
    assert not leftover.exists()
    assert again.closed() == ["epoch-000004", "epoch-000005", "epoch-000006"]


def test_only_the_newest_checkpoints_are_kept(trainer):
    run = trainer.run(train="wine", parameters={**NETWORK, "checkpoints_kept": 2})
    assert run.closed() == ["epoch-000005", "epoch-000006"]


def break_by_removing_the_manifest(path):
    (path / "manifest.json").unlink()


def break_by_cutting_the_state(path):
    state = path / "state.joblib"
    state.write_bytes(state.read_bytes()[:-1])


def break_by_flipping_a_bit(path):
    content = bytearray((path / "state.joblib").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "state.joblib").write_bytes(content)


def break_by_writing_half_a_manifest(path):
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text()[:40])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(break_by_removing_the_manifest, "never closed", id="one without a manifest is skipped"),
        pytest.param(break_by_cutting_the_state, "bytes instead of", id="one with a cut file is skipped"),
        pytest.param(break_by_flipping_a_bit, "SHA-256", id="one with a flipped bit is skipped"),
        pytest.param(
            break_by_writing_half_a_manifest, "cannot be read", id="one with half a manifest is skipped"
        ),
    ],
)
def test_broken_checkpoints(trainer, damage, says):
    first = trainer.run(train="wine", parameters={**NETWORK, "epochs": 3})
    damage(checkpoint(first, 3))
    resumed = trainer.run(train="wine", parameters=NETWORK, resume=first.checkpoints)
    assert says in resumed.log
    assert resumed.lines[1]["message"].startswith("resumed after epoch 2")


def test_with_no_complete_checkpoint_it_says_so_and_starts_fresh(trainer):
    run = trainer.run(train="wine", parameters=NETWORK, resume=trainer.root / "nowhere")
    assert "no complete checkpoint" in run.log
    assert run.lines[2]["epoch"] == 1
    assert run.code == 0


def test_changed_data_starts_fresh_because_test_rows_would_have_been_learned(trainer, samples):
    text = (samples / "wine/data.csv").read_text()
    name = trainer.dataset("changing", data=text)
    first = trainer.run(train=name, parameters={**NETWORK, "epochs": 2})
    (trainer.data / name / "data.csv").write_text("\n".join(text.splitlines()[:-1]) + "\n")
    resumed = trainer.run(train=name, parameters=NETWORK, resume=first.checkpoints)
    assert "data has changed" in resumed.log
    assert resumed.lines[2]["epoch"] == 1


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param(
            {"hidden_layer_sizes": [8]}, "hidden_layer_sizes", id="another shape of the network is refused"
        ),
        pytest.param({"random_seed": 5}, "random_seed", id="another seed is refused"),
        pytest.param(
            {"early_stopping_rounds": 3}, "early_stopping_rounds", id="turning on early stopping is refused"
        ),
    ],
)
def test_parameters_that_the_checkpoint_depends_on(trainer, change, names):
    first = trainer.run(train="wine", parameters={**NETWORK, "epochs": 2})
    resumed = trainer.run(train="wine", parameters={**NETWORK, **change}, resume=first.checkpoints)
    assert resumed.code == 2
    assert names in resumed.last["message"]
