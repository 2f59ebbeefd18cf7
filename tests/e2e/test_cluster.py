"""The cluster does what the operator's tests take for granted: pods, logs, GPUs, volumes, names, audit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import kindcluster
from tests.harness.client import Client, Json, wait_for
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_LABELS, GPU_RESOURCE, GPU_TOLERATION

POD_SECONDS = 60


def a_pod(
    name: str,
    image: str,
    code: str,
    *,
    gpus: int = 0,
    tolerant: bool = True,
    claim: str | None = None,
    **spec: Any,
) -> Json:
    """A pod that runs Python as an ordinary user, with a claim's volume at /data."""
    container: Json = {"name": "main", "image": image, "command": ["python3", "-uc", code]}
    if gpus:
        container["resources"] = {"limits": {GPU_RESOURCE: str(gpus)}}
    if claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": True},
            "tolerations": [GPU_TOLERATION] if tolerant else [],
            "containers": [container],
            **spec,
        },
    }


def create(client: Client, namespace: str, pod: Json) -> None:
    # NB: a new namespace's service account comes a moment after it, and pods are refused until then.
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    wait_for(lambda: client.find(account), what="the service account")
    client.post(f"/api/v1/namespaces/{namespace}/pods", pod)


def run(client: Client, namespace: str, pod: Json) -> str:
    """What a pod prints until it has succeeded."""
    create(client, namespace, pod)
    path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"

    def ended() -> str | None:
        phase = client.get(path)["status"].get("phase")
        return str(phase) if phase in ("Succeeded", "Failed") else None

    phase = wait_for(ended, what=f"the end of {path}", timeout=POD_SECONDS)
    output = client.text(f"{path}/log")
    assert phase == "Succeeded", output
    return output


def test_a_pods_output_is_in_its_log(cluster_admin: Client, namespace: str, python_image: str) -> None:
    assert run(cluster_admin, namespace, a_pod("hello", python_image, "print('hello')")) == "hello\n"


def test_a_pod_that_tolerates_the_taint_gets_gpus(
    kind_cluster: ClusterHandle, cluster_admin: Client, namespace: str, python_image: str
) -> None:
    if not kind_cluster.made_by_us:
        pytest.skip("a user's nodes are never made to offer GPUs")
    pod = a_pod("gpu", python_image, "print('trained')", gpus=2, nodeSelector=GPU_LABELS)
    assert run(cluster_admin, namespace, pod) == "trained\n"


def test_a_pod_that_does_not_tolerate_the_taint_stays_pending(
    kind_cluster: ClusterHandle, cluster_admin: Client, namespace: str, python_image: str
) -> None:
    if not kind_cluster.made_by_us:
        pytest.skip("a user's nodes are never tainted")
    create(cluster_admin, namespace, a_pod("stuck", python_image, "pass", gpus=1, tolerant=False))
    path = f"/api/v1/namespaces/{namespace}/pods/stuck"

    def refusal() -> str:
        for condition in cluster_admin.get(path)["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition["message"])
        return ""

    assert "untolerated taint" in wait_for(refusal, what="the scheduler's refusal")
    assert cluster_admin.get(path)["status"]["phase"] == "Pending"


def test_an_ordinary_user_writes_to_a_volume_that_others_read(
    cluster_admin: Client, namespace: str, python_image: str
) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    cluster_admin.post(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim)

    write = a_pod("write", python_image, "open('/data/file', 'w').write('kept')", claim="data")
    read = a_pod("read", python_image, "print(open('/data/file').read())", claim="data")
    read["spec"]["securityContext"] |= {"runAsUser": 12345, "runAsGroup": 12345}
    run(cluster_admin, namespace, write)

    assert run(cluster_admin, namespace, read) == "kept\n"


SERVE = """
import http.server
http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)
"""

ASK = """
import time, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen("http://server.{namespace}.svc:8000/", timeout=1).status)
        break
    except OSError as error:
        reason = error
        time.sleep(0.2)
else:
    raise reason
"""


@pytest.mark.parametrize("headless", [False, True], ids=["by its Service", "by a headless Service"])
def test_a_pod_reaches_another(
    cluster_admin: Client, namespace: str, python_image: str, *, headless: bool
) -> None:
    spec: Json = {"selector": {"name": "server"}, "ports": [{"port": 8000}]}
    if headless:
        spec["clusterIP"] = "None"
    cluster_admin.post(
        f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "server"}, "spec": spec}
    )
    create(cluster_admin, namespace, a_pod("server", python_image, SERVE))

    asker = a_pod("asker", python_image, ASK.format(namespace=namespace))
    assert run(cluster_admin, namespace, asker) == "200\n"


def test_the_audit_log_tells_who_created_a_pod(
    kind_cluster: ClusterHandle, cluster_admin: Client, namespace: str, python_image: str
) -> None:
    if not kind_cluster.made_by_us:
        pytest.skip("a user's audit log is out of reach")
    create(cluster_admin, namespace, a_pod("seen", python_image, "pass"))

    def creations() -> list[str]:
        return [
            event["user"]["username"]
            for event in kindcluster.audit_events(kind_cluster)
            if event["verb"] == "create"
            and event["objectRef"].get("namespace") == namespace
            and event["objectRef"]["resource"] == "pods"
        ]

    assert wait_for(creations, what="the event") == ["kubernetes-admin"]
