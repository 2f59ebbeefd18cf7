"""`trainyard export --to mlflow`, into a folder and, as a server takes long to start, with `soak` into a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commandline import Cli
from tests.experiments import a_hyperband, a_random_search, a_trial, accuracy, entry, put
from tests.harness import mlflow
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found

# NB: the first time MLflow is got from the package index.
pytestmark = pytest.mark.timeout(900)


WHERE = [pytest.param("folder", id="a folder"), pytest.param("server", id="a server", marks=pytest.mark.soak)]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "mlruns")


@pytest.fixture
def uri(request: pytest.FixtureRequest) -> str:
    """Where a test exports to."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow.running(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


def argv(plane: ControlPlane, jobs: Jobs, name: str, uri: str) -> list[str]:
    arguments = ["export", "experiment", name, "--to", "mlflow", "--mlflow-uri", uri]
    return mlflow.with_client([*arguments, *Cli(plane.admin, jobs.namespace).where])


def export(plane: ControlPlane, jobs: Jobs, name: str, uri: str) -> str:
    """What it says at its end."""
    done = subprocess.run(argv(plane, jobs, name, uri), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rpartition(": ")[2].strip()


def by_name(jobs: Jobs, name: str, uri: str) -> dict[str, dict[str, Any]]:
    listed = mlflow.runs(uri, f"{jobs.namespace}/{name}")
    assert len({run["name"] for run in listed}) == len(listed), "no run twice"
    return {run["name"]: run for run in listed}


def the_rest(jobs: Jobs, experiment: Json) -> None:
    jobs.client.patch(
        jobs.path("experiments", experiment["metadata"]["name"]) + "/status", {"status": experiment["status"]}
    )


@pytest.mark.parametrize("uri", WHERE, indirect=True)
def test_a_second_export_adds_what_is_new_and_no_run_twice(plane: ControlPlane, jobs: Jobs, uri: str) -> None:
    experiment, children = a_random_search(4, failed=(1,))
    whole = [dict(line) for line in experiment["status"]["automl"]["ledger"]]
    experiment["status"]["automl"]["ledger"] = whole[:3]
    children[3] = a_trial("tune", 3, phase="Running", epochs=4, completionTime=None)
    put(jobs, experiment, children)
    assert export(plane, jobs, "tune", uri) == "4 runs added, 0 brought up to date, 0 there already."
    runs = by_name(jobs, "tune", uri)
    assert sorted(runs) == ["tune", "tune-t0-r0", "tune-t1-r0", "tune-t2-r0", "tune-t3-r0"]
    first, failed, going = (runs[f"tune-t{number}-r0"] for number in (0, 1, 3))
    assert (first["status"], failed["status"], going["status"]) == ("FINISHED", "FAILED", "RUNNING")
    assert first["params"] == json.loads(
        children[0]["metadata"]["annotations"]["trainyard.dev/trial-parameters"]
    )
    assert first["metrics"]["accuracy"] == [[epoch, accuracy(0, epoch)] for epoch in range(1, 11)]
    assert first["metrics"]["objective"] == [[10, accuracy(0, 10)]]
    assert first["end"] - first["start"] == 120_000
    assert first["tags"]["trainyard.trial"] == "0"
    assert failed["tags"]["trainyard.message"] == "Exit code 1."
    assert len(going["metrics"]["accuracy"]) == 4
    assert runs["tune"]["status"] == "RUNNING"

    experiment["status"]["automl"]["ledger"] = [*whole[:3], entry(3)]
    the_rest(jobs, experiment)
    status = a_trial("tune", 3)["status"]
    jobs.client.patch(jobs.path("trainingjobs", "tune-t3-r0") + "/status", {"status": status})
    assert export(plane, jobs, "tune", uri) == "0 runs added, 1 brought up to date, 3 there already."
    runs = by_name(jobs, "tune", uri)
    assert len(runs) == 5
    assert runs["tune-t3-r0"]["metrics"]["accuracy"] == [
        [epoch, accuracy(3, epoch)] for epoch in range(1, 11)
    ]
    assert {run["status"] for run in runs.values()} == {"FINISHED", "FAILED"}
    assert export(plane, jobs, "tune", uri) == "0 runs added, 0 brought up to date, 4 there already."
    assert by_name(jobs, "tune", uri) == runs


@pytest.mark.soak
def test_an_export_that_was_killed_is_completed(plane: ControlPlane, jobs: Jobs, server: str) -> None:
    experiment, children = a_hyperband(9, 3)
    put(jobs, experiment, children)
    with subprocess.Popen(argv(plane, jobs, "rungs", server), stdout=subprocess.PIPE) as process:

        def some() -> bool:
            assert process.poll() is None, "it ended before it was killed"
            return len(by_name(jobs, "rungs", server)) > 3

        found(some, what="some runs", timeout=120)
        process.send_signal(signal.SIGKILL)
    before = len(by_name(jobs, "rungs", server))
    assert before < len(children) + 1
    export(plane, jobs, "rungs", server)
    runs = by_name(jobs, "rungs", server)
    assert len(runs) == len(children) + 1
    for child in children:
        run = runs[child["metadata"]["name"]]
        curve = child["status"]["objective"]["curve"]
        points = zip(curve["epochs"], map(float, curve["values"]), strict=True)
        assert run["metrics"]["accuracy"] == [[epoch, value] for epoch, value in points]
        assert (run["status"], len(run["params"])) == ("FINISHED", 4)
    assert runs["rungs-t0-r0"]["tags"]["trainyard.bracket"] == "2"


@pytest.mark.parametrize("uri", WHERE, indirect=True)
def test_what_mlflow_would_refuse_is_spelt_otherwise(plane: ControlPlane, jobs: Jobs, uri: str) -> None:
    experiment, children = a_random_search(1)
    experiment["status"]["automl"]["metric"] = "mAP@0.5"
    odd = {"a@b": "1", "a%b": "2", "../c": "3", "/d//e/": "4", "ä": "5", "long": "x" * 5000, "": "6"}
    children[0]["metadata"]["annotations"]["trainyard.dev/trial-parameters"] = json.dumps(odd)
    put(jobs, experiment, children)
    export(plane, jobs, "tune", uri)
    run = by_name(jobs, "tune", uri)["tune-t0-r0"]
    assert {*run["metrics"]} == {"mAP_0.5", "objective"}
    assert run["params"]["a_b"] == "1"
    assert run["params"]["a_b_2"] == "2"
    assert sorted(run["params"].values(), key=len)[-1] == "x" * 5000
    assert sorted(value for value in run["params"].values() if len(value) == 1) == list("123456")


def test_a_server_that_is_not_there_is_told_in_one_line(plane: ControlPlane, jobs: Jobs) -> None:
    experiment, children = a_random_search(1)
    put(jobs, experiment, children)
    env = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = subprocess.run(
        argv(plane, jobs, "tune", "http://127.0.0.1:1"), capture_output=True, text=True, check=False, env=env
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: MLflow at http://127.0.0.1:1 ")
    assert done.stderr.count("\n") == 1
