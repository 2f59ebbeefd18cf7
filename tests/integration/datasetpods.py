"""The pods of Datasets, ended by a test as a kubelet would end them: there is none here.

Separate from the tests, which tell a Dataset's story in its words.
"""

from __future__ import annotations

from typing import Any

import orjson

from tests.harness.client import Json
from tests.objects import Jobs, found, manifest

LISTING = "a" * 64
DIGEST = "d" * 64
NOW = "2027-01-15T08:00:00Z"


def create(jobs: Jobs, name: str, **spec: Any) -> Json:
    """A Dataset in a bucket unless `spec` (camelCase) says otherwise."""
    source = {"uri": "s3://bucket/digits", "secretRef": {"name": "keys"}}
    body = {"type": "tabular", "format": "csv", "source": source, **spec}
    return jobs.client.post(jobs.path("datasets"), manifest("Dataset", name, body))


def status(jobs: Jobs, name: str) -> Json:
    return dict(jobs.client.get(jobs.path("datasets", name)).get("status") or {})


def reaches(jobs: Jobs, name: str, phase: str, reason: str, *, timeout: float = 30) -> Json:
    def there() -> Json | None:
        seen = status(jobs, name)
        return seen if (seen.get("phase"), seen.get("reason")) == (phase, reason) else None

    try:
        return dict(found(there, what=f"{name} to be {phase} {reason}", timeout=timeout))
    except Exception as error:
        raise AssertionError(f"{error}; its status is {status(jobs, name)}") from error


def pod(jobs: Jobs, name: str) -> Json:
    """The pod of this name once it is there."""
    where = f"/api/v1/namespaces/{jobs.namespace}/pods/{name}"
    return dict(found(lambda: jobs.client.find(where), what=f"pod {name}"))


def survey_ends(jobs: Jobs, name: str, *, listing: str = LISTING, **words: Any) -> None:
    told = {"listing": listing, "revision": "v1", "bytes": 1 << 20, "files": 3, **words}
    _ends(jobs, pod(jobs, name), init=(), main=told, code=int("error" in words))


def pull_ends(jobs: Jobs, name: str, *, valid: bool = True, error: str = "") -> None:
    """Pull, if there is one in it, and check."""
    body = pod(jobs, name)
    init = [{"sha256": DIGEST, "bytes": 1 << 20, "files": 3} for _ in body["spec"].get("initContainers", [])]
    _ends(jobs, body, init=init, main={"valid": valid, "error": error}, code=0)


def pulled(jobs: Jobs, name: str, *, listing: str = LISTING) -> Json:
    """A Dataset of this name, brought to Done; its status."""
    survey_ends(jobs, f"{name}-survey-0", listing=listing)
    pull_ends(jobs, f"{name}-pull-1")
    return reaches(jobs, name, "Done", "Completed")


def claims(jobs: Jobs) -> dict[str, Json]:
    base = f"/api/v1/namespaces/{jobs.namespace}/persistentvolumeclaims"
    return {one["metadata"]["name"]: one for one in jobs.client.list(base)}


def _ends(jobs: Jobs, body: Json, *, init: Any, main: Json, code: int) -> None:
    def terminated(container: Json, told: Json, exit_code: int) -> Json:
        state = {"exitCode": exit_code, "message": orjson.dumps(told).decode()}
        return {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {**state, "startedAt": NOW, "finishedAt": NOW}},
        }

    inits = body["spec"].get("initContainers", [])
    (container,) = body["spec"]["containers"]
    jobs.client.patch(
        f"/api/v1/namespaces/{jobs.namespace}/pods/{body['metadata']['name']}/status",
        {
            "status": {
                "phase": "Failed" if code else "Succeeded",
                "initContainerStatuses": [terminated(c, t, 0) for c, t in zip(inits, init, strict=True)],
                "containerStatuses": [terminated(container, main, code)],
            }
        },
    )
