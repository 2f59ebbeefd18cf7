"""A poisoned object ends in its own state and neither stops nor slows the others."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import operator as operators
from tests.harness.client import ApiError, Client, Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(240)

HEALTHY = 20
#: Control characters, right-to-left and zero-width ones, astral planes, combining marks, a byte order mark.
ODD = "\u202etxet\u202c \u200b\u200d\ufeff \U0001f9ea\U000e0041 e\u0301\u0301\u0301 \u0001\u0007\u001b[31m"
TEMPLATES = (
    "$(HOME) $$(HOME) ${HOME} `id` $(id) {{ .Values }} {% raw %} %s %(name)s {0} <%= 1 %> '; DROP TABLE"
)
KOPF = {
    "kopf.zalando.org/last-handled-configuration": "{not json",
    "kopf.zalando.org/touch-dummy": "yesterday",
    "kopf.zalando.org/trainingjob-doorbell": '{"started": 17, "retries": "many", "success": "perhaps"}',
    "kopf.zalando.org/KopfFinalizerMarker": ODD,
}


def poisoned() -> dict[str, Json]:
    """Objects that the API server takes and that are trouble all the same, by name."""
    image = {"image": "example.com/trainer:1", "backoffLimit": 0}
    strings = {
        "displayName": TEMPLATES,
        "description": ODD,
        "args": [TEMPLATES, ODD],
        "parameters": {TEMPLATES: TEMPLATES, ODD: [ODD, {"deep": TEMPLATES}]},
        "env": [{"name": "A", "value": TEMPLATES}, {"name": "B", "value": ODD}],
        "template": {"metadata": {"annotations": {**KOPF, "fake.trainyard.dev/run-for": "500ms"}}},
    }
    jobs: dict[str, Json] = {
        "megabyte": {**image, "parameters": {"table": "x" * 1_000_000}},
        "strings": {**image, **strings},
        "wide": {**image, "parameters": {str(n): n for n in range(20_000)}},
        "odd-template": {**image, "template": {"spec": {"containers": "none", "volumes": {"a": [1]}}}},
        "odd-affinity": {**image, "affinity": {"nodeAffinity": {"requiredDuringScheduling": 7}}},
    }
    return {name: manifest("TrainingJob", name, spec) for name, spec in jobs.items()}


def seconds_for_healthy(jobs: Jobs, prefix: str) -> float:
    """How long twenty jobs of half a second take from the first POST to the last Done."""
    begun = time.monotonic()
    for number in range(HEALTHY):
        jobs.create(f"{prefix}-{number}", run_for="500ms")
    for number in range(HEALTHY):
        jobs.reaches(f"{prefix}-{number}", "Done", timeout=60)
    return time.monotonic() - begun


def test_poisoned_objects_neither_stop_nor_slow_the_others(jobs: Jobs, operator: Operator) -> None:
    alone = seconds_for_healthy(jobs, "before")
    for name, body in poisoned().items():
        body["metadata"] |= {"namespace": jobs.namespace, "annotations": KOPF}
        jobs.client.apply(body)
        assert jobs.get(name)["metadata"]["annotations"] == KOPF
    beside = seconds_for_healthy(jobs, "beside")
    assert beside < 2 * alone + 2, f"{beside:.1f} s beside poisoned objects, {alone:.1f} s without"
    for name in ("megabyte", "wide"):
        status = jobs.reaches(name, "Error", "InvalidSpec")
        assert "at most 98304" in status["message"]
    jobs.reaches("odd-template", "Error", "InvalidSpec")
    status = jobs.reaches("odd-affinity", "Error", "InvalidSpec")
    assert "requiredDuringScheduling" in status["message"]
    jobs.reaches("strings", "Done")
    for name in poisoned():
        assert jobs.get(name)["metadata"]["annotations"] == KOPF, "nothing of ours is written there"


def test_strings_arrive_in_the_container_as_they_were_written(jobs: Jobs, operator: Operator) -> None:
    body = poisoned()["strings"]
    body["metadata"] |= {"namespace": jobs.namespace}
    jobs.client.apply(body)
    found(lambda: jobs.pods("strings"), what="the pod")
    (pod,) = jobs.pods("strings")
    env = {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}
    expanded = env["TRAINYARD_PARAMETERS"].replace("$$", "$")  # what the kubelet makes of it
    assert json.loads(expanded) == body["spec"]["parameters"]
    assert env["A"] == TEMPLATES, "a user's own variable is the user's to write"


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture
def _reads_any_depth() -> Iterator[None]:
    """The tests' own JSON stops where the interpreter does."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(12_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("_reads_any_depth")
@pytest.mark.parametrize("place", ["parameters", "template"])
@pytest.mark.parametrize("depth", [500, 1100, 5000])
def test_a_deep_object_ends_alone_and_stops_neither_the_operator_nor_its_next_start(
    depth: int, place: str, jobs: Jobs, operator: Operator, plane_with_nodes: ControlPlane
) -> None:
    deep = {"deep": nested(depth)}
    spec = {"image": "example.com/trainer:1", "backoffLimit": 0}
    spec |= {"parameters": deep} if place == "parameters" else {"template": {"spec": deep}}
    jobs.client.post(jobs.path("trainingjobs"), manifest("TrainingJob", "deep", spec))
    jobs.create("beside", run_for="200ms")
    jobs.reaches("beside", "Done")
    jobs.reaches("deep", "Error", "InvalidSpec")
    with operators.running(plane_with_nodes, name=f"second-{place}-{depth}"):
        jobs.create("after", run_for="200ms")
        jobs.reaches("after", "Done")
    assert operator.daemon.alive


def copy_of(pod: Json, name: str, *, owned: bool) -> Json:
    """As `kubectl debug --copy-to --keep-labels` makes one, or as one who edits the YAML does (`owned`)."""
    metadata = {key: pod["metadata"][key] for key in ("namespace", "labels")}
    if owned:
        metadata |= {key: pod["metadata"][key] for key in ("ownerReferences", "finalizers")}
    fake = {"fake.trainyard.dev/run-for": "200ms", "fake.trainyard.dev/exit-code": "3"}
    spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
    return {"metadata": {**metadata, "name": name, "annotations": fake}, "spec": spec}


def reaches_phase(client: Client, pod: str, phase: str) -> None:
    found(lambda: client.get(pod)["status"]["phase"] == phase, what=f"{pod} to be {phase}")


def goes(client: Client, pod: str) -> None:
    found(lambda: client.find(pod) is None, what=f"{pod} to go")


def test_a_copy_of_a_pod_decides_nothing_and_is_not_held(jobs: Jobs, operator: Operator) -> None:
    jobs.create("copied", run_for=None, backoffLimit=0)
    jobs.reaches("copied", "Running")
    pods = f"/api/v1/namespaces/{jobs.namespace}/pods"
    original = jobs.client.get(f"{pods}/copied-0-0")
    for name, owned in (("debug", False), ("copied-0-0-debug", True)):
        jobs.client.post(pods, copy_of(original, name, owned=owned))
    for name in ("debug", "copied-0-0-debug"):
        reaches_phase(jobs.client, f"{pods}/{name}", "Failed")
        jobs.client.delete(f"{pods}/{name}")
        goes(jobs.client, f"{pods}/{name}")
    time.sleep(2)
    status = jobs.status("copied")
    assert status["phase"] == "Running"
    assert [entry["number"] for entry in status["attempts"]] == [0]
    assert jobs.client.get(f"{pods}/copied-0-0")["metadata"]["finalizers"]


def test_a_pod_without_its_label_is_judged_when_it_ends(jobs: Jobs, operator: Operator) -> None:
    jobs.create("ends", run_for="6s")
    jobs.create("leaves", run_for=None)
    pods = f"/api/v1/namespaces/{jobs.namespace}/pods"
    for name in ("ends", "leaves"):
        jobs.reaches(name, "Running")
        jobs.client.patch(f"{pods}/{name}-0-0", {"metadata": {"labels": {"trainyard.dev/attempt": None}}})
    jobs.client.delete(f"{pods}/leaves-0-0")
    jobs.reaches("ends", "Done")
    found(lambda: not jobs.client.get(f"{pods}/ends-0-0")["metadata"].get("finalizers"), what="its release")
    goes(jobs.client, f"{pods}/leaves-0-0")
    found(lambda: jobs.client.find(f"{pods}/leaves-1-0"), what="attempt 1")
    jobs.delete("trainingjobs", "leaves")


@contextmanager
def no_finalizer_comes_off(client: Client, namespace: str) -> Iterator[None]:
    """A policy by which the finalizers of this namespace's pods may not be taken off."""
    base = "/apis/admissionregistration.k8s.io/v1"
    meta = {"name": f"keep-{namespace}"}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["UPDATE"]}
    expression = "!has(oldObject.metadata.finalizers) || has(object.metadata.finalizers)"
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": "Finalizers stay.", "reason": "Forbidden"}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "policyName": meta["name"],
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    client.post(f"{base}/validatingadmissionpolicies", {"metadata": meta, "spec": policy})
    client.post(f"{base}/validatingadmissionpolicybindings", {"metadata": meta, "spec": binding})
    try:
        yield
    finally:
        client.delete(f"{base}/validatingadmissionpolicybindings/{meta['name']}")
        client.delete(f"{base}/validatingadmissionpolicies/{meta['name']}")


def test_a_refused_release_is_tried_again_and_keeps_nothing_else_from_being_done(
    jobs: Jobs, operator: Operator
) -> None:
    jobs.create("lingers", run_for=None)
    jobs.reaches("lingers", "Running")
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/lingers-0-0"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ended = {"terminated": {"exitCode": 0, "startedAt": now, "finishedAt": now}}
    goes_on = {"running": {"startedAt": now}}
    containers = [
        {"name": name, "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": state}
        for name, state in (("trainer", ended), ("proxy", goes_on))
    ]
    release = {"metadata": {"finalizers": None}}
    with no_finalizer_comes_off(jobs.client, jobs.namespace):
        found(lambda: is_denied(jobs.client, path, release), what="the policy to be in force")
        status = {"phase": "Running", "containerStatuses": containers}
        jobs.client.patch(f"{path}/status", {"status": status})
        jobs.reaches("lingers", "Done")
        found(lambda: "Completed" in jobs.events("lingers"), what="the Event")
        leaving = found(
            lambda: (pod := jobs.client.get(path))["metadata"].get("deletionTimestamp") and pod,
            what="the pod to be deleted",
            timeout=90,
        )
        assert leaving["metadata"]["finalizers"], "the release is refused all the while"
    found(lambda: not is_denied(jobs.client, path, release), what="the policy to be lifted")
    # NB: a bell, since the operator's own next try may be minutes away by now.
    jobs.client.patch(jobs.path("trainingjobs", "lingers"), {"metadata": {"annotations": {"look": "again"}}})
    goes(jobs.client, path)


def is_denied(client: Client, path: str, change: Json) -> bool:
    try:
        client.patch(path, change, dryRun="All")
    except ApiError as error:
        return error.status == 403
    return False
