"""Refusals of a real API server, each by its name and over when it is lifted, and what looking into trouble costs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.harness import kwok
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.integration.test_cost import requests
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(240)

#: A node that no kubelet and no KWOK stands for: what is bound to it never starts.
DEAD = "dead-node"


@pytest.fixture
def watched(plane: ControlPlane, namespace: str) -> Iterator[Operator]:
    """An operator that serves this test's namespace only."""
    with operators.running(plane, name="watched", settings={"namespaces": [namespace]}) as operator:
        yield operator


@pytest.mark.usefixtures("watched")
def test_a_service_account_that_there_is_not_is_named_and_waited_for(jobs: Jobs) -> None:
    jobs.create("robotic", template={"spec": {"serviceAccountName": "robot"}})
    status = jobs.reaches("robotic", "Pending", "ServiceAccountNotFound")
    assert "kubectl create serviceaccount robot" in status["message"]
    jobs.announces("robotic", "ServiceAccountNotFound")
    path = f"/api/v1/namespaces/{jobs.namespace}/serviceaccounts"
    jobs.client.post(path, {"metadata": {"name": "robot"}})
    jobs.reaches("robotic", "Running", "Training", timeout=70)


@pytest.mark.usefixtures("watched")
def test_a_quota_that_asks_for_limits_says_where_to_set_them(jobs: Jobs) -> None:
    path = f"/api/v1/namespaces/{jobs.namespace}/resourcequotas"
    jobs.client.post(path, {"metadata": {"name": "memory"}, "spec": {"hard": {"limits.memory": "1Gi"}}})
    found(lambda: jobs.client.get(f"{path}/memory").get("status", {}).get("hard"), what="the quota")
    jobs.create("silent")
    status = jobs.reaches("silent", "Pending", "QuotaExceeded")
    assert "must specify limits.memory" in status["message"]
    assert "spec.resources" in status["message"]
    resources = {"spec": {"resources": {"limits": {"memory": "1Gi"}}}}
    jobs.client.patch(jobs.path("trainingjobs", "silent"), resources)
    jobs.reaches("silent", "Done", timeout=70)


@pytest.mark.usefixtures("watched")
def test_pod_security_says_what_to_change_and_lets_in_what_was_changed(jobs: Jobs) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    jobs.client.patch(f"/api/v1/namespaces/{jobs.namespace}", label)
    jobs.create("rooted", template={"spec": {"hostPID": True}})
    status = jobs.reaches("rooted", "Pending", "PolicyRefused")
    assert "hostPID=true" in status["message"]
    assert "Change what is named there in spec.template" in status["message"]
    jobs.announces("rooted", "PolicyRefused")
    run_briefly = {"metadata": {"annotations": {"fake.trainyard.dev/run-for": "200ms"}}}
    change = {"spec": {"template": {"spec": {"hostPID": None}, **run_briefly}}}
    jobs.client.patch(jobs.path("trainingjobs", "rooted"), change)
    jobs.reaches("rooted", "Done", timeout=70)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({"priorityClassName": "urgent"}, "spec.priorityClassName", id="a priority class"),
        pytest.param(
            {"template": {"spec": {"runtimeClassName": "sandboxed"}}},
            "spec.template.spec.runtimeClassName",
            id="a runtime class",
        ),
    ],
)
def test_a_class_that_there_is_not_is_refused_with_the_field_that_names_it(
    jobs: Jobs, fields: Json, named: str
) -> None:
    jobs.create("classy", **fields)
    status = jobs.reaches("classy", "Pending", "PolicyRefused")
    assert named in status["message"]


@pytest.mark.usefixtures("watched")
def test_what_no_node_has_is_named_and_taken_when_one_comes_that_has_it(
    plane: ControlPlane, jobs: Jobs
) -> None:
    jobs.create("huge", accelerator={"count": 2})
    status = jobs.reaches("huge", "Pending", "Unschedulable")
    assert "Not enough is left of nvidia.com/gpu on 2 of 2 nodes" in status["message"]
    jobs.announces("huge", "Unschedulable")
    kwok.add_nodes(plane, 1, gpus=2, prefix="gpu")
    jobs.reaches("huge", "Running", "Training")


@pytest.mark.usefixtures("watched")
def test_a_stuck_pod_costs_a_read_of_its_events_now_and_then_and_nothing_once_it_is_gone(
    plane: ControlPlane, jobs: Jobs
) -> None:
    kwok.stop(plane)
    try:
        before = requests(plane.audit_log, user=operators.USER)
        jobs.create("stuck", template={"spec": {"nodeName": DEAD, "tolerations": [{"operator": "Exists"}]}})
        (pod,) = found(jobs.pods, what="the pod")
        time.sleep(8)
        assert reads(plane, before) == {}, "nothing while it may only be slow"
        warn(jobs, pod, "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "absent" not found')
        status = jobs.reaches("stuck", "Pending", "SecretNotFound", timeout=20)
        assert "Secret absent" in status["message"]
        time.sleep(16)
        assert 1 <= reads(plane, before)["list", "events"] <= 3
        jobs.delete("trainingjobs", "stuck")
        # NB: the garbage collector looks for new kinds every 30 s only.
        found(lambda: not jobs.pods(), what="the pod to go", timeout=120)
        spent = reads(plane, before)
        time.sleep(16)
        assert reads(plane, before) == spent
    finally:
        kwok.start(plane)


def reads(plane: ControlPlane, before: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Reads of the operator's since then, besides its own lists of what it watches."""
    spent = requests(plane.audit_log, user=operators.USER) - before
    return Counter(
        {key: n for key, n in spent.items() if key[1] in ("events", "nodes") and key[0] in ("get", "list")}
    )


def warn(jobs: Jobs, pod: Json, reason: str, message: str) -> None:
    """A warning as a kubelet posts it."""
    metadata = pod["metadata"]
    about = {"kind": "Pod", "name": metadata["name"], "namespace": jobs.namespace, "uid": metadata["uid"]}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/events",
        {
            "metadata": {"name": f"{metadata['name']}.warning"},
            "involvedObject": {"apiVersion": "v1", **about},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        },
    )
