"""Objects that tests on a cluster apply, and how they wait for what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tests.harness.client import Client, Json, wait_for

API = "trainyard.dev/v1alpha1"


class Jobs:
    """TrainingJobs, Datasets and pods of one namespace, through the harness's own client."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def create(self, name: str, *, run_for: str | None = "500ms", **spec: Any) -> Json:
        """POST a TrainingJob whose fake pod runs for a while (None: for ever); `spec` in camelCase."""
        annotations = {"fake.trainyard.dev/run-for": run_for} if run_for is not None else {}
        for key in ("exit_code", "message"):
            if key in spec:
                annotations[f"fake.trainyard.dev/{key.replace('_', '-')}"] = str(spec.pop(key))
        if not spec.keys() & {"image", "runtime", "architecture", "type"}:
            spec["image"] = "example.com/trainer:1"
        spec.setdefault("template", {"metadata": {"annotations": annotations}})
        return self.client.post(self.path("trainingjobs"), manifest("TrainingJob", name, spec))

    def path(self, plural: str, name: str | None = None) -> str:
        base = f"/apis/{API}/namespaces/{self.namespace}/{plural}"
        return f"{base}/{name}" if name else base

    def get(self, name: str) -> Json:
        return self.client.get(self.path("trainingjobs", name))

    def status(self, name: str) -> Json:
        return dict(self.get(name).get("status") or {})

    def reaches(self, name: str, phase: str, reason: str | None = None, *, timeout: float = 30) -> Json:
        """The status once it has this phase and reason; fails with what it is instead."""
        seen: list[Json] = [{}]

        def there() -> Json | None:
            status = seen[0] = self.status(name)
            right = status.get("phase") == phase and reason in (None, status.get("reason"))
            return status if right else None

        try:
            return dict(found(there, what=f"{name} to be {phase} {reason or ''}", timeout=timeout))
        except Exception as error:
            raise AssertionError(f"{error}; its status is {orjson.dumps(seen[0]).decode()}") from error

    def pods(self, job: str | None = None) -> list[Json]:
        query = {"labelSelector": f"trainyard.dev/job={job}"} if job else {}
        return self.client.list(f"/api/v1/namespaces/{self.namespace}/pods", **query)

    def events(self, name: str) -> list[str]:
        events = self.client.list(f"/api/v1/namespaces/{self.namespace}/events")
        return [e["reason"] for e in events if e["involvedObject"].get("name") == name]

    def announces(self, name: str, reason: str) -> None:
        """Wait for the Event, which follows the status that it speaks of."""
        found(lambda: reason in self.events(name), what=f"an Event {reason} of {name}", timeout=10)

    def delete(self, plural: str, name: str) -> None:
        self.client.delete(self.path(plural, name))


def manifest(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def bind_claim(jobs: Jobs, name: str) -> None:
    """A claim with a volume, as a provisioner would leave it.

    Called before its pod is there: a pod that the scheduler tries while its claim is being bound is sometimes
    not tried again for minutes.
    """
    volume = f"{jobs.namespace}-{name}"
    size = {"storage": "1Gi"}
    jobs.client.post(
        "/api/v1/persistentvolumes",
        {
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "hostPath": {"path": "/nowhere"},
                "storageClassName": volume,
            },
        },
    )
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims",
        {
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": size},
                "storageClassName": volume,
                "volumeName": volume,
            },
        },
    )
    claim = f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims/{name}"
    found(lambda: jobs.client.get(claim)["status"].get("phase") == "Bound", what=f"claim {name} to be bound")


def found(look: Callable[[], Any], *, what: str, timeout: float = 30) -> Any:
    """What `look` gives once it gives something."""
    return wait_for(look, what=what, timeout=timeout)


def keeps(stored: Any, sent: Any) -> bool:
    """Whether everything that was sent is in what is stored, which may have defaults besides."""
    if isinstance(sent, dict):
        return isinstance(stored, dict) and all(k in stored and keeps(stored[k], v) for k, v in sent.items())
    if isinstance(sent, list):
        return len(stored) == len(sent) and all(map(keeps, stored, sent))
    return bool(stored == sent)
