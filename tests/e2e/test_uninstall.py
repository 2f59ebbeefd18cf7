"""Everything can be deleted at any time, with the operator and without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.harness import chart, console, kindcluster
from tests.harness.client import Client, Json, wait_for
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError
from tests.harness.kindnodes import GPU_TOLERATION
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(300)

FINALIZER = "trainyard.dev/verdict"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{chart.NAMESPACE}/deployments/{chart.RELEASE}"
OPERATORS_PODS = f"/api/v1/namespaces/{chart.NAMESPACE}/pods"
# It ends on SIGTERM, as a trainer does.
TRAINS_FOR_EVER = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(1)); signal.pause()"


@pytest.fixture(scope="module")
def restored(operator_installed: ClusterHandle, install_operator: Callable[[], None]) -> Iterator[None]:
    """Afterwards the operator is there again for other modules."""
    yield
    install_operator()


@pytest.fixture
def installed(
    restored: None, operator_installed: ClusterHandle, install_operator: Callable[[], None]
) -> ClusterHandle:
    """The cluster with a working operator, whatever the test before has done with it."""
    install_operator()
    return operator_installed


@pytest.fixture
def running(installed: ClusterHandle, jobs: Jobs, python_image: str) -> Jobs:
    """A namespace with three jobs whose pods run for ever, held by our finalizer."""
    for number in range(3):
        jobs.create(
            f"endless-{number}",
            image=python_image,
            command=["python3", "-uc", TRAINS_FOR_EVER],
            action="custom",
            tolerations=[GPU_TOLERATION],
            template={"spec": {"securityContext": {"runAsUser": 65532}}},
            gracePeriodSeconds=2,
        )
    for number in range(3):
        jobs.reaches(f"endless-{number}", "Running", timeout=90)
    assert [finalizers(pod) for pod in jobs.pods()] == [[FINALIZER]] * 3
    return jobs


def finalizers(pod: Json) -> list[str]:
    return list(pod["metadata"].get("finalizers", []))


def release(kubectl: Kubectl, *words: str) -> str:
    """`trainyard release` by hand, as somebody with a kubeconfig."""
    argv = [sys.executable, "-m", "trainyard", "release", *kubectl.flags, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def gone(client: Client, namespace: str) -> None:
    wait_for(
        lambda: client.find(f"/api/v1/namespaces/{namespace}") is None, what=f"{namespace} to go", timeout=60
    )


def runs_on(jobs: Jobs) -> None:
    """Three pods that nobody has told to end, and that nothing of ours holds."""
    pods = jobs.pods()
    assert [pod["status"]["phase"] for pod in pods] == ["Running"] * 3
    assert not any("deletionTimestamp" in pod["metadata"] for pod in pods)
    assert [finalizers(pod) for pod in pods] == [[]] * 3


def left_of_the_release(client: Client) -> list[str]:
    """What of the release is still there: anything with its label, in its namespace and outside."""
    groups = {
        f"/api/v1/namespaces/{chart.NAMESPACE}": ("services", "configmaps", "serviceaccounts"),
        f"/apis/apps/v1/namespaces/{chart.NAMESPACE}": ("deployments",),
        f"/apis/batch/v1/namespaces/{chart.NAMESPACE}": ("jobs",),
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{chart.NAMESPACE}": ("roles", "rolebindings"),
        "/apis/rbac.authorization.k8s.io/v1": ("clusterroles", "clusterrolebindings"),
    }
    selector = f"app.kubernetes.io/instance={chart.RELEASE}"
    return [
        f"{plural}/{one['metadata']['name']}"
        for base, plurals in groups.items()
        for plural in plurals
        for one in client.list(f"{base}/{plural}", labelSelector=selector)
    ]


def asked_by_the_hook(handle: ClusterHandle) -> dict[tuple[str, str], str]:
    """What the hook's account has asked for, by verb and resource, and whether it was allowed."""
    account = f"system:serviceaccount:{chart.NAMESPACE}:trainyard-release"
    return {
        (event["verb"], event["objectRef"]["resource"]): event["annotations"]["authorization.k8s.io/decision"]
        for event in kindcluster.audit_events(handle)
        if event["user"]["username"] == account
    }


def test_a_namespace_full_of_running_jobs_goes_when_it_is_deleted(
    running: Jobs, cluster_admin: Client
) -> None:
    cluster_admin.delete(f"/api/v1/namespaces/{running.namespace}")
    gone(cluster_admin, running.namespace)


def test_without_an_operator_it_goes_once_it_is_released_by_hand(
    running: Jobs, cluster_admin: Client, kubectl: Kubectl
) -> None:
    cluster_admin.patch(f"{DEPLOYMENT}/scale", {"spec": {"replicas": 0}})
    wait_for(lambda: not cluster_admin.list(OPERATORS_PODS), what="the operator to end", timeout=60)
    cluster_admin.delete(f"/api/v1/namespaces/{running.namespace}")
    wait_for(
        lambda: all(pod["status"]["phase"] == "Failed" for pod in running.pods()), what="the pods to end"
    )
    assert [finalizers(pod) for pod in running.pods()] == [[FINALIZER]] * 3, "held until somebody lets go"

    printed = release(kubectl, f"--namespace={running.namespace}")

    assert "Released 3 objects.\n" in printed
    gone(cluster_admin, running.namespace)


def test_uninstalling_leaves_running_trainings_without_our_finalizer_and_nothing_else(
    running: Jobs, installed: ClusterHandle, cluster_admin: Client
) -> None:
    chart.uninstall(installed)

    runs_on(running)
    if installed.made_by_us:
        asked = asked_by_the_hook(installed)
        assert {("get", "deployments"), ("patch", "deployments"), ("patch", "pods")} <= asked.keys()
        assert set(asked.values()) == {"allow"}
    wait_for(lambda: not left_of_the_release(cluster_admin), what="the rest of the release to go")
    cluster_admin.delete(f"/api/v1/namespaces/{running.namespace}")
    gone(cluster_admin, running.namespace)


def test_uninstalling_works_while_the_operator_crashes(
    running: Jobs, installed: ClusterHandle, cluster_admin: Client
) -> None:
    crash = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["run", "--no"]}]
    cluster_admin.patch(DEPLOYMENT, crash, kind="json")

    def crashes() -> bool:
        statuses = [
            status
            for pod in cluster_admin.list(OPERATORS_PODS)
            for status in pod["status"].get("containerStatuses", [])
        ]
        return any(status["restartCount"] for status in statuses)

    wait_for(crashes, what="the operator to crash", timeout=60)

    chart.uninstall(installed)

    runs_on(running)


def test_uninstalling_with_an_image_that_cannot_be_pulled_fails_soon_and_works_without_hooks(
    running: Jobs, installed: ClusterHandle, cluster_admin: Client, kubectl: Kubectl
) -> None:
    broken = ["--reuse-values", "--set=image.repository=localhost:1/none", "--set=release.timeoutSeconds=10"]
    words = ("upgrade", chart.RELEASE, chart.CHART, f"--namespace={chart.NAMESPACE}", *broken)
    console.run([*chart.helm(installed), *words], log=chart.log_file(), timeout=60)

    with pytest.raises(HarnessError, match="job trainyard-release failed: DeadlineExceeded"):
        chart.uninstall(installed)
    assert cluster_admin.get(DEPLOYMENT), "nothing was removed"
    chart.uninstall(installed, hooks=False)
    assert [finalizers(pod) for pod in running.pods()] == [[FINALIZER]] * 3

    printed = release(kubectl, "--all-namespaces")

    assert "Released 3 objects.\n" in printed
    runs_on(running)
    assert left_of_the_release(cluster_admin) == ["jobs/trainyard-release"], "to be looked at"
    cluster_admin.delete(
        f"/apis/batch/v1/namespaces/{chart.NAMESPACE}/jobs/trainyard-release", propagationPolicy="Background"
    )
