"""Parameters and data that cannot be used: exit code 2 and a sentence that says what to change."""

from __future__ import annotations

import joblib
import pytest

OTHER_COLUMNS = "a,c,target\n1,2,0\n"
TEXT_IN_B = "a,b,target\n1,seven,0\n"
IDENTIFIERS = "x,target\n" + "".join(f"{i},name{i}\n" for i in range(50))

TABLE = "a,b,target\n" + "".join(f"{i},{i * 7 % 11},{i % 2}\n" for i in range(40))


def refused(run):
    assert run.code == 2, run.text
    assert run.last["status"] == "FAILURE"
    assert run.verdict["status"] == "FAILURE"
    assert run.verdict["complete"] is False
    assert "Traceback" not in run.text
    return str(run.last["message"])


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param({"learning_rat": "0.1"}, 'Did you mean "learning_rate"?', id="a misspelled parameter"),
        pytest.param({"epoch_delay_seconds": 1}, "Unknown parameter", id="a parameter that does not exist"),
        pytest.param({"alpha": "big"}, '"alpha" must be of type number', id="words for a number"),
        pytest.param({"learning_rate": "nan"}, "must be of type number", id="not a number for a number"),
        pytest.param({"epochs": "2.5"}, '"epochs" must be of type integer', id="a fraction of an epoch"),
        pytest.param({"epochs": 0}, "must be at least 1", id="no epochs at all"),
        pytest.param({"train_test_split": "1"}, "must be below 1", id="no rows held out"),
        pytest.param({"train_test_split": "0"}, "must be above 0", id="no rows to learn from"),
        pytest.param(
            {"train_test_split": "0.001"}, "fraction of 0.001 to learn from", id="less than one row"
        ),
        pytest.param({"task": "clustering"}, "must be one of auto", id="an unknown task"),
        pytest.param({"epochs": 3, "max_iterations": 4}, "the same parameter", id="two lengths that differ"),
        pytest.param({"target": "targte"}, 'Did you mean "target"?', id="a misspelled target column"),
        pytest.param({"ignore_columns": ["nosuch"]}, "ignore_columns", id="ignoring what is not there"),
    ],
)
def test_parameters(trainer, parameters, says):
    assert says in refused(trainer.run(train="diabetes", parameters=parameters))


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param({"TRAINYARD_ACTION": "trian"}, 'Did you mean "train"?', id="an unknown action"),
        pytest.param(
            {"TRAINYARD_ACTION": "gen_trt_engine"},
            "It knows: train, evaluate, prune, retrain, inference, export, recommend.",
            id="an action of others",
        ),
        pytest.param(
            {"TRAINYARD_TYPE": "resnet"},
            "It knows: decision_tree, distributed_neural_network, neural_network, random_forest, regression.",
            id="an unknown type",
        ),
        pytest.param({"TRAINYARD_PARAMETERS": "{'a': 1}"}, "is not JSON", id="parameters that are not JSON"),
        pytest.param(
            {"TRAINYARD_PARAMETERS": "[1]"}, "must be a JSON object", id="parameters that are a list"
        ),
        pytest.param(
            {"TRAINYARD_DATASETS": '{"train": "../x"}'}, "plain folder name", id="a dataset out of the folder"
        ),
        pytest.param(
            {"TRAINYARD_DATASETS": '{"train": "digit"}'}, 'Did you mean "digits"?', id="a missing dataset"
        ),
        pytest.param({"TRAINYARD_DATASETS": '{"eval": "wine"}'}, "datasets.train", id="no training dataset"),
        pytest.param({"TRAINYARD_DATA_DIR": ""}, "TRAINYARD_DATA_DIR is not set", id="no data folder"),
    ],
)
def test_orders(trainer, environment, says):
    assert says in refused(trainer.run(**environment))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param({}, "no .csv or .parquet file", id="a folder without a table"),
        pytest.param({"a": ""}, "mine/a.csv is empty", id="an empty file"),
        pytest.param({"a": "x,target\n"}, "no rows", id="a header alone"),
        pytest.param({"a": "1,2\n3,4\n"}, "no header line", id="no header"),
        pytest.param({"a": "x;target\n1;2\n"}, "semicolons", id="semicolons for commas"),
        pytest.param({"a": "x,x,target\n1,2,3\n"}, 'more than one column "x"', id="a column twice"),
        pytest.param(
            {"a": "x,target\n1,2\n1,2,3,4\n"}, "mine/a.csv cannot be read", id="a row that is too long"
        ),
        pytest.param(
            {"a": TABLE, "b": OTHER_COLUMNS},
            'mine/b.csv lacks the column "b"',
            id="files of different columns",
        ),
        pytest.param(
            {"a": TABLE, "b": TEXT_IN_B},
            'Column "b" holds text in mine/b.csv',
            id="text in one file, numbers in the other",
        ),
        pytest.param(
            {"a": "x,target\n1,\n2,\n"}, '"target" of mine/a.csv is empty', id="a target that is empty"
        ),
        pytest.param({"a": "x,target\n1,y\n2,y\n"}, "one value only", id="a target of one class"),
        pytest.param({"a": "target\n1\n2\n1\n2\n"}, "no feature column", id="a target alone"),
        pytest.param({"a": IDENTIFIERS}, "too many for classes", id="a target that is an identifier"),
    ],
)
def test_data(trainer, files, says):
    assert says in refused(trainer.run(train=trainer.dataset("mine", **files)))


def test_text_in_a_regressions_target_is_named_by_file_row_and_value(trainer):
    rows = [f"{i},{i * 1.5}" for i in range(60)]
    rows[20] = "20,unknown"
    name = trainer.dataset(
        "mine", a="x,target\n" + "\n".join(rows[:10]), b="x,target\n" + "\n".join(rows[10:])
    )
    message = refused(trainer.run(train=name, parameters={"task": "regression"}))
    # The first file of the two has numbers only, so the mixture itself is what is named.
    assert 'Column "target" holds text in mine/b.csv' in message
    name = trainer.dataset("whole", a="x,target\n" + "\n".join(rows))
    message = refused(trainer.run(train=name, parameters={"task": "regression"}))
    assert 'whole/a.csv, row 21 has "unknown"' in message


def test_evaluation_without_a_parent_is_refused(trainer):
    assert "Name a parentJob" in refused(trainer.run(action="evaluate"))


def test_evaluation_of_a_parent_without_a_model_is_refused(trainer, tmp_path):
    assert "left no model.joblib" in refused(trainer.run(action="evaluate", parent=tmp_path))


def test_evaluation_of_a_file_that_is_no_model_is_refused(trainer, tmp_path):
    (tmp_path / "model.joblib").write_bytes(b"not a model")
    assert "cannot be loaded" in refused(trainer.run(action="evaluate", parent=tmp_path))


def test_evaluation_of_a_model_whose_split_meant_the_rows_held_out_is_refused(trainer):
    trained = trainer.run(train="wine", parameters={"epochs": 1})
    model = joblib.load(trained.output / "model.joblib")
    model.trainyard["version"] = 1
    joblib.dump(model, trained.output / "model.joblib")
    message = refused(trainer.run(action="evaluate", train="wine", parent=trained.output))
    assert "this version of the trainer" in message


def test_evaluation_takes_no_parameters(trainer, tmp_path):
    message = refused(trainer.run(action="evaluate", parent=tmp_path, parameters={"epochs": 1}))
    assert "takes none" in message


def test_evaluation_on_changed_training_data_is_refused_because_it_may_have_been_learned(trainer):
    trained = trainer.run(train="wine-train", parameters={"epochs": 1})
    message = refused(trainer.run(action="evaluate", train="wine-test", parent=trained.output))
    assert "datasets.eval" in message


def test_a_failure_that_is_not_the_inputs_exits_1_with_advice_and_the_details_in_the_log(trainer, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    run = trainer.run(
        train="wine", parameters={"epochs": 1}, TRAINYARD_CHECKPOINT_DIR=str(blocked / "checkpoints")
    )
    assert run.code == 1
    assert "Traceback" in run.log
    assert run.last["status"] == "FAILURE"
    assert "The log above" in run.last["message"]


def test_a_network_that_diverges_is_refused_with_what_to_lower(trainer):
    run, _ = trainer.start(train="wine", parameters={"alpha": 1e308}).end()
    assert "Lower learning_rate or alpha" in refused(run)
