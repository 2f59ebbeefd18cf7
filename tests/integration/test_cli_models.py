"""What people see of MLModels, and do with them, on a real API server without an operator."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.commandline import Cli, a_status, kept
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.integration.test_cli_shell import complete
from tests.models import UID, WHEN, a_model, put, write_status
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(120)

ASKED = "trainyard.dev/train-requested-at"
REFERENCE = "mlmodel.trainyard.dev/churn"
RECOMMENDED: Json = {
    "type": "random_forest",
    "score": 93,
    "reasoning": "random_forest has the best accuracy.",
    "allScores": {"random_forest": 93, "decision_tree": 71},
    "measured": True,
}


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def refused(cli: Cli, *arguments: str, code: int = 1) -> str:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    return result.stderr.splitlines()[-1].removeprefix("Error: ")


def the_model(jobs: Jobs, name: str = "churn") -> Json:
    return jobs.client.get(jobs.path("mlmodels", name))


def started(cli: Cli, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(cli.argv(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def posted(jobs: Jobs, begin: str) -> Json:
    """The only TrainingJob whose name begins so, once it is there."""

    def look() -> Json | None:
        every = jobs.client.list(jobs.path("trainingjobs"))
        return next((job for job in every if job["metadata"]["name"].startswith(begin)), None)

    return dict(found(look, what=f"a job {begin}"))


def test_models_are_listed_and_described_by_every_word_for_them(cli: Cli, jobs: Jobs) -> None:
    key = {"name": "accuracy", "value": "0.93", "display": "accuracy 0.93"}
    put(jobs, a_model(aliases=[{"name": "champion", "version": 2}], keyMetric=key))
    titles, row = words(cli("get", "models").stdout)
    assert titles == ["NAME", "PHASE", "REASON", "LIFECYCLE", "VERSION", "METRIC", "AGE"]
    assert row[:-1] == ["churn", "Done", "Completed", "trained", "3", "accuracy", "0.93"]
    assert words(cli("get", "mlm").stdout)[1][:-1] == row[:-1]
    training = manifest(
        "TrainingJob", "mine", {"model": "churn", "image": "i", "output": {"claimName": "models"}}
    )
    jobs.client.post(jobs.path("trainingjobs"), training)
    for arguments in (["model", "churn"], ["models/churn"], ["mlmodel", "churn"]):
        result = cli("describe", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = words(result.stdout)
        assert ["Aliases", "champion", "2"] in lines
        assert ["dataset", "customers", "at", "2", f"sha256:{'d' * 64}"] in lines
        assert any(line[:3] == ["mine", "train,", "joined"] for line in lines)
    assert json.loads(cli("describe", "model", "churn", "-o", "json").stdout)["kind"] == "MLModel"
    assert refused(cli, "describe", "model", "chum").endswith("did you mean churn?")


def test_aliases_move_at_once_and_the_others_stay(cli: Cli, jobs: Jobs) -> None:
    put(jobs, a_model(spec={"aliases": [{"name": "prod", "version": 1}, {"name": "old", "version": 1}]}))
    result = cli("alias", "model", "churn", "champion=3", "prod=2", "old-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{REFERENCE} changed: champion stands for version 3; prod stands for version 2, before for 1; old removed, "
        "stood for version 1\n"
    )
    after = [{"name": "prod", "version": 2}, {"name": "champion", "version": 3}]
    assert the_model(jobs)["spec"]["aliases"] == after
    again = cli("alias", "model", "churn", "champion=3", "old-", "-o", "json")
    assert (again.exit_code, json.loads(again.stdout)["spec"]["aliases"]) == (0, after)
    said = refused(cli, "alias", "model", "churn", "champion=7", "prod-")
    assert said == (
        "Alias champion cannot stand for version 7: MLModel churn has no version 7; there are 1, 2, 3."
    )
    assert the_model(jobs)["spec"]["aliases"] == after, "all or none"
    assert refused(cli, "alias", "model", "churn", "champion", code=2).startswith("'champion' is neither")


def test_those_who_move_aliases_at_once_all_have_what_they_said(cli: Cli, jobs: Jobs) -> None:
    put(jobs, a_model())
    moves = [started(cli, "alias", "model", "churn", f"{name}=1") for name in ("a", "b", "c")]
    assert [ended(process)[0] for process in moves] == [0, 0, 0]
    assert {one["name"] for one in the_model(jobs)["spec"]["aliases"]} == {"a", "b", "c"}


def test_a_stage_is_set_of_several_models_and_taken_back(cli: Cli, jobs: Jobs) -> None:
    put(jobs, a_model())
    put(jobs, a_model("fraud", versions=0))
    result = cli("deprecate", "model", "churn", "fraud", "missing")
    assert result.exit_code == 1
    assert result.stdout == (
        f"{REFERENCE} is deprecated, was active\nmlmodel.trainyard.dev/fraud is deprecated, was active\n"
    )
    assert "There is no MLModel missing in namespace" in result.stderr
    assert cli("archive", "mlm", "churn").stdout == f"{REFERENCE} is archived, was deprecated\n"
    assert cli("archive", "model", "model/churn").stdout == f"{REFERENCE} is archived already\n"
    assert the_model(jobs)["spec"]["stage"] == "archived"
    assert refused(cli, "train", "model", "churn") == (
        "MLModel churn is archived, and is trained no more: `trainyard activate model churn` first."
    )
    assert cli("activate", "model", "churn").stdout == f"{REFERENCE} is active, was archived\n"
    assert the_model(jobs)["spec"]["stage"] == "active"
    assert refused(cli, "deprecate", "dataset", "churn", code=2).startswith(
        "This is for MLModels alone: write model"
    )


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        ("Done", 0, "MLModel churn has version 3"),
        ("Error", 4, "churn-train-3 of MLModel churn ended as Error: Why."),
    ],
)
def test_a_training_is_asked_for_and_waited_for(
    cli: Cli, jobs: Jobs, outcome: str, code: int, said: str
) -> None:
    put(
        jobs,
        a_model(training={"number": 2, "job": "churn-train-2", "outcome": "Done", "requestedAt": "before"}),
    )
    process = started(cli, "train", "model", "churn", "--wait")
    stamp = found(
        lambda: (the_model(jobs)["metadata"].get("annotations") or {}).get(ASKED), what="the request"
    )
    answer = {"number": 3, "job": "churn-train-3", "requestedAt": stamp, "startTime": WHEN}
    write_status(jobs, "churn", training={**answer, "outcome": None}, phase="Running", reason="Training")
    answer |= {"outcome": outcome, "completionTime": WHEN, "message": "Why."}
    write_status(jobs, "churn", training=answer, phase="Done", reason="Completed")
    ended_with, stdout, stderr = ended(process)
    assert (ended_with, said in stdout + stderr) == (code, True), stderr
    assert stdout.splitlines()[0] == f"{REFERENCE} is trained again"


def test_a_training_with_other_parameters_is_a_job_of_ones_own(cli: Cli, jobs: Jobs) -> None:
    config = {"trainingConfig": {"n_estimators": 100, "max_depth": 3}}
    model = put(jobs, a_model(spec={**config, "datasets": {"train": ["customers"]}}))
    process = started(cli, "train", "model", "churn", "--set", "max_depth=5", "--set", "lr=0.1", "--wait")
    job = posted(jobs, "churn-set-")
    name = job["metadata"]["name"]
    assert (job["spec"]["model"], job["spec"]["type"]) == ("churn", "random_forest")
    assert job["spec"]["parameters"] == {"n_estimators": 100, "max_depth": 5, "lr": "0.1"}
    assert job["spec"]["output"] == {"claimName": "models"}
    a_status(jobs, name, "Done", "Completed")
    a_status(jobs, name, "Done", "Completed", modelVersion={"name": "churn", "number": 4})
    code, stdout, stderr = ended(process)
    assert (code, stdout) == (
        0,
        f"trainingjob.trainyard.dev/{name} created\n"
        "MLModel churn has version 4; `trainyard card model churn --version 4` describes it.\n",
    ), stderr
    assert the_model(jobs)["spec"] == model["spec"], "its spec stays"
    assert ASKED not in (the_model(jobs)["metadata"].get("annotations") or {})


def test_a_draft_without_an_output_is_not_trained_with_other_parameters(cli: Cli, jobs: Jobs) -> None:
    jobs.client.post(jobs.path("mlmodels"), manifest("MLModel", "churn", {"type": "regression"}))
    assert refused(cli, "train", "model", "churn", "--set", "lr=1") == (
        "MLModel churn does not say where its versions are kept: give it spec.output."
    )
    assert (
        refused(cli, "train", "model", "churn", "--set", "lr", code=2) == "Parameter 'lr' is not NAME=VALUE."
    )
    assert refused(cli, "train", "model", "churn", "--timeout", "1m", code=2).startswith(
        "--timeout is for --wait"
    )


def a_dataset(jobs: Jobs) -> None:
    spec = {"type": "tabular", "format": "csv"}
    jobs.client.post(jobs.path("datasets"), manifest("Dataset", "customers", spec))


def answered(jobs: Jobs, folder: Path, *log: Any, phase: str = "Done") -> str:
    """The job of a recommendation, whose trainer has said this; its pod is gone and its log is kept."""
    job = posted(jobs, "recommend-customers-")
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    kept(folder, jobs, name, [json.dumps(line) for line in log])
    logs = f"{folder.as_uri()}/{jobs.namespace}/{uid}/"
    attempt = {"number": 0, "startTime": WHEN, "completionTime": WHEN}
    a_status(jobs, name, phase, "Completed", startTime=WHEN, attempts=[attempt], logs=logs)
    return str(name)


def test_a_recommendation_is_measured_by_a_job_and_shown(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    a_dataset(jobs)
    options = [
        "--target",
        "left",
        "--candidates",
        "decision_tree,random_forest",
        "--time-budget",
        "2m",
        "--folds",
        "3",
    ]
    process = started(cli, "recommend", "--dataset", "customers", *options, "-p", "random_seed=7")
    spec = posted(jobs, "recommend-customers-")["spec"]
    assert (spec["runtime"], spec["action"], spec["datasets"]) == (
        "reference",
        "recommend",
        {"train": ["customers"]},
    )
    assert spec["parameters"] == {
        "target": "left",
        "candidates": ["decision_tree", "random_forest"],
        "time_budget_seconds": 120,
        "folds": 3,
        "random_seed": 7,
    }
    answered(jobs, tmp_path, {"status": "RUNNING"}, {"status": "SUCCESS", "recommendation": RECOMMENDED})
    code, stdout, stderr = ended(process)
    assert code == 0, stderr
    lines = words(stdout)
    assert lines[0] == ["Recommended:", "random_forest,", "score", "93", "of", "100,", "measured"]
    assert ["decision_tree", "71"] in [line[:2] for line in lines]
    assert "random_forest has the best accuracy." in stdout


def test_a_recommendation_is_data_for_programs(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    a_dataset(jobs)
    process = started(cli, "recommend", "--dataset", "customers", "-o", "json")
    name = answered(jobs, tmp_path, {"status": "SUCCESS", "recommendation": RECOMMENDED})
    code, stdout, _ = ended(process)
    assert (code, json.loads(stdout)) == (0, {"job": name, "dataset": "customers", **RECOMMENDED})


@pytest.mark.parametrize(
    ("phase", "log", "code", "said"),
    [
        ("Error", [], 4, "Error Completed"),
        (
            "Done",
            [{"status": "SUCCESS"}],
            1,
            "is Done, and its log ends without a recommendation: `trainyard logs",
        ),
    ],
)
def test_a_recommendation_that_does_not_come_is_told(
    cli: Cli, jobs: Jobs, tmp_path: Path, phase: str, log: list[Json], code: int, said: str
) -> None:
    a_dataset(jobs)
    process = started(cli, "recommend", "--dataset", "customers")
    answered(jobs, tmp_path, *log, phase=phase)
    ended_with, stdout, stderr = ended(process)
    assert (ended_with, stdout, said in stderr) == (code, "", True), stderr


def test_what_cannot_be_measured_is_told_before_a_job_is_made(cli: Cli, jobs: Jobs) -> None:
    a_dataset(jobs)
    assert refused(cli, "recommend", "--dataset", "customer").endswith("did you mean customers?")
    wrong = refused(cli, "recommend", "--dataset", "customers", "--candidates", "tree", code=2)
    assert wrong.startswith("'tree' is no candidate")
    other = refused(cli, "recommend", "--dataset", "tj/customers", code=2)
    assert other == "tj/customers is no Dataset: name one, as dset/customers."
    assert jobs.client.list(jobs.path("trainingjobs")) == []


def test_why_there_is_no_card_is_told_and_no_pod_is_made(cli: Cli, jobs: Jobs) -> None:
    model = a_model()
    del model["status"]["versions"][2]["card"]
    put(jobs, model)
    assert refused(cli, "card", "model", "churn").startswith(
        "Version 3 of MLModel churn has no model card yet: the pod churn-record-3, which stores it, is not there."
    )
    assert refused(cli, "card", "model", "churn", "--version", "9") == (
        "MLModel churn has no version 9; there are 1, 2, 3."
    )
    assert (
        refused(cli, "card", "model", "churn", "--alias", "a") == "MLModel churn has no alias a; it has none."
    )
    both = refused(cli, "card", "model", "churn", "--alias", "a", "--version", "1", code=2)
    assert both == "Give --version or --alias, not both."
    assert refused(cli, "card", "model", "churn", "--version", "2") == (
        f"There is no PersistentVolumeClaim models in namespace {jobs.namespace}, by which pvc://models is reached: "
        "create it, then download."
    )
    assert jobs.pods() == []


def test_a_card_is_read_by_a_pod_that_goes_with_the_model(cli: Cli, jobs: Jobs) -> None:
    model = put(jobs, a_model())
    core = f"/api/v1/namespaces/{jobs.namespace}"
    jobs.client.post(
        f"{core}/persistentvolumeclaims",
        {
            "metadata": {"name": "models"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    )
    found(lambda: jobs.client.find(f"{core}/serviceaccounts/default"), what="an account for the pod")
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", {"metadata": {"labels": label}})
    process = started(cli, "card", "model", "churn", "--timeout", "4")
    pod = found(lambda: next(iter(jobs.pods()), None), what="the pod")
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("MLModel", model["metadata"]["uid"])
    (env,) = pod["spec"]["containers"][0]["env"]
    assert json.loads(env["value"])["uid"] == UID
    code, stdout, stderr = ended(process)
    # NB: the claim is bound by nobody here, so the scheduler cannot place the pod.
    assert (code, stdout) == (124, ""), stderr
    found(lambda: not jobs.pods(), what="the pod to be gone")


def test_a_version_is_not_downloaded_where_it_is_not(cli: Cli, jobs: Jobs) -> None:
    put(jobs, a_model())
    assert refused(cli, "download", "model", "churn", "--alias", "old") == (
        "MLModel churn has no alias old; it has none."
    )
    claim = f"There is no PersistentVolumeClaim models in namespace {jobs.namespace}"
    result = cli("download", "model", "churn", "folder", "--version", "2", "--list")
    assert (result.exit_code, result.stdout) == (1, "")
    first, last = result.stderr.splitlines()
    assert first == "Version 2 of model churn:"
    assert last.startswith(f"Error: {claim}")
    assert jobs.pods() == []


def test_a_model_is_deleted_by_its_name_alone(cli: Cli, jobs: Jobs) -> None:
    put(jobs, a_model())
    jobs.create("churn")
    result = cli("delete", "model", "churn", "--yes", "--wait")
    assert (result.exit_code, result.stdout) == (0, f"{REFERENCE} deleted\n")
    assert jobs.client.list(jobs.path("mlmodels")) == []
    assert jobs.get("churn")["metadata"]["name"] == "churn", "the job of the same name stays"
    assert refused(cli, "pause", "model", "churn", code=2).startswith("mlm/churn is no TrainingJob")


def test_names_kinds_and_aliases_are_completed(plane: ControlPlane, jobs: Jobs) -> None:
    put(jobs, a_model(spec={"aliases": [{"name": "champion", "version": 1}]}))
    env, where = {"KUBECONFIG": str(plane.admin)}, f"-n {jobs.namespace}"
    assert complete(env, f"trainyard card {where} model ch") == ["churn"]
    assert complete(env, f"trainyard describe {where} model ") == ["churn"]
    assert complete(env, f"trainyard alias {where} model churn c") == ["champion="]
    assert complete(env, "trainyard archive mo") == ["model"]
