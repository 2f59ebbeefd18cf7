"""Callbacks of jobs and their Secrets, as tests on a cluster make and await them."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager
from typing import Any

from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.objects import Jobs, found

KEY = b"an example key of 32 bytes, 1234"
SETTINGS = {
    "allowedCIDRs": ["127.0.0.0/8"],
    "firstRetrySeconds": 0.5,
    "longestRetrySeconds": 2,
    "secretPollSeconds": 0.5,
}


def starting(plane: ControlPlane, namespace: str, **callbacks: Any) -> AbstractContextManager[Operator]:
    """An operator of one namespace that may reach loopback addresses and tries again soon."""
    settings = {"namespaces": [namespace], "callbacks": {**SETTINGS, **callbacks}}
    return operators.running(plane, name=f"operator-{namespace}", settings=settings)


def make_secret(jobs: Jobs, name: str, *, label: str | None = "true", **data: bytes) -> str:
    labels = {"trainyard.dev/callback": label} if label is not None else {}
    jobs.client.post(
        f"/api/v1/namespaces/{jobs.namespace}/secrets",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": labels},
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        },
    )
    return name


def a_callback(url: str, *, name: str = "hook", **fields: Any) -> Json:
    return {"name": name, "url": url, **fields}


def told(jobs: Jobs, job: str, *, state: str = "Delivered", timeout: float = 30) -> Json:
    """The first entry of `status.callbacks` once it has this state."""

    def there() -> Json | None:
        entries = jobs.status(job).get("callbacks") or [{}]
        return entries[0] if entries[0].get("state") == state else None

    return dict(found(there, what=f"the callback of {job} to be {state}", timeout=timeout))


def tried(jobs: Jobs, job: str) -> Json:
    """The first entry of `status.callbacks` once a try has failed."""

    def there() -> Json | None:
        entries = jobs.status(job).get("callbacks") or [{}]
        return entries[0] if entries[0].get("attempts") else None

    entry = dict(found(there, what=f"a try of the callback of {job}"))
    assert entry["state"] == "Pending"
    return entry
