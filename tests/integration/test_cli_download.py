"""What `trainyard download` refuses, on a real API server without an operator, and where no pod can run."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.commandline import Cli, a_status
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(120)

DIGEST = "0" * 64


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def a_claim(jobs: Jobs, name: str = "models") -> None:
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims",
        {
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    )


def finished(jobs: Jobs, **output: object) -> None:
    """A job that says it has ended, and left artifacts in its output."""
    output = output or {"claimName": "models"}
    uid = jobs.create("resnet", output=output)["metadata"]["uid"]
    store = output.get("uri") or f"pvc://{output['claimName']}"
    artifacts = [{"uri": f"{store}/{uid}/attempt-0", "size": 1, "sha256": DIGEST}]
    a_status(jobs, "resnet", "Done", "Completed", attempts=[{"number": 0}], artifacts=artifacts)


def helpers(jobs: Jobs) -> list[Json]:
    path = f"/api/v1/namespaces/{jobs.namespace}/pods"
    return jobs.client.list(path, labelSelector="app.kubernetes.io/component=download")


def account(jobs: Jobs) -> None:
    path = f"/api/v1/namespaces/{jobs.namespace}/serviceaccounts/default"
    found(lambda: jobs.client.find(path), what="an account for the pod")


def grant(jobs: Jobs, user: str, *rules: tuple[str, str, list[str]]) -> None:
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{jobs.namespace}"
    jobs.client.post(
        f"{base}/roles",
        {
            "metadata": {"name": user},
            "rules": [
                {"apiGroups": [group], "resources": [resource], "verbs": verbs}
                for group, resource, verbs in rules
            ],
        },
    )
    jobs.client.post(
        f"{base}/rolebindings",
        {
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        },
    )


def refused(cli: Cli, *options: str, code: int = 1) -> str:
    result = cli("download", "resnet", *options)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").rstrip()


def test_a_job_without_an_output_has_nothing_to_download(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    assert refused(cli) == (
        "TrainingJob resnet has no output, so nothing of it is kept: give it spec.output and submit it again."
    )


def test_a_job_that_still_runs_says_what_there_may_be(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", output={"claimName": "models"})
    a_status(jobs, "resnet", "Running", "Training")
    assert refused(cli) == (
        "TrainingJob resnet has no finished artifacts: Running Training: It is Training. `--checkpoint latest` gets "
        "its newest checkpoint, `--attempt N` what that attempt has left."
    )
    assert refused(cli, "--attempt", "3") == "TrainingJob resnet has no attempt 3; its newest is 0."
    assert helpers(jobs) == []


def test_a_claim_or_a_secret_that_is_gone_is_named_and_no_pod_is_made(cli: Cli, jobs: Jobs) -> None:
    finished(jobs)
    assert refused(cli) == (
        f"There is no PersistentVolumeClaim models in namespace {jobs.namespace}, by which pvc://models is reached: "
        "create it, then download."
    )
    jobs.delete("trainingjobs", "resnet")
    finished(jobs, uri="s3://models/team", secretRef={"name": "bucket"})
    assert refused(cli).startswith(
        f"There is no Secret bucket in namespace {jobs.namespace}, by which s3://models/team"
    )
    assert helpers(jobs) == []


def test_who_may_not_forward_ports_or_make_pods_is_told_which_permission_is_missing(
    plane: ControlPlane, jobs: Jobs
) -> None:
    finished(jobs)
    reads = [("trainyard.dev", "trainingjobs", ["get", "list"]), ("", "pods", ["get"])]
    grant(jobs, "reader", *reads)
    assert refused(Cli(plane.kubeconfig("reader"), jobs.namespace)) == (
        f"You may not forward ports of pods in namespace {jobs.namespace}, by which outputs are downloaded: ask an "
        "administrator for a Role with the verbs get and create on pods/portforward."
    )
    grant(jobs, "forwarder", *reads, ("", "pods/portforward", ["get", "create"]))
    said = refused(Cli(plane.kubeconfig("forwarder"), jobs.namespace))
    assert said.startswith(
        f"You (forwarder) may not create pods in namespace {jobs.namespace}; ask an administrator"
    )


def test_a_pod_that_does_not_start_in_time_is_told_with_its_reason_and_deleted(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    a_claim(jobs)
    account(jobs)
    finished(jobs)
    # NB: the claim is bound by nobody here, so the scheduler cannot place the pod.
    result = cli("download", "resnet", str(tmp_path / "r"), "--timeout", "3")
    assert (result.exit_code, result.stdout) == (124, "")
    last = result.stderr.splitlines()[-1]
    assert "which reads the output, has not started after 3 s: " in last
    found(lambda: not helpers(jobs), what="the pod to be gone", timeout=30)
    assert not (tmp_path / "r").exists()


def test_ctrl_c_while_the_pod_waits_leaves_none(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    a_claim(jobs)
    account(jobs)
    finished(jobs)
    process = subprocess.Popen(
        cli.argv("download", "resnet", str(tmp_path / "r")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found(lambda: helpers(jobs), what="the pod")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    found(lambda: not helpers(jobs), what="the pod to be gone", timeout=30)


def test_the_pod_passes_pod_security_restricted(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", {"metadata": {"labels": label}})
    a_claim(jobs)
    account(jobs)
    finished(jobs)
    assert cli("download", "resnet", str(tmp_path / "r"), "--timeout", "1").exit_code == 124


@pytest.mark.parametrize("checkpoint", ["newest", "-1", "1.5", ""])
def test_a_checkpoint_is_best_latest_or_a_number(cli: Cli, jobs: Jobs, checkpoint: str) -> None:
    said = refused(cli, f"--checkpoint={checkpoint}", code=2)
    assert said == f"--checkpoint is best, latest or the number of an epoch, not {checkpoint!r}."


def test_a_file_in_the_place_of_the_folder_is_told(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "r").write_text("mine")
    said = refused(cli, str(tmp_path / "r"))
    assert said.endswith("r is a file; name a folder, or one that is to be made.")
