"""`trainyard get`, `logs` and `delete` on a real API server, of jobs whose status the tests write."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.commandline import Cli, a_status, kept
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, manifest

pytestmark = pytest.mark.timeout(120)

JOB = manifest("TrainingJob", "resnet", {"image": "example.com/trainer:1"})
DATASET = manifest(
    "Dataset", "digits", {"type": "tabular", "format": "csv", "source": {"uri": "pvc://data/digits"}}
)


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def text(*objects: object) -> str:
    return yaml.safe_dump_all(objects)


def test_lists_jobs_in_the_columns_of_kubectl(cli: Cli, jobs: Jobs) -> None:
    for name in ("resnet", "vit"):
        jobs.create(name)
    a_status(jobs, "vit", "Running", "Training", progress={"summary": "3/40", "eta": "0:07:14"})
    lines = cli("get").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PHASE", "REASON", "PROGRESS", "ETA", "METRIC", "AGE"]
    assert lines[2].split()[:5] == ["vit", "Running", "Training", "3/40", "0:07:14"]
    wide = cli("get", "tj", "-o", "wide").stdout.splitlines()
    assert wide[0].split()[-4:] == ["ACTION", "STARTED", "FINISHED", "MESSAGE"]
    assert "It is Training." in wide[2]
    assert cli("get", "--phase", "Running", "-o", "name").stdout == "trainingjob.trainyard.dev/vit\n"
    everywhere = cli("get", "-A").stdout.splitlines()
    assert everywhere[0].startswith("NAMESPACE")
    assert any(line.split()[:2] == [jobs.namespace, "vit"] for line in everywhere)


def test_lists_every_kind_by_all_its_words(cli: Cli, jobs: Jobs) -> None:
    cli("submit", "-", stdin=text(DATASET))
    for words in (["dset"], ["datasets"], ["Dataset.trainyard.dev"], ["dataset", "digits"], ["dset/digits"]):
        assert cli("get", *words, "-o", "name").stdout == "dataset.trainyard.dev/digits\n"
    assert json.loads(cli("get", "dset", "digits", "-o", "json").stdout)["spec"] == DATASET["spec"] | {
        **json.loads(cli("get", "dset", "digits", "-o", "json").stdout)["spec"]
    }
    assert cli("get", "all").stdout.startswith("datasets:\nNAME")
    assert cli("get", "tj,dset", "-o", "name").stdout == "dataset.trainyard.dev/digits\n"


def test_a_word_that_is_neither_a_job_nor_a_kind_is_told_with_the_kinds(cli: Cli, jobs: Jobs) -> None:
    for options in ([], ["-w"]):
        result = cli("get", "nodes", *options)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            f"Error: There is no TrainingJob nodes in namespace {jobs.namespace}: there is none yet. If nodes is meant "
            "as a kind: those of Trainyard are trainingjobs, datasets, experiments, mlmodels.\n"
        )


def test_data_for_programs_is_what_kubectl_would_print(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    one = yaml.safe_load(cli("get", "resnet", "-o", "yaml").stdout)
    assert (one["apiVersion"], one["kind"], one["metadata"]["name"]) == (
        "trainyard.dev/v1alpha1",
        "TrainingJob",
        "resnet",
    )
    assert "managedFields" not in one["metadata"]
    many = json.loads(cli("get", "-o", "json").stdout)
    assert (many["kind"], [item["kind"] for item in many["items"]]) == ("List", ["TrainingJob"])


def test_shows_one_job_in_full(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", backoffLimit=3)
    a_status(
        jobs,
        "resnet",
        "Running",
        "Training",
        progress={"summary": "12/40", "percent": 30, "eta": "0:07:14"},
        keyMetric={"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"},
        lastCheckpoint={"epoch": 12, "time": "2025-03-09T07:05:09Z", "uri": "pvc://models/a"},
        failures=1,
        attempts=[
            {
                "number": 0,
                "startTime": "2025-03-09T07:05:09Z",
                "completionTime": "2025-03-09T07:08:29Z",
                "reason": "OutOfMemory",
                "exitCode": 137,
                "counted": True,
                "message": "It needs more\nthan 1Gi.",
            }
        ],
        callbacks=[
            {
                "id": "x",
                "name": "chat",
                "event": "Failed",
                "sequence": 1,
                "time": "2025-03-09T07:05:09Z",
                "state": "Pending",
                "attempts": 4,
                "message": "503 from the receiver.",
            }
        ],
        artifacts=[{"uri": "pvc://models/a/model.onnx", "size": 2048}],
    )
    result = cli("get", "resnet")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in (
        "State Running Training: It is Training.",
        "Progress 12/40 30% 0:07:14 left",
        "Metrics accuracy 0.97",
        "Failures 1, backoffLimit 3",
        "Attempt 0: It needs more than 1Gi.",
        "pvc://models/a/model.onnx 2.0 KiB",
    ):
        assert line in lines
    assert any(line.startswith("0 ") and "3m20s OutOfMemory 137 yes" in line for line in lines)
    assert any(
        line.startswith("chat Failed Pending 4 ") and line.endswith("503 from the receiver.")
        for line in lines
    )
    assert any(line.startswith("Checkpoint epoch 12, ") for line in lines)


def test_an_empty_list_is_a_success_that_says_so_beside_stdout(cli: Cli, jobs: Jobs) -> None:
    result = cli("get")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"There is no TrainingJob in namespace {jobs.namespace}.\n"
    assert json.loads(cli("get", "-o", "json").stdout)["items"] == []


def test_goes_on_with_every_change_until_it_is_interrupted(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    process = subprocess.Popen(
        cli.argv("get", "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("NAME")
    assert process.stdout.readline().startswith("resnet")
    a_status(jobs, "resnet", "Running", "Training")
    assert process.stdout.readline().split()[:3] == ["resnet", "Running", "Training"]
    jobs.create("vit")
    assert process.stdout.readline().startswith("vit")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 130


def test_deletes_without_asking_only_where_it_is_told_to(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    refused = cli("delete", "resnet")
    assert (refused.exit_code, refused.stderr) == (2, "Error: Say --yes to delete without being asked.\n")
    done = cli("delete", "resnet", "--yes", "--wait", "--timeout", "30")
    assert (done.exit_code, done.stdout, done.stderr) == (
        0,
        "trainingjob.trainyard.dev/resnet deleted\n",
        "",
    )
    assert jobs.client.find(jobs.path("trainingjobs", "resnet")) is None


def test_waits_no_longer_for_a_deletion_than_it_may(cli: Cli, jobs: Jobs) -> None:
    body = {**JOB, "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    jobs.client.post(jobs.path("trainingjobs"), body)
    result = cli("delete", "held", "--yes", "--wait", "--timeout", "1")
    assert result.exit_code == 124
    assert result.stderr.startswith("Error: not everything is gone after 1 s")
    jobs.client.patch(jobs.path("trainingjobs", "held"), {"metadata": {"finalizers": None}})


def test_prints_the_part_of_a_stored_log_that_is_asked_for(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    jobs.create("resnet", suspend=True)
    kept(tmp_path, jobs, "resnet", ["one", "two"], ["three", "four", "five"])
    uid = jobs.get("resnet")["metadata"]["uid"]
    started = {"startTime": "2025-03-09T07:05:00Z"}
    a_status(
        jobs,
        "resnet",
        "Pending",
        "Paused",
        logs=f"{tmp_path.as_uri()}/{jobs.namespace}/{uid}/",
        attempts=[{"number": number, **started} for number in (0, 1)],
        **started,
    )
    for options, expected in (
        ([], "three\nfour\nfive\n"),
        (["--tail", "2"], "four\nfive\n"),
        (["--previous"], "one\ntwo\n"),
        (["--attempt", "0", "--tail", "1", "--timestamps"], "2025-03-09T07:05:01Z two\n"),
        (["--since", "1h"], ""),
        (["--since", "36500d", "--tail", "1"], "five\n"),
    ):
        result = cli("logs", "resnet", *options)
        assert (result.exit_code, result.stdout, result.stderr) == (0, expected, ""), options
    assert cli("logs", "resnet", "--attempt", "0", "--previous").stderr == (
        "Error: TrainingJob resnet has made no attempt before this one.\n"
    )
    assert cli("logs", "resnet", "--attempt", "7").stderr == (
        "Error: TrainingJob resnet has no attempt 7; its newest is 1.\n"
    )


def test_an_attempt_that_has_not_begun_points_at_the_log_of_the_one_before(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    begun = {"startTime": "2025-03-09T07:05:00Z"}
    attempts = [{"number": 0, **begun}, {"number": 1}]
    a_status(jobs, "resnet", "Pending", "BackingOff", attempts=attempts, **begun)
    result = cli("logs", "resnet")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "Attempt 1 of resnet has not started. Pending BackingOff: It is BackingOff. --previous prints the log of the "
        "attempt before.\n"
    )
