"""The runs of an Experiment as JSON and CSV, and what the command line of `export` and `plot` refuses."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest
from typer.testing import CliRunner

from tests.experiments import SEED, a_hyperband, a_random_search, accuracy, point, stamp
from trainyard.cli import export, exportrows, main
from trainyard.cli.exits import CommandError
from trainyard.cli.experimenthistory import history


def test_json_has_every_run_with_all_that_is_known() -> None:
    found = history(*a_random_search(5, failed=(1,)))
    document = json.loads(exportrows.as_json(found))
    assert (document["experiment"], document["metric"], document["goal"]) == ("tune", "accuracy", "Maximize")
    assert (document["algorithm"], document["seed"]) == ("random", SEED)
    assert document["best"] in document["runs"]
    assert document["runs"][2] == {
        "step": "train",
        "number": 2,
        "bracket": None,
        "rung": 0,
        "epochs": None,
        "job": "tune-t2-r0",
        "jobExists": True,
        "state": "success",
        "value": accuracy(2, 10),
        "epoch": 10,
        "startTime": stamp(120),
        "completionTime": stamp(240),
        "seconds": 120,
        "parameters": point(2),
        "message": "",
        "curve": [[epoch, accuracy(2, epoch)] for epoch in range(1, 11)],
    }
    failed = document["runs"][1]
    assert (failed["state"], failed["value"], failed["message"]) == ("failure", None, "Exit code 1.")


def test_csv_has_a_line_for_each_run_and_a_column_for_each_parameter() -> None:
    found = history(*a_hyperband(9, 3))
    rows = list(csv.DictReader(io.StringIO(exportrows.as_csv(found))))
    assert len(rows) == len(found.trials)
    for row, run in zip(rows, found.trials, strict=True):
        assert (row["number"], row["rung"], row["bracket"]) == (
            str(run.number),
            str(run.rung),
            str(run.bracket),
        )
        assert float(row["value"]) == run.value
        assert row["parameters.learning_rate"] == run.parameters["learning_rate"]
        assert [tuple(pair) for pair in json.loads(row["curve"])] == list(run.curve)
        assert row["jobExists"] == "true"


def test_texts_with_commas_quotes_and_lines_come_back_as_they_were() -> None:
    experiment, jobs = a_random_search(1)
    odd = 'a,"b"\nc;é\r10%\r20%\r\nend'
    jobs[0]["metadata"]["annotations"]["trainyard.dev/trial-parameters"] = json.dumps({"x": odd})
    (row,) = csv.DictReader(io.StringIO(exportrows.as_csv(history(experiment, jobs)), newline=""))
    assert row["parameters.x"] == odd


def test_an_experiment_without_runs_is_a_header_alone() -> None:
    experiment, _ = a_random_search(1)
    del experiment["status"]
    found = history(experiment, [])
    assert exportrows.as_csv(found).count("\n") == 1
    assert json.loads(exportrows.as_json(found))["runs"] == []


def test_without_the_extra_it_is_said_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "trainyard.cli.mlflowexport", raising=False)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "true")
    with pytest.raises(CommandError, match=r"pip install 'trainyard\[mlflow\]'"):
        export.to_mlflow(history(*a_random_search(2)), "mlruns")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plot", "tj", "a"], "This is for Experiments alone: write experiment, not tj."),
        (["plot", "experiment", "dset/a"], "dset/a is no Experiment: name one, as exp/a."),
        (
            ["plot", "experiment", "a", "--out", "a.svg"],
            "--out is a file that ends in .png or .html, not a.svg.",
        ),
        (
            ["plot", "exp", "a", "--out", "not-there/a.png"],
            "There is no folder not-there for --out; make it first.",
        ),
        (
            ["export", "exp", "a", "--to", "csv", "--out", "not-there/a.csv"],
            "There is no folder not-there for --out; make it first.",
        ),
        (
            ["export", "exp", "a", "--to", "mlflow"],
            "Say where MLflow is: --mlflow-uri URI, or MLFLOW_TRACKING_URI in the environment.",
        ),
        (
            ["export", "exp", "a", "--to", "mlflow", "--mlflow-uri", "x", "--out", "y"],
            "--out is for json and csv; with --to mlflow give --mlflow-uri.",
        ),
        (
            ["export", "exp", "a", "--to", "csv", "--mlflow-uri", "x"],
            "--mlflow-uri is for --to mlflow; with --to csv give --out FILE.",
        ),
        (["watch", "exp/a", "exp/b"], "This is for one alone, and there are 2: exp/a exp/b."),
        (["logs", "experiment", "a", "b"], "This is for one alone, and there are 2: experiment a b."),
        (
            ["download", "experiment", "a", "b", "c"],
            "This is for one job and one folder, and there are 4: experiment a b c.",
        ),
        (
            ["pause", "dset", "a"],
            "dset/a is no TrainingJob and no Experiment: name one, as tj/a or exp/a.",
        ),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = CliRunner().invoke(main, arguments, prog_name="trainyard")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {sentence}\n"
