"""`trainyard release` takes our finalizers off, and nothing else, where no operator does it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.harness import binaries
from tests.harness import operator as operators
from tests.harness.client import ApiError, Client, Json, wait_for
from tests.harness.controlplane import ControlPlane
from trainyard.api import names
from trainyard.cli import main

pytestmark = pytest.mark.timeout(120)

OURS = names.VERDICT_FINALIZER
FOREIGN = "example.com/held"
LABELS = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_JOB_UID: "0"}
SPEC: Json = {"restartPolicy": "Never", "nodeName": "none", "containers": [{"name": "trainer", "image": "i"}]}
TRAINYARD = [sys.executable, "-m", "trainyard"]
DOCUMENT = Path(__file__).parents[2] / "docs" / "uninstalling.md"


@pytest.fixture
def namespace(admin: Client) -> Iterator[str]:
    """A namespace of the test's own, whose pods are really gone afterwards: no kubelet would end them here."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    wait_for(lambda: admin.find(f"/api/v1/namespaces/{name}/serviceaccounts/default"), what="an account")
    yield name
    for pod in admin.list(pods(name)):
        # NB: one that is deleted already is gone with its finalizers.
        with contextlib.suppress(ApiError):
            admin.patch(f"{pods(name)}/{pod['metadata']['name']}", {"metadata": {"finalizers": None}})
            admin.delete(f"{pods(name)}/{pod['metadata']['name']}", gracePeriodSeconds=0)
    admin.delete(f"/api/v1/namespaces/{name}")


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def a_pod(admin: Client, namespace: str, name: str, *finalizers: str, **metadata: Any) -> Json:
    metadata = {"name": name, "finalizers": list(finalizers), "labels": LABELS, **metadata}
    return admin.post(pods(namespace), {"metadata": metadata, "spec": SPEC})


def finalizers_of(admin: Client, namespace: str, name: str) -> list[str]:
    metadata = admin.get(f"{pods(namespace)}/{name}")["metadata"]
    return list(metadata.get("finalizers", []))


def release(kubeconfig: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["release", "--kubeconfig", str(kubeconfig), *arguments])


def test_takes_off_our_finalizers_and_leaves_those_of_others(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    a_pod(admin, namespace, "both", FOREIGN, OURS, f"{names.GROUP}/another")
    a_pod(admin, namespace, "foreign", FOREIGN)
    a_pod(admin, namespace, "unlabelled", OURS, labels={})

    result = release(control_plane.admin, "-n", namespace)

    assert result.exit_code == 0, result.output
    assert finalizers_of(admin, namespace, "both") == [FOREIGN]
    assert finalizers_of(admin, namespace, "foreign") == [FOREIGN]
    assert finalizers_of(admin, namespace, "unlabelled") == []
    assert sorted(result.stdout.splitlines()) == [
        "Released 2 objects.",
        f"Released pod {namespace}/both.",
        f"Released pod {namespace}/unlabelled.",
    ]


def test_says_so_when_there_is_nothing_to_release(control_plane: ControlPlane, namespace: str) -> None:
    result = release(control_plane.admin, "-n", namespace)
    assert (result.exit_code, result.stdout) == (0, f"Trainyard holds nothing in namespace {namespace}.\n")


def test_a_dry_run_changes_nothing(control_plane: ControlPlane, admin: Client, namespace: str) -> None:
    a_pod(admin, namespace, "one", OURS)
    result = release(control_plane.admin, "-n", namespace, "--dry-run", "--stop-deployment", "operator")
    assert result.exit_code == 0, result.output
    assert f"Would release pod {namespace}/one.\n" in result.stdout
    assert finalizers_of(admin, namespace, "one") == [OURS]


def test_what_is_in_other_namespaces_stays_unless_all_are_meant(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    a_pod(admin, namespace, "one", OURS)
    assert release(control_plane.admin, "-n", "default", "-n", "kube-system").exit_code == 0
    assert finalizers_of(admin, namespace, "one") == [OURS]

    result = release(control_plane.admin, "--all-namespaces")

    assert result.exit_code == 0, result.output
    assert finalizers_of(admin, namespace, "one") == []


def test_namespaces_and_all_of_them_cannot_both_be_meant(control_plane: ControlPlane) -> None:
    result = release(control_plane.admin, "-A", "-n", "default")
    assert result.exit_code == 2
    assert "Give either --namespace or --all-namespaces." in result.stderr


def test_resources_of_ours_are_released_too(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    operators.install(control_plane)
    where = f"/apis/{names.API_VERSION}/namespaces/{namespace}/trainingjobs"
    metadata = {"name": "held", "finalizers": [FOREIGN, f"{names.GROUP}/upload"]}
    admin.post(where, {"metadata": metadata, "spec": {"image": "example.com/trainer:1"}} | kind())

    result = release(control_plane.admin, "-n", namespace)

    assert result.exit_code == 0, result.output
    assert f"Released TrainingJob {namespace}/held.\n" in result.stdout
    assert admin.get(f"{where}/held")["metadata"]["finalizers"] == [FOREIGN]
    admin.patch(f"{where}/held", {"metadata": {"finalizers": None}})


def kind() -> Json:
    return {"apiVersion": names.API_VERSION, "kind": "TrainingJob"}


def test_hundreds_of_pods_are_released_in_pages(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    for number in range(520):
        a_pod(admin, namespace, f"p-{number}", OURS)

    result = release(control_plane.admin, "-n", namespace)

    assert result.exit_code == 0, result.output
    assert "Released 520 objects.\n" in result.stdout
    assert not [pod for pod in admin.list(pods(namespace)) if pod["metadata"].get("finalizers")]


def test_says_what_it_was_not_allowed_and_fails(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    a_pod(admin, namespace, "one", OURS)
    user = f"viewer-{namespace}"
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    group = "rbac.authorization.k8s.io"
    subject = {"apiGroup": group, "kind": "User", "name": user}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "view"}
    admin.post(rbac, {"metadata": {"name": "viewer"}, "roleRef": role, "subjects": [subject]})

    result = release(control_plane.kubeconfig(user), "-n", namespace)

    assert result.exit_code == 1
    may_not = f"You ({user}) may not patch pods in namespace {namespace}; ask an administrator"
    assert f"Error: Could not release pod {namespace}/one. {may_not}" in result.stderr
    assert finalizers_of(admin, namespace, "one") == [OURS]


def test_skips_namespaces_that_it_may_not_look_into_if_told_to(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    a_pod(admin, namespace, "one", OURS)
    stranger = control_plane.kubeconfig(f"stranger-{namespace}")

    refused = release(stranger, "-n", namespace)
    skipped = release(stranger, "-n", namespace, "--skip-forbidden")

    assert refused.exit_code == 1
    assert f"Could not look for objects of kind Pod in namespace {namespace}. " in refused.stderr
    assert skipped.exit_code == 0
    assert finalizers_of(admin, namespace, "one") == [OURS]


def test_a_cluster_that_does_not_answer_is_said_within_the_time(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    text = re.sub(r"server: .*", "server: https://127.0.0.1:1", control_plane.admin.read_text())
    (tmp_path / "kubeconfig").write_text(text)
    result = release(tmp_path / "kubeconfig", "-n", "default", "--timeout", "2s")
    assert result.exit_code == 1
    assert all(line.startswith("Error: ") for line in result.stderr.splitlines())
    assert "The cluster does not answer: " in result.stderr


def test_the_operators_deployment_is_stopped_first(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {
        "metadata": {"labels": {"app": "operator"}},
        "spec": {"nodeName": "none", "containers": [{"name": "operator", "image": "i"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "operator"}}, "template": template}
    admin.post(deployments, {"metadata": {"name": "operator"}, "spec": spec})
    wait_for(lambda: admin.list(pods(namespace)), what="the operator's pod")
    a_pod(admin, namespace, "one", OURS)
    argv = [*TRAINYARD, "release", f"--kubeconfig={control_plane.admin}", f"--namespace={namespace}"]
    argv.append(f"--stop-deployment={namespace}/operator")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        wait_for(lambda: ending(admin, namespace), what="the operator's pod to be deleted")
        assert finalizers_of(admin, namespace, "one") == [OURS], "released only when the operator is gone"
        admin.delete(f"{pods(namespace)}/{ending(admin, namespace)}", gracePeriodSeconds=0)
        printed, _ = running.communicate(timeout=60)

    assert running.returncode == 0
    assert printed.splitlines()[0] == f"Stopped deployment {namespace}/operator."
    assert admin.get(f"{deployments}/operator")["spec"]["replicas"] == 0
    assert finalizers_of(admin, namespace, "one") == []


def ending(admin: Client, namespace: str) -> str:
    """The name of the operator's pod once it is being deleted."""
    found = admin.list(pods(namespace), labelSelector="app=operator")
    return next((pod["metadata"]["name"] for pod in found if "deletionTimestamp" in pod["metadata"]), "")


def test_a_later_pod_of_the_same_name_is_safe_from_a_patch_with_the_former_ones_uid(
    admin: Client, namespace: str
) -> None:
    a_pod(admin, namespace, "one", OURS)
    former = {"uid": str(uuid.uuid4()), "$deleteFromPrimitiveList/finalizers": [OURS]}
    with pytest.raises(ApiError) as refused:
        admin.patch(f"{pods(namespace)}/one", {"metadata": former}, kind="strategic")
    assert refused.value.status in (409, 422)
    assert finalizers_of(admin, namespace, "one") == [OURS]


def test_the_documented_lines_of_kubectl_do_the_same(
    control_plane: ControlPlane, admin: Client, namespace: str, tmp_path: Path
) -> None:
    a_pod(admin, namespace, "one", FOREIGN, OURS)
    a_pod(admin, namespace, "foreign", FOREIGN)
    (lines,) = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    kubectl = binaries.ensure("kubectl")["kubectl"]
    environment = {
        "HOME": str(tmp_path),  # NB: kubectl keeps a cache there, or where it is run
        "KUBECONFIG": str(control_plane.admin),
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
    }

    done = subprocess.run(["bash", "-c", lines], env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert finalizers_of(admin, namespace, "one") == [FOREIGN]
    assert finalizers_of(admin, namespace, "foreign") == [FOREIGN]
