"""The operator is killed while real pods train: none is lost and none runs twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.harness import chart, kindcluster
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(600)

JOBS = 20
OPERATORS = f"/api/v1/namespaces/{chart.NAMESPACE}/pods"
TRAIN = """
import json, sys, time
for epoch in range(1, 4):
    print(json.dumps({"epoch": epoch, "max_epoch": 3, "status": "RUNNING", "kpi": {"loss": 1 / epoch}}))
    time.sleep(1)
open("/dev/termination-log", "w").write(json.dumps({"metrics": {"loss": 0.25}}))
"""


def test_killed_while_real_pods_train_each_job_runs_once(
    operator_installed: ClusterHandle, jobs: Jobs, python_image: str
) -> None:
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    spec: dict[str, Any] = {
        "image": python_image,
        "command": ["python3", "-uc", TRAIN],
        "action": "custom",
        "tolerations": [GPU_TOLERATION],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "template": {"spec": {"securityContext": {"runAsUser": 65532}}},
    }
    for number in range(JOBS):
        jobs.create(f"job-{number}", **spec)
        if number == JOBS // 2:
            found(lambda: jobs.pods(), what="the first pods", timeout=60)
            before = restarts(jobs)
            kindcluster.kill(operator_installed, "trainyard run")
    for number in range(JOBS):
        status = jobs.reaches(f"job-{number}", "Done", timeout=240)
        assert len(status["attempts"]) == 1
        assert {m["name"]: m["value"] for m in status["metrics"]}["loss"] == "0.25"
    assert restarts(jobs) > before, "it was really killed"
    wanted = Counter(f"job-{number}-0-0" for number in range(JOBS))
    assert created(operator_installed, jobs.namespace) == wanted
    found(
        lambda: not any(pod["metadata"].get("finalizers") for pod in jobs.pods()),
        what="the pods to be released",
        timeout=10,
    )


def restarts(jobs: Jobs) -> int:
    """How often the operator's container was started again."""
    pods = jobs.client.list(OPERATORS, labelSelector="app.kubernetes.io/name=trainyard")
    return sum(c["restartCount"] for pod in pods for c in pod["status"].get("containerStatuses", []))


def created(handle: ClusterHandle, namespace: str) -> Counter[str]:
    """Names of the pods that somebody has created in a namespace, by the audit log."""
    return Counter(
        event["objectRef"]["name"]
        for event in kindcluster.audit_events(handle)
        if (event["verb"], (event.get("objectRef") or {}).get("resource")) == ("create", "pods")
        and event["objectRef"].get("namespace") == namespace
        and not event["objectRef"].get("subresource")
        and event["responseStatus"]["code"] == 201
    )
