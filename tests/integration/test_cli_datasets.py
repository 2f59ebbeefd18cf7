"""`trainyard describe`, `refresh` and `push` of Datasets on a real API server, without an operator and running pods."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.commandline import Cli
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(120)

UPLOAD = "trainyard.dev/upload"


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/a.csv").write_text("x,label\n1,one\n")
    (tmp_path / "digits/.DS_Store").write_text("")
    return tmp_path / "digits"


def a_dataset(jobs: Jobs, name: str = "digits", **spec: Any) -> Json:
    spec = {"type": "tabular", "format": "csv", **spec}
    return jobs.client.post(jobs.path("datasets"), manifest("Dataset", name, spec))


def a_dataset_status(jobs: Jobs, name: str = "digits", **status: Any) -> None:
    said = {
        "observedGeneration": 1,
        "phase": "Done",
        "reason": "Completed",
        "message": "It is there.",
        **status,
    }
    jobs.client.patch(jobs.path("datasets", name) + "/status", {"status": said})


def claims(jobs: Jobs, **labels: str) -> list[Json]:
    selector = ",".join(f"trainyard.dev/{key}={value}" for key, value in labels.items())
    return jobs.client.list(
        f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims", labelSelector=selector
    )


def grant(jobs: Jobs, user: str, *, verbs: list[str], cluster_role: str | None = None) -> None:
    """Lets a user do this with Datasets, and what a ClusterRole has."""
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{jobs.namespace}"
    rule = {"apiGroups": ["trainyard.dev"], "resources": ["datasets"], "verbs": verbs}
    jobs.client.post(f"{base}/roles", {"metadata": {"name": user}, "rules": [rule]})
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    for kind, name in (("Role", user), ("ClusterRole", cluster_role)):
        if name is not None:
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            binding = {"metadata": {"name": f"{user}-{name}"}, "roleRef": role, "subjects": [subject]}
            jobs.client.post(f"{base}/rolebindings", binding)


def refused(cli: Cli, *arguments: str, code: int = 1) -> str:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    return result.stderr.splitlines()[-1].removeprefix("Error: ")


def test_a_dataset_is_drawn_with_what_is_in_it_and_the_jobs_that_use_it(cli: Cli, jobs: Jobs) -> None:
    a_dataset(jobs, source={"uri": "pvc://data/digits"})
    profile = {
        "summary": "1797 rows, 2 classes",
        "rows": 1797,
        "classes": [{"name": "one", "count": 1000}, {"name": "two", "count": 797}],
        "columnProfiles": [{"name": "label", "type": "text", "missing": 0, "distinct": 2}],
    }
    a_dataset_status(jobs, revision="abc", profile=profile, pull={"state": "pull_complete"})
    jobs.create("resnet", datasets={"train": ["digits"]})
    jobs.create("other", datasets={"train": ["cats"]})
    for words in (["dataset", "digits"], ["dset/digits"], ["datasets.trainyard.dev", "digits"]):
        result = cli("describe", *words)
        assert result.exit_code == 0, result.stderr
        lines = [line.split() for line in result.stdout.splitlines()]
        assert ["Content", "1797", "rows,", "2", "classes"] in lines
        assert ["one", "1000", "55.6%", "█" * 40] in lines
        assert ["label", "text", "0", "2"] in lines
        assert ["resnet", "Pending", "train"] in lines
        assert "other" not in result.stdout
    assert "█" * 40 in cli("get", "dset", "digits").stdout
    shown = json.loads(cli("describe", "dset", "digits", "-o", "json").stdout)
    assert (shown["kind"], shown["status"]["revision"]) == ("Dataset", "abc")
    assert cli("describe", "dset", "digits", "-o", "name").stdout == "dataset.trainyard.dev/digits\n"
    assert cli("describe", "resnet").stdout.startswith("TrainingJob"), "other kinds as well"
    assert refused(cli, "describe", "dset", "digit").endswith("did you mean digits?")
    assert refused(cli, "describe", "dset", code=2).startswith("Name one: trainyard describe dset NAME")


def test_a_table_of_datasets_has_what_one_looks_for(cli: Cli, jobs: Jobs) -> None:
    a_dataset(jobs, "whole", source={"uri": "pvc://data/digits"})
    a_dataset(jobs, "coming", source={"uri": "s3://data/digits"})
    pulled = {"state": "in_progress", "summary": "1.2/4.8 GB", "percent": 25, "eta": "0:03:10"}
    a_dataset_status(jobs, "coming", phase="Running", reason="Pulling", pull=pulled)
    pulled = {"state": "pull_complete", "summary": "120 kB"}
    a_dataset_status(jobs, "whole", pull=pulled, profile={"summary": "1797 rows", "files": 3})
    titles, coming, whole = (line.split() for line in cli("get", "datasets").stdout.splitlines())
    expected = ["NAME", "PHASE", "REASON", "TYPE", "FORMAT", "SIZE", "ETA", "FILES", "CONTENT", "AGE"]
    assert titles == expected
    assert coming[:-1] == ["coming", "Running", "Pulling", "tabular", "csv", "1.2/4.8", "GB", "0:03:10"]
    assert whole[:-1] == ["whole", "Done", "Completed", "tabular", "csv", "120", "kB", "3", "1797", "rows"]


def test_a_refresh_is_an_annotation_for_datasets_that_have_a_source(cli: Cli, jobs: Jobs) -> None:
    a_dataset(jobs, source={"uri": "s3://data/digits"})
    a_dataset(jobs, "pushed", source={"upload": {}})
    a_dataset(jobs, "draft")
    result = cli("refresh", "dataset", "digits")
    assert (result.exit_code, result.stdout) == (0, "dataset.trainyard.dev/digits is looked at again\n")

    def asked() -> str:
        metadata = jobs.client.get(jobs.path("datasets", "digits"))["metadata"]
        return str(metadata["annotations"]["trainyard.dev/refresh-requested-at"])

    first = asked()
    assert cli("refresh", "dset", "digits", "-o", "name").stdout == "dataset.trainyard.dev/digits\n"
    assert asked() > first
    assert refused(cli, "refresh", "dataset", "pushed").startswith("Dataset pushed has no source to look at")
    assert refused(cli, "refresh", "dataset", "draft").startswith("Dataset draft is a draft")
    assert refused(cli, "refresh", "tj", "digits", code=2) == (
        "This is for Datasets alone: write dataset, not tj."
    )
    result = cli("refresh", "dataset", "digits", "--wait", "--timeout", "1")
    assert result.exit_code == 124


def test_what_cannot_be_pushed_is_refused_before_anything_is_made(cli: Cli, jobs: Jobs, folder: Path) -> None:
    push = ("push", "dataset", str(folder))
    there = jobs.namespace
    assert refused(cli, *push, "digits") == (
        f"There is no Dataset digits in namespace {there}: give its --type (and --format), and it is made."
    )
    said = refused(cli, *push, "digits", "--type", "tabular", "--format", "kitti")
    assert said.startswith("Dataset digits: spec.format: kitti goes with type object_detection, ")
    assert "Unsupported value" in refused(cli, *push, "digits", "--type", "nonsense")
    assert refused(cli, *push, "x" * 40, "--type", "tabular").startswith(f"Dataset {'x' * 40}: ")
    a_dataset(jobs, "pulled", source={"uri": "s3://data/digits"})
    assert "has no spec.source.upload" in refused(cli, *push, "pulled")
    a_dataset(jobs, "small", source={"upload": {"maxSize": "10"}})
    assert refused(cli, *push, "small") == (
        "Dataset small takes 10 at most (spec.source.upload.maxSize), and these are 14 B."
    )
    assert refused(cli, *push, "small", "--type", "image_classification") == (
        "Dataset small is there with --type tabular, not image_classification: leave the option out, or choose another "
        "name."
    )
    assert "--target (none), not label" in refused(cli, *push, "small", "--target", "label")
    (folder / "link").symlink_to("/etc/hostname")
    assert "is a link that leads out of the folder" in refused(cli, *push, "small")
    assert refused(cli, *push, "small", "--size", "ten", code=2).startswith("--size is a quantity")
    assert refused(cli, "push", "tj", str(folder), "digits", code=2).startswith("This is for Datasets alone")
    assert claims(jobs) == []
    assert jobs.client.find(jobs.path("datasets", "digits")) is None


def test_who_may_not_forward_ports_is_told_before_the_folder_is_read(
    plane: ControlPlane, jobs: Jobs, folder: Path
) -> None:
    a_dataset(jobs, source={"upload": {}})
    grant(jobs, "reader", verbs=["get", "list"])
    said = refused(Cli(plane.kubeconfig("reader"), jobs.namespace), "push", "dataset", str(folder), "digits")
    assert said == (
        f"You may not forward ports of pods in namespace {jobs.namespace}, by which datasets are pushed: ask an "
        "administrator for a Role with the verbs get and create on pods/portforward."
    )


def interrupted(cli: Cli, jobs: Jobs, *arguments: str) -> str:
    """A push that is stopped while its pod waits for a node that runs it; gives what it said."""
    process = subprocess.Popen(
        cli.argv("push", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/digits-push"
    pod = found(lambda: process.poll() is not None or jobs.client.find(path), what="the pod")
    assert process.poll() is None, process.communicate()
    assert pod["spec"]["securityContext"]["fsGroup"] == 65532
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, ""), said
    found(lambda: jobs.client.find(path) is None, what="the pod to be gone")
    return said


def test_a_push_that_is_interrupted_leaves_its_claim_to_the_next_and_no_pod(
    plane: ControlPlane, jobs: Jobs, folder: Path
) -> None:
    # NB: the role that users of a namespace have, and what the chart adds to it, have to be enough.
    grant(jobs, "dana", verbs=["get", "list", "watch", "create", "update", "patch"], cluster_role="edit")
    cli = Cli(plane.kubeconfig("dana"), jobs.namespace)
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", {"metadata": {"labels": label}})
    account = f"/api/v1/namespaces/{jobs.namespace}/serviceaccounts/default"
    found(lambda: jobs.client.find(account), what="an account for the pod")
    push = ("dataset", str(folder), "digits")
    said = interrupted(cli, jobs, *push, "--type", "tabular", "--format", "csv", "--target", "label")
    dataset = jobs.client.get(jobs.path("datasets", "digits"))
    assert dataset["spec"]["source"] == {"upload": {}}
    assert dataset["spec"]["validation"]["target"] == "label"
    assert UPLOAD not in (dataset["metadata"].get("annotations") or {})
    (left,) = claims(jobs, **{"dataset-uid": dataset["metadata"]["uid"], "upload": "unfinished"})
    name = left["metadata"]["name"]
    assert left["metadata"]["ownerReferences"][0]["uid"] == dataset["metadata"]["uid"]
    assert "Left out: .DS_Store." in said
    assert f"What has come stays in the claim {name}: run it again, and the rest is sent." in said

    assert f"An earlier push has left the claim {name}: going on with it." in interrupted(cli, jobs, *push)
    assert [one["metadata"]["name"] for one in claims(jobs, upload="unfinished")] == [name]

    said = interrupted(cli, jobs, *push, "--size", "3Gi")
    assert f"An earlier push has left the claim {name}, which is not as wanted: removed." in said
    found(lambda: len(claims(jobs)) == 1, what="the former claim to be gone")
    (other,) = claims(jobs, upload="unfinished")
    assert other["spec"]["resources"]["requests"]["storage"] == "3Gi"


def test_what_the_dataset_has_already_is_not_pushed_again(cli: Cli, jobs: Jobs, folder: Path) -> None:
    a_dataset(jobs, source={"upload": {}})
    base = f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    jobs.client.post(base, {"metadata": {"name": "data-1"}, "spec": spec})
    digest = hashlib.sha256((folder / "a.csv").read_bytes()).hexdigest()
    told = {"claim": "data-1", "sha256": digest, "bytes": 14, "files": 1, "pushed": digest}
    jobs.client.patch(
        jobs.path("datasets", "digits"), {"metadata": {"annotations": {UPLOAD: json.dumps(told)}}}
    )
    result = cli("push", "dataset", str(folder), "digits")
    assert (result.exit_code, result.stdout) == (
        0,
        "dataset.trainyard.dev/digits has this very data already: 1 file, 14 B\n",
    )
    assert len(claims(jobs)) == 1
