"""The control plane of the harness is real, is found again, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.harness import cache, controlplane, kwok, processes, usercontext
from tests.harness.client import ApiError, Client, Json, wait_for
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.errors import HarnessError

pytestmark = pytest.mark.timeout(180)

OWNED = """
import sys, time
from tests.harness import controlplane, operator
with controlplane.running(sys.argv[1]) as plane:
    operator.install(plane)
    with operator.running(plane, name="operator"):
        print("up", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a cluster that only this test has."""
    unique = f"test-{uuid.uuid4().hex[:8]}"
    yield unique
    controlplane.down(unique)


def programs_of(name: str) -> set[str]:
    """The programs that run with the cluster's folder on their command line, by /proc and no pidfile."""
    needle = str(cache.cluster_folder(name)).encode() + b"/"
    found = set()
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                with open(f"/proc/{process}/cmdline", "rb") as file:
                    line = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if needle in line:
                found.add(os.path.basename(line.split(b"\0")[0].decode()))
    return found


def deletions(plane: ControlPlane, namespace: str, *, user: str) -> Counter[str]:
    """How often the user asked for the end of each pod of the namespace, by the audit log."""
    events = [json.loads(line) for line in plane.audit_log.read_text().split("\n")[:-1]]
    return Counter(
        event["objectRef"].get("name", "")
        for event in events
        if event["verb"] == "delete"
        and event["stage"] == "ResponseComplete"
        and event["user"]["username"] == user
        and event["objectRef"].get("namespace") == namespace
    )


def test_an_applied_object_is_read_back(admin: Client, namespace: str) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "colours", "namespace": namespace},
        "data": {"sky": "blue"},
    }
    applied = admin.apply(manifest)
    admin.apply(manifest | {"data": {"sky": "grey"}})

    read = admin.get(f"/api/v1/namespaces/{namespace}/configmaps/colours")
    assert read["data"] == {"sky": "grey"}
    assert read["metadata"]["uid"] == applied["metadata"]["uid"]
    assert read["metadata"]["resourceVersion"] != applied["metadata"]["resourceVersion"]


def test_a_user_without_roles_is_forbidden_and_with_one_is_not(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with control_plane.client("alice", groups=("readers",)) as alice:
        with pytest.raises(ApiError) as denied:
            alice.list(path)
        assert (denied.value.status, denied.value.reason) == (403, "Forbidden")
        assert 'User "alice"' in denied.value.message

        binding = {
            "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "readers"}],
        }
        admin.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)

        def allowed() -> bool:
            try:
                return isinstance(alice.list(path), list)
            except ApiError:
                return False

        # The authorizer hears of the binding by a watch.
        wait_for(allowed, what="the binding to work")


def test_metrics_are_text(admin: Client) -> None:
    assert "apiserver_flowcontrol_dispatched_requests_total" in admin.text("/metrics")


def test_a_healthy_control_plane_is_found_again(name: str) -> None:
    first = controlplane.up(name)
    before = {program: processes.find(first.layout.pidfile(program)) for program in first.config.programs}

    second = controlplane.up(name)

    after = {program: processes.find(second.layout.pidfile(program)) for program in second.config.programs}
    assert (second.url, after) == (first.url, before)


def test_one_that_is_configured_otherwise_is_replaced(name: str) -> None:
    first = controlplane.up(name)
    before = processes.find(first.layout.pidfile("kube-apiserver"))

    second = controlplane.up(name, ControlPlaneConfig(audit=True))

    assert processes.find(second.layout.pidfile("kube-apiserver")) != before
    with second.client() as client:
        client.get("/api/v1/namespaces/kube-system")
    wait_for(lambda: "namespaces/kube-system" in second.audit_log.read_text(), what="the audit log")


def test_a_control_plane_with_a_dead_program_is_replaced(name: str) -> None:
    first = controlplane.up(name)
    with first.client() as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": "left-over"}})
    dead = processes.find(first.layout.pidfile("etcd"))
    assert dead is not None
    dead.signal(signal.SIGKILL)

    second = controlplane.up(name)

    assert second.healthy()
    with second.client() as client:
        assert client.find("/api/v1/namespaces/left-over") is None


def test_stopping_leaves_no_process_and_no_folder(name: str) -> None:
    plane = controlplane.up(name, ControlPlaneConfig(controller_manager=True, scheduler=True))
    kwok.start(plane)
    wait_for(lambda: "kwok" in programs_of(name), what="KWOK to run")
    assert programs_of(name) == {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    }

    controlplane.down(name)

    assert programs_of(name) == set()
    assert not cache.cluster_folder(name).exists()
    controlplane.down(name)


def test_it_ends_with_its_operator_and_the_process_that_owns_it_even_if_that_is_killed(name: str) -> None:
    argv = [sys.executable, "-c", OWNED, name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=controlplane.REPOSITORY) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        programs = programs_of(name)
        assert {"etcd", "kube-apiserver"} <= programs
        assert any(program.startswith("python") for program in programs), "the operator"
        owner.kill()

    wait_for(lambda: not programs_of(name), what="the orphans to end", timeout=20)
    wait_for(lambda: not cache.cluster_folder(name).exists(), what="the folder to go", timeout=20)


def test_the_api_server_restarts_with_its_data(name: str) -> None:
    plane = controlplane.up(name)
    with plane.client() as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": "kept"}})

    plane.restart_program("kube-apiserver", grace=0)

    with plane.client() as client:
        assert client.get("/api/v1/namespaces/kept")["status"]["phase"] == "Active"


def test_a_deleted_fake_pod_ends_and_stays_until_its_finalizer_is_gone(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    kwok.start(control_plane)
    kwok.add_nodes(control_plane, 1, prefix="plain")
    pods = f"/api/v1/namespaces/{namespace}/pods"
    wait_for(lambda: admin.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"), what="an account")
    spec = {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "none"}]}
    admin.post(pods, {"metadata": {"name": "held", "finalizers": ["example.com/held"]}, "spec": spec})
    annotations = {
        "fake.trainyard.dev/run-for": "1h",
        "fake.trainyard.dev/exit-code-on-delete": "0",
        "fake.trainyard.dev/message-on-delete": "saved",
    }
    metadata = {"name": "saver", "finalizers": ["example.com/held"], "annotations": annotations}
    admin.post(pods, {"metadata": metadata, "spec": spec})
    for name in ("held", "saver"):
        wait_for(
            lambda name=name: admin.get(f"{pods}/{name}")["status"]["phase"] == "Running", what="it to run"
        )

        admin.delete(f"{pods}/{name}")

    def ended(name: str) -> Json:
        pod = admin.get(f"{pods}/{name}")
        over: bool = pod["status"]["phase"] in ("Failed", "Succeeded")
        return pod if over and pod["metadata"]["deletionGracePeriodSeconds"] == 0 else {}

    held, saver = (wait_for(lambda name=name: ended(name), what="it to end") for name in ("held", "saver"))
    assert held["status"]["phase"] == "Failed"
    assert held["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert saver["status"]["phase"] == "Succeeded"
    assert saver["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "saved"
    time.sleep(1)
    assert admin.get(f"{pods}/held")["metadata"]["resourceVersion"] == held["metadata"]["resourceVersion"]
    assert deletions(control_plane, namespace, user="kwok")["held"] <= 2, "KWOK must not insist"

    for name in ("held", "saver"):
        admin.patch(f"{pods}/{name}", {"metadata": {"finalizers": None}})
        wait_for(lambda name=name: admin.find(f"{pods}/{name}") is None, what="it to go")


def test_fake_pods_run_finish_and_leave_their_message(
    control_plane: ControlPlane, admin: Client, namespace: str
) -> None:
    kwok.start(control_plane)
    kwok.add_nodes(control_plane, 1, gpus=4, prefix="gpu")
    path = f"/api/v1/namespaces/{namespace}"
    wait_for(lambda: admin.find(f"{path}/serviceaccounts/default"), what="the service account")
    annotations = {
        "fake.trainyard.dev/run-for": "200ms",
        "fake.trainyard.dev/exit-code": "3",
        "fake.trainyard.dev/message": '{"status": "out of memory"}',
    }
    container = {"name": "trainer", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
    spec = {
        "restartPolicy": "Never",
        "containers": [container],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    admin.post(f"{path}/pods", {"metadata": {"name": "one", "annotations": annotations}, "spec": spec})

    def failed() -> Json:
        status: Json = admin.get(f"{path}/pods/one")["status"]
        return status if status["phase"] == "Failed" else {}

    (trainer,) = wait_for(failed, what="the pod to fail")["containerStatuses"]
    assert trainer["state"]["terminated"]["exitCode"] == 3
    assert trainer["state"]["terminated"]["message"] == '{"status": "out of memory"}'


def test_a_program_that_does_not_start_names_its_log_and_leaves_nothing_running(name: str) -> None:
    config = ControlPlaneConfig(flags={"kube-apiserver": ["--no-such-flag"]})
    with pytest.raises(HarnessError) as failed:
        controlplane.up(name, config)
    log = cache.cluster_folder(name) / "logs" / "kube-apiserver.log"
    assert str(log) in str(failed.value)
    assert "unknown flag: --no-such-flag" in log.read_text()
    assert programs_of(name) == set()


def test_a_context_of_the_users_is_found_and_is_not_ours(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.admin))
    handle = usercontext.find("harness-admin")
    assert (handle.context, handle.made_by_us) == ("harness-admin", False)
    with pytest.raises(HarnessError, match="has no context production; it has harness-admin"):
        usercontext.find("production")


def test_a_paused_api_server_answers_nobody_until_it_goes_on(name: str) -> None:
    plane = controlplane.up(name)
    with Client(plane.admin, timeout=0.5) as client:
        with plane.paused("kube-apiserver"), pytest.raises(ConnectionError):
            client.get("/api/v1/namespaces")
        assert client.get("/api/v1/namespaces/default")
