"""What people see of Experiments, and do with them, on a real API server without an operator."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.commandline import Cli
from tests.experiments import (
    a_hyperband,
    a_random_search,
    an_experiment,
    point,
    put,
    write_status,
)
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def refused(cli: Cli, *arguments: str, code: int = 1) -> str:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    return result.stderr.splitlines()[-1].removeprefix("Error: ")


def test_a_search_is_described_with_its_trials_and_rungs(cli: Cli, jobs: Jobs) -> None:
    experiment, children = a_hyperband(9, 3)
    put(jobs, experiment, children)
    best = experiment["status"]["automl"]["bestTrial"]
    for arguments in (["experiment", "rungs"], ["exp/rungs"], ["experiments.trainyard.dev", "rungs"]):
        result = cli("describe", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = words(result.stdout)
        search = next(" ".join(line) for line in lines if line[:1] == ["Search"])
        assert search == "Search hyperband, R 9, nu 3, of step train, 1 at a time, seed 7"
        assert ["learning_rate", point(best["number"])["learning_rate"]] in lines
        assert any(line[:5] == ["2", "0", "9", "1", "█" * 10] for line in lines), "its rungs"
        trial = next(
            line for line in lines if line[:3] == [str(best["number"]), str(best["rung"]), "success"]
        )
        assert "learning_rate=" in " ".join(trial)
    shown = json.loads(cli("describe", "exp", "rungs", "-o", "json").stdout)
    assert (shown["kind"], shown["status"]["automl"]["bestTrial"]["number"]) == ("Experiment", best["number"])
    assert cli("describe", "exp", "rungs", "-o", "name").stdout == "experiment.trainyard.dev/rungs\n"
    assert refused(cli, "describe", "exp", "rung").endswith("did you mean rungs?")
    assert any(line[:2] == ["BRACKET", "RUNG"] for line in words(cli("get", "exp", "rungs").stdout))


def test_a_table_of_experiments_has_what_one_looks_for(cli: Cli, jobs: Jobs) -> None:
    experiment, _ = a_random_search(20)
    experiment["status"]["progress"] = {"action": "train", "done": 0, "total": 1, "summary": "12/20"}
    experiment["status"] |= {"phase": "Running", "reason": "Searching"}
    experiment["status"]["keyMetric"] = {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"}
    put(jobs, experiment, [])
    titles, row = words(cli("get", "experiments").stdout)
    assert titles == ["NAME", "PHASE", "REASON", "ACTION", "PROGRESS", "BEST", "AGE"]
    assert row[:-1] == ["tune", "Running", "Searching", "train", "12/20", "accuracy", "0.97"]


def test_a_search_is_drawn_and_exported_also_when_its_jobs_are_gone(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    experiment, children = a_random_search(12, failed=(3,))
    put(jobs, experiment, children)
    picture, page, table = tmp_path / "a.png", tmp_path / "a.html", tmp_path / "a.csv"
    result = cli("plot", "experiment", "tune", "--out", str(picture))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{picture} has optimisation history, parameters of all trials, parameter importance, learning curves.\n"
    )
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert cli("plot", "exp", "exp/tune", "--out", str(page)).exit_code == 0
    assert page.read_text().count("<svg") == 4
    result = cli("export", "experiment", "tune", "--to", "csv", "--out", str(table))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{table} has 12 runs.\n")
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["jobExists"] for row in rows] == ["true"] * 12

    jobs.client.delete(jobs.path("trainingjobs"))
    found(lambda: not jobs.client.list(jobs.path("trainingjobs")), what="the jobs to be gone")
    after = json.loads(cli("export", "exp", "tune", "--to", "json").stdout)
    assert [run["jobExists"] for run in after["runs"]] == [False] * 12
    for row, run in zip(rows, after["runs"], strict=True):
        assert run["state"] == row["state"]
        assert run["value"] == (float(row["value"]) if row["value"] else None)
        assert run["parameters"] == point(run["number"]), "drawn again from the seed"
        assert row["parameters.learning_rate"] == run["parameters"]["learning_rate"]
    assert cli("plot", "exp", "tune", "--out", str(page)).exit_code == 0
    assert page.read_text().count("<svg") == 3, "all but the learning curves"


def test_what_cannot_be_drawn_or_exported_is_told(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    put(jobs, an_experiment("new"), [])
    said = refused(cli, "plot", "experiment", "new", "--out", str(tmp_path / "a.png"))
    assert said == (
        "Experiment new has no run with a value yet; `trainyard describe experiment new` tells how far it is."
    )
    assert refused(cli, "plot", "exp", "ne", "--out", str(tmp_path / "a.png")).endswith("did you mean new?")
    assert refused(cli, "export", "exp", "ne", "--to", "csv").endswith("did you mean new?")
    assert list(tmp_path.iterdir()) == []


def test_more_jobs_than_one_page_are_all_read(cli: Cli, jobs: Jobs) -> None:
    put(jobs, an_experiment("wide"), [])
    spec = {"image": "example.com/trainer:1"}
    for number in range(260):
        body = manifest("TrainingJob", f"j{number}", spec)
        body["metadata"]["labels"] = {"trainyard.dev/experiment": "wide"}
        jobs.client.post(jobs.path("trainingjobs"), body)
    document = json.loads(cli("export", "exp", "wide", "--to", "json").stdout)
    assert sorted(run["job"] for run in document["runs"]) == sorted(f"j{number}" for number in range(260))


def test_who_may_not_list_jobs_still_sees_the_experiment(plane: ControlPlane, jobs: Jobs) -> None:
    experiment, children = a_random_search(3)
    put(jobs, experiment, children)
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{jobs.namespace}"
    rule = {"apiGroups": ["trainyard.dev"], "resources": ["experiments"], "verbs": ["get"]}
    jobs.client.post(f"{base}/roles", {"metadata": {"name": "eve"}, "rules": [rule]})
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "eve"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "eve"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "eve"}],
    }
    jobs.client.post(f"{base}/rolebindings", binding)
    cli = Cli(plane.kubeconfig("eve"), jobs.namespace)
    result = cli("describe", "experiment", "tune")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "(its job is gone)" not in result.stdout
    assert "may not list trainingjobs" in refused(cli, "export", "exp", "tune", "--to", "csv")


@pytest.mark.parametrize(
    ("verb", "said", "spec"),
    [
        ("pause", "is being paused", {"suspend": True}),
        ("cancel", "is being cancelled", {"cancel": True}),
        ("resume", "is not paused", {}),
    ],
)
@pytest.mark.parametrize("named", [["experiment", "tune"], ["exp/tune"]], ids=["two words", "one word"])
def test_verbs_change_the_experiment_and_not_a_job_of_that_name(
    cli: Cli, jobs: Jobs, verb: str, said: str, spec: Json, named: list[str]
) -> None:
    put(jobs, an_experiment("tune"), [])
    jobs.create("tune")
    jobs.create("experiment")
    result = cli(verb, *named)
    assert (result.exit_code, result.stdout) == (0, f"experiment.trainyard.dev/tune {said}\n")
    changed = jobs.client.get(jobs.path("experiments", "tune"))["spec"]
    assert {key: changed.get(key) for key in spec} == spec
    for other in ("tune", "experiment"):
        assert not any(jobs.get(other)["spec"].get(key) for key in ("suspend", "cancel"))


def test_a_retry_of_an_experiment_is_its_annotation(cli: Cli, jobs: Jobs) -> None:
    experiment, _ = a_random_search(2)
    experiment["status"] |= {"phase": "Error", "reason": "TrialsFailed"}
    put(jobs, experiment, [])
    assert cli("retry", "exp/tune").stdout == "experiment.trainyard.dev/tune is tried again\n"
    metadata = jobs.client.get(jobs.path("experiments", "tune"))["metadata"]
    assert metadata["annotations"]["trainyard.dev/retry-requested-at"]


def test_an_experiment_is_deleted_by_name_only(cli: Cli, jobs: Jobs) -> None:
    put(jobs, an_experiment("tune"), [])
    jobs.create("tune")
    assert cli("delete", "--all", "--yes").stdout == "trainingjob.trainyard.dev/tune deleted\n"
    assert cli("delete", "experiment", "tune", "--yes", "--wait").stdout == (
        "experiment.trainyard.dev/tune deleted\n"
    )
    assert jobs.client.find(jobs.path("experiments", "tune")) is None


def test_an_experiment_is_watched_until_its_end(cli: Cli, jobs: Jobs) -> None:
    experiment, _ = a_random_search(20)
    put(jobs, experiment, [])
    result = cli("watch", "experiment", "tune")
    assert result.exit_code == 0
    assert result.stdout.startswith("Done Completed: Of 20 trials ")
    assert "20/20  100%  accuracy 0." in result.stdout
    put(jobs, an_experiment("new"), [])
    assert cli("watch", "exp/new", "--timeout", "1").exit_code == 124


def test_a_submission_waits_for_experiments_too(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    file = tmp_path / "tune.yaml"
    body = manifest("Experiment", "tune", an_experiment()["spec"])
    file.write_text(json.dumps(body))
    process = subprocess.Popen(
        cli.argv("submit", str(file), "--wait", "--timeout", "60"), stdout=subprocess.PIPE, text=True
    )
    made = found(lambda: jobs.client.find(jobs.path("experiments", "tune")), what="the Experiment")
    write_status(jobs, "experiments", made, {"phase": "Error", "reason": "StepFailed"})
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (4, "experiment.trainyard.dev/tune created\n")
    said = refused(cli, "submit", str(file))
    assert said.endswith("choose another name (--name), or `trainyard delete experiment tune` first.")
    draft = {**body, "metadata": {"name": "draft"}, "spec": {"type": "neural_network"}}
    file.write_text(json.dumps(draft))
    assert cli("submit", str(file), "--wait").exit_code == 0, "a draft has no end"


def test_the_log_and_the_artifacts_of_an_experiment_are_those_of_a_job(cli: Cli, jobs: Jobs) -> None:
    put(jobs, an_experiment("tune"), [])
    assert refused(cli, "logs", "experiment", "tune") == ("No job of Experiment tune has started. Pending")
    assert refused(cli, "download", "experiment", "tune").startswith("Experiment tune has no artifacts yet.")
    experiment, children = a_random_search(3, name="other")
    for number, child in enumerate(children):
        child["status"]["artifacts"] = [{"uri": f"pvc://models/uid-{number}/attempt-0"}]
    experiment["status"]["artifacts"] = [{"uri": "pvc://models/uid-1/attempt-0"}]
    put(jobs, experiment, children)
    result = cli("logs", "exp/other", "--from", "pod")
    assert result.stderr.splitlines()[0] == "other-t2-r0 of experiment other:"
    result = cli("download", "experiment", "other", "--timeout", "1")
    assert result.stderr.splitlines()[0] == "other-t1-r0 of experiment other:"
