"""Parameters and tables as they come: decimals as strings, gaps, categories, several files."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from trainyard_trainer import parameters, samples

ROWS = [
    f"{'' if i % 9 == 4 else i % 5},{'' if i % 7 == 2 else ['red', 'green', 'blue'][i % 3]},{i % 3 == 0}"
    for i in range(90)
]


def facts(run):
    return json.loads(run.artifact("metrics.json"))


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        pytest.param({"learning_rate": "0.01"}, "learning_rate", 0.01, id="a decimal is read from a string"),
        pytest.param(
            {"learning_rate": "1e-3"}, "learning_rate", 0.001, id="an exponent is read from a string"
        ),
        pytest.param({"epochs": "12"}, "epochs", 12, id="a whole number is read from a string"),
        pytest.param({"epochs": 12.0}, "epochs", 12, id="a whole float is an integer"),
        pytest.param({"max_iterations": 9}, "epochs", 9, id="max_iterations is another name of epochs"),
        pytest.param({"hidden_layer_sizes": 64}, "hidden_layer_sizes", [64], id="one number is one layer"),
        pytest.param(
            {"hidden_layer_sizes": "64,32"}, "hidden_layer_sizes", [64, 32], id="layers from a list in text"
        ),
        pytest.param(
            {"hidden_layer_sizes": ["64", 32]}, "hidden_layer_sizes", [64, 32], id="layers from strings"
        ),
        pytest.param({"target": "7"}, "target", "7", id="a name that looks like a number stays a name"),
        pytest.param({}, "train_test_split", 0.8, id="what is missing has its default"),
    ],
)
def test_parameters_of_a_network(given, name, value):
    read = parameters.for_training(given, type_name="neural_network")[name]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "trees"),
    [
        pytest.param({}, 200, id="a forest has 200 trees"),
        pytest.param({"n_estimators": "30"}, 30, id="or as many as it is told"),
        pytest.param({"epochs": 4, "trees_per_batch": 5}, 20, id="or as many as its epochs make"),
    ],
)
def test_the_size_of_a_forest(given, trees):
    assert parameters.for_training(given, type_name="random_forest")["n_estimators"] == trees


@pytest.mark.parametrize("type_name", ["neural_network", "random_forest", "decision_tree"])
def test_missing_values_are_filled_and_categories_encoded(trainer, type_name):
    name = trainer.dataset("gaps", a="size,colour,bought\n" + "\n".join(ROWS))
    run = trainer.run(type=type_name, train=name, parameters={"epochs": 3})
    assert run.code == 0, run.text
    assert facts(run)["target"] == "bought"
    assert facts(run)["task"] == "classification"


def test_rows_without_a_target_are_left_out_and_counted(trainer):
    rows = [row if i % 10 else row.rsplit(",", 1)[0] + "," for i, row in enumerate(ROWS)]
    name = trainer.dataset("gaps", a="size,colour,target\n" + "\n".join(rows))
    run = trainer.run(type="random_forest", train=name, parameters={"n_estimators": 5})
    assert '9 rows have no "target"' in run.log
    assert facts(run)["trainingRows"] + facts(run)["testRows"] == 81


def test_a_category_and_a_class_seen_only_in_the_test_rows_are_counted_as_mistakes(trainer):
    head = "size,colour,target\n"
    train = trainer.dataset("seen", a=head + "".join(f"{i},{'ab'[i % 2]},{'xy'[i % 2]}\n" for i in range(40)))
    test = trainer.dataset("unseen", a=head + "1,a,x\n2,b,y\n3,c,z\n4,a,x\n")
    run = trainer.run(type="random_forest", train=train, eval=test, parameters={"n_estimators": 10})
    assert run.code == 0, run.text
    assert run.verdict["metrics"]["accuracy"] == pytest.approx(0.75)


def test_a_number_column_with_stray_text_is_remarked_on_with_its_row(trainer):
    rows = [f"{i * 3},{i % 2}" for i in range(60)]
    rows[41] = "n/k,1"
    name = trainer.dataset("stray", a="size,target\n" + "\n".join(rows))
    run = trainer.run(type="random_forest", train=name, parameters={"n_estimators": 5})
    assert (
        'Column "size" is nearly all numbers but read as text, because of "n/k" in stray/a.csv, row 42'
        in run.log
    )


def test_files_of_one_dataset_are_read_in_the_order_of_their_names_csv_and_parquet_alike(trainer):
    name = trainer.dataset("mixed", b="x,target\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    frame = pd.DataFrame({"x": range(40, 60), "target": [i % 2 for i in range(20)]})
    frame.to_parquet(trainer.data / name / "a.parquet")
    run = trainer.run(type="random_forest", train=name, parameters={"n_estimators": 5})
    assert facts(run)["trainingRows"] + facts(run)["testRows"] == 60


@pytest.mark.parametrize(
    ("values", "task"),
    [
        pytest.param(["a", "b"], "classification", id="text is classes"),
        pytest.param([0, 1, 2], "classification", id="a few whole numbers are classes"),
        pytest.param([0.0, 1.0], "classification", id="whole floats are classes too"),
        pytest.param([True, False], "classification", id="booleans are classes"),
        pytest.param([0.5, 1.5], "regression", id="fractions are a quantity"),
        pytest.param(list(range(25)), "regression", id="many whole numbers are a quantity"),
    ],
)
def test_the_task_is_recognised(trainer, values, task):
    rows = "".join(f"{i},{values[i % len(values)]}\n" for i in range(60))
    name = trainer.dataset("any", a="x,label\n" + rows)
    run = trainer.run(type="random_forest", train=name, parameters={"n_estimators": 2})
    assert facts(run)["task"] == task


def test_the_only_folder_is_the_training_data_where_no_role_is_given(trainer, samples, tmp_path):
    (tmp_path / "only").mkdir()
    (tmp_path / "only/wine").symlink_to(samples / "wine")
    run = trainer.run(
        parameters={"epochs": 1}, TRAINYARD_DATASETS="", TRAINYARD_DATA_DIR=str(tmp_path / "only")
    )
    assert run.code == 0


def test_samples_are_written_whole_and_split_where_asked(tmp_path, capsys):
    assert samples.main([str(tmp_path), "wine", "breast_cancer", "--test-fraction", "0.25"]) == 0
    train, test = (pd.read_csv(tmp_path / name / "data.csv") for name in ("wine", "wine-test"))
    assert len(train) + len(test) == 178
    assert list(train.columns)[-1] == "target"
    assert (tmp_path / "breast_cancer/data.parquet").exists()
    assert "wine-test" in capsys.readouterr().out
