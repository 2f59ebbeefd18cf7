"""What a look at a model asks of the API server while the watch is late, and of a pod that is stuck."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from trainyard.api import names
from trainyard.cluster.afterwards import Afterwards
from trainyard.cluster.cache import MODEL, POD, TRAINING_JOB, Cache, Key
from trainyard.cluster.children import Children
from trainyard.cluster.client import Client
from trainyard.cluster.execute import Executor
from trainyard.planning.context import Context
from trainyard.planning.modelrules import ModelRules
from trainyard.reconcile.model import ModelReconciler
from trainyard.reconcile.references import References

Json = dict[str, Any]

KEY = Key(MODEL, "team", "digits")
SUCCESS = {"kind": "Status", "apiVersion": "v1", "status": "Success"}
ANOTHER = {
    "kind": "Status",
    "reason": "Conflict",
    "message": "Precondition failed: UID in precondition: a, b",
}


def a_model() -> Json:
    metadata = {
        "namespace": "team",
        "name": "digits",
        "uid": "model",
        "resourceVersion": "5",
        "generation": 1,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": MODEL,
        "metadata": metadata,
        "spec": {"type": "random_forest"},
    }


def a_job(number: int) -> Json:
    """One of the model's that has ended."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": MODEL,
        "name": "digits",
        "uid": "model",
        "controller": True,
    }
    metadata = {
        "namespace": "team",
        "name": f"digits-publish-{number}",
        "uid": f"job-{number}",
        "resourceVersion": "5",
        "labels": {names.LABEL_MODEL: "digits", names.LABEL_TASK: "publish"},
        "annotations": {names.TASK_NUMBER: str(number)},
        "ownerReferences": [owner],
    }
    status = {"phase": "Error", "completionTime": "2026-11-22T10:00:00Z"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": TRAINING_JOB,
        "metadata": metadata,
        "spec": {"action": "publish"},
        "status": status,
    }


def a_stuck_pod() -> Json:
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": MODEL,
        "name": "digits",
        "uid": "model",
        "controller": True,
    }
    metadata = {
        "namespace": "team",
        "name": "digits-record-1",
        "uid": "pod",
        "resourceVersion": "5",
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "labels": {
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_MODEL: "digits",
            names.LABEL_MODEL_UID: "model",
            names.LABEL_ATTEMPT: "1",
        },
        "ownerReferences": [owner],
    }
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T10:00:01Z"}
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node-a"},
        "status": {"phase": "Pending", "conditions": [scheduled]},
    }


@asynccontextmanager
async def looking(
    answer: Callable[[web.Request], tuple[int, Json]], *there: tuple[str, Json]
) -> AsyncIterator[tuple[ModelReconciler, Cache, list[str]]]:
    """A reconciler of a server that answers so, and whose watch says nothing; what it was asked."""
    asked: list[str] = []
    cache = Cache()
    for kind, raw in there:
        cache.store(kind, raw)

    async def answered(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path.rpartition('/')[2]}")
        if request.method == "PATCH":
            raw = cache.get(KEY) or {}
            status = {**(raw.get("status") or {}), **(await request.json())["status"]}
            metadata = {**raw["metadata"], "resourceVersion": str(5 + len(asked))}
            return web.json_response({**raw, "metadata": metadata, "status": status})
        status_code, body = answer(request)
        return web.json_response(body, status=status_code)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answered)
    async with TestServer(app) as server:
        client, afterwards = Client(Configuration(host=str(server.make_url("/")))), Afterwards()
        reconciler = ModelReconciler(
            client=client,
            cache=cache,
            executor=Executor(client, cache, answered=cache.store, afterwards=afterwards),
            children=Children(client, cache, made=cache.store),
            references=References(),
            rules=ModelRules(context=Context(catalog=())),
        )
        try:
            yield reconciler, cache, asked
        finally:
            await afterwards.close(seconds=5)
            await client.close()


def gone(request: web.Request) -> tuple[int, Json]:
    name = request.path.rpartition("/")[2]
    return 404, {"kind": "Status", "reason": "NotFound", "details": {"name": name}}


def deleting(request: web.Request) -> tuple[int, Json]:
    """As the API server answers where a finalizer holds a job: with the job."""
    raw = a_job(int(request.path.rpartition("-")[2]))
    raw["metadata"] |= {
        "resourceVersion": "9",
        "deletionTimestamp": "2026-11-22T11:00:00Z",
        "finalizers": ["example.com/held"],
    }
    return 200, raw


@pytest.mark.parametrize(
    ("answer", "stays", "returns"),
    [
        pytest.param(lambda _: (200, SUCCESS), False, False, id="they go at once"),
        pytest.param(deleting, True, True, id="somebody's finalizer holds them"),
        pytest.param(gone, False, True, id="they are gone"),
        pytest.param(lambda _: (409, ANOTHER), False, True, id="another's name"),
    ],
)
async def test_a_job_is_deleted_once_however_late_the_watch_tells_of_it(
    answer: Callable[[web.Request], tuple[int, Json]], stays: bool, returns: bool
) -> None:
    jobs = [(TRAINING_JOB, a_job(number)) for number in range(1, 6)]
    async with looking(answer, (MODEL, a_model()), *jobs) as (reconciler, cache, asked):
        for _ in range(5):
            await reconciler.reconcile(KEY)
        deleted = [one for one in asked if one.startswith("DELETE")]
        assert deleted == ["DELETE digits-publish-1", "DELETE digits-publish-2"]
        first = Key(TRAINING_JOB, "team", "digits-publish-1")
        assert (cache.get(first) is not None) == stays
        later = a_job(1)
        later["metadata"]["resourceVersion"] = "10"
        assert cache.store(TRAINING_JOB, later) == returns, "what is not gone for good may come back"


async def test_the_warnings_of_a_stuck_pod_are_read_and_their_absence_breaks_nothing() -> None:
    refused = False
    warning = {"reason": "FailedMount", "message": 'secret "bucket" not found'}

    def answer(_: web.Request) -> tuple[int, Json]:
        return (403, {}) if refused else (200, {"items": [warning]})

    model = a_model()
    version = {
        "number": 1,
        "time": "2026-11-22T10:00:00Z",
        "origin": "job",
        "uri": "s3://team/models/uid/attempt-0",
        "sha256": "1" * 64,
        "lineage": {},
    }
    model["status"] = {"versions": [version], "latestVersion": 1}
    async with looking(answer, (MODEL, model), (POD, a_stuck_pod())) as (reconciler, cache, asked):
        await reconciler.reconcile(KEY)
        assert "GET events" in asked
        status = (cache.get(KEY) or {})["status"]
        assert "Create the Secret bucket in this namespace" in status["message"]
        refused = True
        assert await reconciler.reconcile(KEY) is not None
        assert asked.count("GET events") == 2
        assert ((cache.get(KEY) or {})["status"])["message"] == status["message"]
