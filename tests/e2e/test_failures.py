"""Every way that a real node or a real refusal keeps a job from training: told soon, by its own reason, with what to
do, and over by itself where its cause is lifted."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.kindnodes import GPU_TOLERATION
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(300)

#: From the first sign in the API on; here from the job's creation, which is sooner.
TOLD_SECONDS = 60
NOWHERE = "localhost:1/nothing/here:1"
FOREVER = "import time; time.sleep(3600)"
GREEDY = f"open('/tmp/x', 'wb').write(bytes(50_000_000)); {FOREVER}"


def volume(**source: Any) -> Json:
    """A template with a volume at /v."""
    trainer = {"name": "trainer", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    return {"volumes": [{"name": "v", **source}], "containers": [trainer]}


def from_key(kind: str, name: str) -> list[Json]:
    return [{"name": "A", "valueFrom": {kind: {"name": name, "key": "key"}}}]


#: By the job's name: fields of its spec (`template` is of its pods), phase, reason, and what its message says.
STUCK: dict[str, tuple[Json, str, str, str]] = {
    "no-program": ({"command": ["no-such-program"]}, "Error", "CommandNotFound", "spec.command"),
    "no-file": ({"command": ["/no/such/file"]}, "Error", "CommandNotFound", "/no/such/file"),
    "no-folder": (
        {"template": {"containers": [{"name": "trainer", "workingDir": "/etc/passwd"}]}, "backoffLimit": 0},
        "Error",
        "PodFailed",
        "could not be started on node",
    ),
    "no-format": (
        {
            "command": ["/v/program"],
            "template": volume(configMap={"name": "there", "defaultMode": 0o755}),
        },
        "Error",
        "CommandNotFound",
        "exec format error",
    ),
    "greedy": (
        {
            "command": ["python3", "-uc", GREEDY],
            "resources": {"limits": {"ephemeral-storage": "10Mi"}},
            "backoffLimit": 0,
        },
        "Error",
        "PodFailed",
        "evicted for what it used itself",
    ),
    "no-image": ({"image": NOWHERE}, "Pending", "ImagePullFailed", "cannot reach the registry"),
    "never-pulled": (
        {"image": NOWHERE, "template": {"containers": [{"name": "trainer", "imagePullPolicy": "Never"}]}},
        "Pending",
        "ImagePullFailed",
        "imagePullPolicy",
    ),
    "bad-image": ({"image": "UPPER/case:1"}, "Error", "InvalidSpec", "no registry can serve"),
    "no-gpus": ({"accelerator": {"count": 99}}, "Pending", "Unschedulable", "is left of nvidia.com/gpu on "),
    "no-claim": (
        {"output": {"claimName": "absent"}},
        "Pending",
        "ClaimNotFound",
        "PersistentVolumeClaim absent",
    ),
    "unbound": (
        {"output": {"claimName": "unbound"}},
        "Pending",
        "VolumeMountFailed",
        "kubectl describe pvc unbound",
    ),
    "no-secret": ({"env": from_key("secretKeyRef", "absent")}, "Pending", "SecretNotFound", "Secret absent"),
    "no-key": ({"env": from_key("secretKeyRef", "there")}, "Pending", "SecretNotFound", "Add the key key"),
    "no-config": (
        {"env": from_key("configMapKeyRef", "absent")},
        "Pending",
        "ConfigMapNotFound",
        "ConfigMap absent",
    ),
    "no-secret-volume": (
        {"template": volume(secret={"secretName": "absent"})},
        "Pending",
        "SecretNotFound",
        "Create the Secret absent",
    ),
    "no-config-volume": (
        {"template": volume(configMap={"name": "absent"})},
        "Pending",
        "ConfigMapNotFound",
        "Create the ConfigMap absent",
    ),
    "no-host-path": (
        {"template": volume(hostPath={"path": "/no/such/folder", "type": "Directory"})},
        "Pending",
        "VolumeMountFailed",
        "hostPath type check failed",
    ),
    "no-sandbox": (
        {"resources": {"limits": {"memory": "1Mi"}}},
        "Pending",
        "Starting",
        "raise resources.limits.memory",
    ),
}


@dataclass(frozen=True)
class Stuck:
    """The jobs of STUCK, created all at once."""

    jobs: Jobs
    created_at: float


def own(jobs: Jobs, name: str, image: str, code: str = FOREVER, **spec: Any) -> None:
    """A job of an image with Python; `template` is laid over the PodSpec."""
    template = {"securityContext": {"runAsUser": 65532}, **spec.pop("template", {})}
    body = {
        "image": image,
        "command": ["python3", "-uc", code],
        "action": "custom",
        "tolerations": [GPU_TOLERATION],
        "template": {"spec": template},
        "gracePeriodSeconds": 2,
        **spec,
    }
    jobs.client.post(jobs.path("trainingjobs"), manifest("TrainingJob", name, body))


@pytest.fixture(scope="module")
def stuck(operator_installed: ClusterHandle, python_image: str) -> Iterator[Stuck]:
    namespace = f"e2e-{uuid.uuid4().hex[:8]}"
    with Client(operator_installed.kubeconfig, context=operator_installed.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        jobs = Jobs(client, namespace)
        size = {"resources": {"requests": {"storage": "1Mi"}}, "accessModes": ["ReadWriteOnce"]}
        unbound = {"metadata": {"name": "unbound"}, "spec": {"storageClassName": "absent", **size}}
        client.post(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", unbound)
        there = {"metadata": {"name": "there"}, "stringData": {"other": "x"}}
        client.post(f"/api/v1/namespaces/{namespace}/secrets", there)
        program = {"metadata": {"name": "there"}, "data": {"program": "no program"}}
        client.post(f"/api/v1/namespaces/{namespace}/configmaps", program)
        created_at = time.monotonic()
        for name, (spec, *_) in STUCK.items():
            own(jobs, name, **{"image": python_image, **spec})
        yield Stuck(jobs, created_at)
        client.delete(f"/api/v1/namespaces/{namespace}")


@pytest.mark.parametrize("name", STUCK)
def test_it_is_told_within_a_minute_by_its_own_reason_with_what_to_do(stuck: Stuck, name: str) -> None:
    _, phase, reason, told = STUCK[name]
    left = stuck.created_at + TOLD_SECONDS - time.monotonic()

    def said() -> Json | None:
        status = stuck.jobs.status(name)
        right = (status.get("phase"), status.get("reason")) == (phase, reason)
        return status if right and told in status["message"] else None

    try:
        status = found(said, what=f"{reason}: {told}", timeout=max(left, 1))
    except Exception as error:
        raise AssertionError(f"{error}; its status is {stuck.jobs.status(name)}") from error
    if reason != "Starting":
        stuck.jobs.announces(name, reason)
    if reason == "CommandNotFound":
        assert [entry["number"] for entry in status["attempts"]] == [0], "another attempt would end the same"
        assert name == "no-format" or "startTime" not in status["attempts"][0]


def test_what_was_lacking_and_is_there_lets_the_job_train(stuck: Stuck) -> None:
    jobs = stuck.jobs
    lacking = ("no-secret", "no-secret-volume", "no-config", "no-config-volume", "no-claim")
    for name in lacking:
        _, phase, reason, _ = STUCK[name]
        jobs.reaches(name, phase, reason, timeout=TOLD_SECONDS)
    core = f"/api/v1/namespaces/{jobs.namespace}"
    jobs.client.post(f"{core}/secrets", {"metadata": {"name": "absent"}, "stringData": {"key": "x"}})
    jobs.client.post(f"{core}/configmaps", {"metadata": {"name": "absent"}, "data": {"key": "x"}})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    jobs.client.post(f"{core}/persistentvolumeclaims", {"metadata": {"name": "absent"}, "spec": claim})
    for name in lacking:
        # NB: the kubelet tries a mount again after at most two minutes.
        jobs.reaches(name, "Running", "Training", timeout=150)


@pytest.mark.parametrize(("name", "fields"), [("no-program", {"command": ["true"]}), ("bad-image", {})])
def test_what_never_ran_can_be_mended_and_tried_again(
    stuck: Stuck, python_image: str, name: str, fields: Json
) -> None:
    _, phase, reason, _ = STUCK[name]
    stuck.jobs.reaches(name, phase, reason, timeout=TOLD_SECONDS)
    stuck.jobs.client.patch(
        stuck.jobs.path("trainingjobs", name),
        {
            "metadata": {"annotations": {"trainyard.dev/retry-requested-at": "now"}},
            "spec": {"image": python_image, **fields},
        },
    )
    running = found(
        lambda: (s := stuck.jobs.status(name)).get("reason") in ("Training", "Completed") and s,
        what="it to run",
        timeout=TOLD_SECONDS,
    )
    assert running["attempts"][-1]["startTime"]


def test_a_pull_secret_that_there_is_not_is_named(jobs: Jobs) -> None:
    own(jobs, "private", NOWHERE, template={"imagePullSecrets": [{"name": "registry"}]})
    found(
        lambda: "imagePullSecrets name registry" in jobs.status("private").get("message", ""),
        what="the pull secret's name",
        timeout=TOLD_SECONDS,
    )
    assert jobs.status("private")["reason"] == "ImagePullFailed"


def test_an_exit_code_that_restart_on_leaves_out_ends_the_job(jobs: Jobs, python_image: str) -> None:
    codes = {"exitCodes": {"operator": "In", "values": [4]}}
    own(jobs, "final", python_image, "raise SystemExit(3)", restartOn=codes)
    own(jobs, "again", python_image, "raise SystemExit(4)", restartOn=codes)
    status = jobs.reaches("final", "Error", "TrainerFailed", timeout=TOLD_SECONDS)
    assert "spec.restartOn" in status["message"]
    jobs.reaches("again", "Pending", "BackingOff", timeout=TOLD_SECONDS)


def first_attempt(jobs: Jobs, name: str) -> Json:
    """The first entry of attempts once there is a second."""
    status = found(
        lambda: (s := jobs.status(name)) and len(s.get("attempts") or []) == 2 and s,
        what="another attempt",
        timeout=TOLD_SECONDS,
    )
    entry: Json = status["attempts"][0]
    return entry


def test_an_evicted_pod_is_replaced_and_counts_for_nothing(jobs: Jobs, python_image: str) -> None:
    own(jobs, "drained", python_image, backoffLimit=0)
    jobs.reaches("drained", "Running", "Training", timeout=TOLD_SECONDS)
    pod = f"/api/v1/namespaces/{jobs.namespace}/pods/drained-0-0"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "drained-0-0"}}
    jobs.client.post(f"{pod}/eviction", eviction)
    entry = first_attempt(jobs, "drained")
    assert (entry["reason"], entry["counted"]) == ("Evicted", False)
    assert "evicted from node" in entry["message"]
    jobs.reaches("drained", "Running", "Training", timeout=TOLD_SECONDS)
    jobs.announces("drained", "Evicted")
    assert "failures" not in jobs.status("drained")


def test_a_preempted_pod_waits_for_its_place_and_counts_for_nothing(
    operator_installed: ClusterHandle, jobs: Jobs, python_image: str
) -> None:
    if not operator_installed.made_by_us:
        pytest.skip("how many GPUs a cluster of yours has is not known")
    priority = f"urgent-{jobs.namespace}"
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    jobs.client.post(path, {"metadata": {"name": priority}, "value": 1000})
    try:
        every = {"accelerator": {"count": 4}, "backoffLimit": 0}
        own(jobs, "patient", python_image, **every)
        jobs.reaches("patient", "Running", "Training", timeout=TOLD_SECONDS)
        own(jobs, "urgent", python_image, **every, priorityClassName=priority)
        entry = first_attempt(jobs, "patient")
        assert (entry["reason"], entry["counted"]) == ("Preempted", False)
        jobs.reaches("urgent", "Running", "Training", timeout=TOLD_SECONDS)
        jobs.reaches("patient", "Pending", "Unschedulable", timeout=TOLD_SECONDS)
        jobs.delete("trainingjobs", "urgent")
        jobs.reaches("patient", "Running", "Training", timeout=TOLD_SECONDS)
        jobs.announces("patient", "Preempted")
    finally:
        jobs.client.delete(f"{path}/{priority}")
