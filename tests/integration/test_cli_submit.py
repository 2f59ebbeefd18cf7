"""`trainyard submit` on a real API server without an operator: what it creates, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.commandline import Cli
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, manifest

pytestmark = pytest.mark.timeout(120)

JOB = manifest("TrainingJob", "resnet", {"image": "example.com/trainer:1"})
DATASET = manifest(
    "Dataset", "digits", {"type": "tabular", "format": "csv", "source": {"uri": "pvc://data/digits"}}
)
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"a": "b"}}


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def text(*objects: object) -> str:
    return yaml.safe_dump_all(objects)


def test_submits_what_belongs_together_from_one_file(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(text(SECRET, DATASET, JOB))
    result = cli("submit", str(tmp_path / "all.yaml"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "secret/token created",
        "dataset.trainyard.dev/digits created",
        "trainingjob.trainyard.dev/resnet created",
    ]
    assert [e["manager"] for e in jobs.get("resnet")["metadata"]["managedFields"]] == ["trainyard-cli"]


def test_a_job_that_is_there_is_an_error_and_what_jobs_share_is_left_alone(cli: Cli, jobs: Jobs) -> None:
    cli("submit", "-", stdin=text(DATASET, JOB))
    result = cli("submit", "-", stdin=text(SECRET, DATASET, JOB))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "Error: stdin: TrainingJob resnet exists already: choose another name (--name), or `trainyard delete resnet` "
        "first."
    )
    assert jobs.client.find(f"/api/v1/namespaces/{jobs.namespace}/secrets/token") is None
    again = cli("submit", "-", "--name", "resnet-2", stdin=text(SECRET, DATASET, JOB))
    assert again.exit_code == 0
    assert again.stdout.splitlines() == [
        "secret/token created",
        "trainingjob.trainyard.dev/resnet-2 created",
    ]
    assert "dataset.trainyard.dev/digits is there already and stays as it is" in again.stderr


def test_every_wrong_field_is_told_on_a_line_of_its_own_and_nothing_is_created(cli: Cli, jobs: Jobs) -> None:
    wrong = manifest("TrainingJob", "wrong", {"image": "a:1", "backoffLimit": -1, "nodes": 0})
    misspelt = manifest("TrainingJob", "misspelt", {"image": "a:1", "nodez": 2})
    result = cli("submit", "-", stdin=text(JOB, wrong, misspelt))
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert [line.split(":")[:4] for line in sorted(lines[:2])] == [
        ["Error", " stdin", " TrainingJob wrong", f" spec.{field}"] for field in ("backoffLimit", "nodes")
    ]
    assert lines[2].startswith("Error: stdin: TrainingJob misspelt: ")
    assert 'unknown field "spec.nodez"' in lines[2]
    assert len(lines) == 3
    assert jobs.client.list(jobs.path("trainingjobs")) == []


def test_two_manifests_of_one_name_are_refused_before_anything_is_created(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(text(SECRET, JOB))
    (tmp_path / "b.yaml").write_text(
        text({**JOB, "metadata": {"name": "resnet", "namespace": jobs.namespace}})
    )
    result = cli("submit", str(tmp_path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {tmp_path}/b.yaml: TrainingJob resnet is there twice, first in {tmp_path}/a.yaml: take one of them "
        "out.\n"
    )
    assert jobs.client.find(f"/api/v1/namespaces/{jobs.namespace}/secrets/token") is None
    generated = {**JOB, "metadata": {"generateName": "resnet-"}}
    assert cli("submit", "-", stdin=text(generated, generated)).exit_code == 0
    assert len(jobs.client.list(jobs.path("trainingjobs"))) == 2


def a_quota_for_one_job(jobs: Jobs) -> None:
    """What a dry run does not find: each job fits, but only one of them."""
    hard = {"count/trainingjobs.trainyard.dev": "1"}
    path = f"/api/v1/namespaces/{jobs.namespace}/resourcequotas"
    jobs.client.post(path, {"metadata": {"name": "one"}, "spec": {"hard": hard}})
    used = dict.fromkeys(hard, "0")
    jobs.client.patch(f"{path}/one/status", {"status": {"hard": hard, "used": used}})


@pytest.mark.parametrize("form", [None, "name"], ids=["for people", "for programs"])
def test_tells_what_was_created_before_one_that_could_not_be(cli: Cli, jobs: Jobs, form: str | None) -> None:
    a_quota_for_one_job(jobs)
    three = [{**JOB, "metadata": {"name": name}} for name in ("a", "b", "c")]
    result = cli("submit", "-", *(["-o", form] if form else []), stdin=text(SECRET, *three))
    assert result.exit_code == 1
    created = "" if form else " created"
    assert result.stdout == f"secret/token{created}\ntrainingjob.trainyard.dev/a{created}\n"
    assert result.stderr.startswith("Error: stdin: TrainingJob b: ")
    assert "exceeded quota" in result.stderr
    assert result.stderr.endswith(" 2 of 4 were created; they stay.\n")
    assert [job["metadata"]["name"] for job in jobs.client.list(jobs.path("trainingjobs"))] == ["a"]


def test_a_dry_run_shows_what_would_be_created(cli: Cli, jobs: Jobs) -> None:
    result = cli("submit", "-", "--dry-run", stdin=text(JOB))
    assert (result.exit_code, result.stdout) == (0, "trainingjob.trainyard.dev/resnet would be created\n")
    shown = yaml.safe_load(cli("submit", "-", "--dry-run", "-o", "yaml", stdin=text(JOB)).stdout)
    assert shown["spec"]["image"] == "example.com/trainer:1"
    assert shown["spec"]["backoffLimit"] == 3, "the API server's defaults are in it"
    assert jobs.client.list(jobs.path("trainingjobs")) == []


def test_submits_a_folder_in_the_order_of_its_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "20-job.json").write_text(json.dumps(JOB))
    (tmp_path / "10-data.yaml").write_text(text({"apiVersion": "v1", "kind": "List", "items": [DATASET]}))
    (tmp_path / "README.md").write_text("Not one of them.")
    result = cli("submit", str(tmp_path), "-o", "name")
    assert result.stdout.splitlines() == [
        "dataset.trainyard.dev/digits",
        "trainingjob.trainyard.dev/resnet",
    ]


def test_submits_a_job_that_is_described_by_options(cli: Cli, jobs: Jobs) -> None:
    options = ["--type", "neural_network", "--dataset", "digits", "--gpus", "1", "--output-claim", "models"]
    parameters = ["-p", "epochs=5", "-p", "learning_rate=0.01", "-p", "optimizer.name=adam"]
    result = cli("submit", "--name", "quick", *options, *parameters)
    assert (result.exit_code, result.stdout) == (0, "trainingjob.trainyard.dev/quick created\n")
    spec = jobs.get("quick")["spec"]
    assert spec["parameters"] == {"epochs": 5, "learning_rate": "0.01", "optimizer": {"name": "adam"}}
    assert (spec["type"], spec["datasets"]["train"], spec["accelerator"]["count"]) == (
        "neural_network",
        ["digits"],
        1,
    )
    unnamed = cli("submit", "--image", "a:1", "-o", "name")
    assert unnamed.stdout.startswith("trainingjob.trainyard.dev/job-")
    wide = ["--nodes", "2", "--output-uri", "s3://models/team", "--output-secret", "keys"]
    assert cli("submit", "--image", "a:1", "--name", "wide", *wide).exit_code == 0
    spec = jobs.get("wide")["spec"]
    assert (spec["nodes"], spec["output"]) == (2, {"uri": "s3://models/team", "secretRef": {"name": "keys"}})
    both = cli("submit", "--image", "a:1", "--output-claim", "models", "--output-uri", "s3://models")
    assert "not both" in both.stderr
    wrong = cli("submit", "--dataset", "digits", "--name", "what")
    assert wrong.stderr.startswith("Error: the command line: TrainingJob what: spec: say what to run")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(
            text(manifest("Trainingjob", "a", {})),
            "Error: stdin: Trainingjob a: this cluster knows no Trainingjob of trainyard.dev/v1alpha1; is what brings "
            "it installed?\n",
            id="an unknown kind",
        ),
        pytest.param(
            text({**JOB, "metadata": {"name": "a", "namespace": "elsewhere"}}),
            "Error: stdin: TrainingJob a says namespace elsewhere and the command line ",
            id="another namespace",
        ),
        pytest.param("a: [", "Error: stdin is no YAML: line 1, column ", id="no YAML"),
    ],
)
def test_says_what_is_wrong_with_a_manifest(cli: Cli, sent: str, said: str) -> None:
    result = cli("submit", "-", stdin=sent)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == 1


def test_says_that_a_namespace_is_not_there(plane: ControlPlane) -> None:
    result = Cli(plane.admin, "absent")("submit", "-", stdin=text(JOB))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(
        "There is no namespace absent; `kubectl create namespace absent`, or choose another by --namespace.\n"
    )
