"""What a look at a Dataset asks the API server for and does there: nothing that a job uses goes, also just after a
start, and what is refused is not asked for again at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tests.unit.planning.datasets import S3, World
from trainyard.api import names
from trainyard.cluster import lookups
from trainyard.cluster.afterwards import Afterwards
from trainyard.cluster.cache import DATASET, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import Client
from trainyard.cluster.execute import Executor
from trainyard.planning.datapods import DataRules
from trainyard.reconcile import datasetviews
from trainyard.reconcile.dataset import DatasetReconciler
from trainyard.reconcile.references import References

Json = dict[str, Any]

KEY = Key(DATASET, "team-a", "digits")
OLD = "data-old"


def a_dataset(status: Json, **metadata: Any) -> Json:
    named = {
        "name": "digits",
        "namespace": "team-a",
        "uid": "uid-1",
        "resourceVersion": "5",
        "generation": 1,
        "finalizers": [names.DATA_FINALIZER],
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": DATASET,
        "metadata": {**named, **metadata},
        "spec": S3,
        "status": status,
    }


def a_job(**status: Any) -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": TRAINING_JOB,
        "metadata": {"name": "job", "namespace": "team-a", "uid": "job-uid", "resourceVersion": "4"},
        "spec": {"suspend": True},
        "status": {"datasets": [{"name": "digits", "uri": f"pvc://{OLD}/data"}], **status},
    }


def a_claim(name: str) -> Json:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "3",
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            "ownerReferences": [{"uid": "uid-1", "name": "digits"}],
        }
    }


@asynccontextmanager
async def a_reconciler(
    raw: Json, *others: Json, refused: frozenset[str] = frozenset(), claims: bool = True
) -> AsyncIterator[tuple[DatasetReconciler, list[str]]]:
    """With these objects in the cache, of which none was looked at yet; and what the API server is asked."""
    asked: list[str] = []
    cache = Cache()

    async def answer(request: web.Request) -> web.Response:
        kind, _, name = request.path.partition("/namespaces/team-a/")[2].partition("/")
        asked.append(f"{request.method} {kind}{'/' if name else ''}{name}")
        if request.method in refused and kind == "persistentvolumeclaims":
            return web.json_response({"message": "exceeded quota: disks"}, status=403)
        if kind == "persistentvolumeclaims":
            return web.json_response(a_claim(name) if claims else {}, status=200 if claims else 404)
        known = cache.get(KEY)
        assert known is not None
        change = await request.json()
        version = str(int(known["metadata"]["resourceVersion"]) + 1)
        return web.json_response(
            {
                **known,
                "metadata": {**known["metadata"], **change.get("metadata", {}), "resourceVersion": version},
                "status": {**known["status"], **change.get("status", {})},
            }
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    for one in (raw, *others):
        cache.store(one["kind"], one)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/")).rstrip("/")))
        executor = Executor(client, cache, answered=cache.store, afterwards=Afterwards())
        try:
            yield (
                DatasetReconciler(
                    client=client,
                    cache=cache,
                    executor=executor,
                    references=References(),
                    rules=DataRules(),
                ),
                asked,
            )
        finally:
            await client.close()


def with_an_old_volume() -> Json:
    return {**World(spec=S3).pulled().status, "held": [{"claim": OLD}]}


@pytest.mark.parametrize(("job", "goes"), [({}, False), ({"completionTime": "2026-01-01T00:00:00Z"}, True)])
async def test_just_after_a_start_a_volume_goes_only_when_no_job_uses_it(job: Json, goes: bool) -> None:
    async with a_reconciler(a_dataset(with_an_old_volume()), a_job(**job)) as (reconciler, asked):
        await reconciler.reconcile(KEY)
    assert (f"DELETE persistentvolumeclaims/{OLD}" in asked) is goes


@pytest.mark.parametrize(("job", "goes"), [({}, False), ({"completionTime": "2026-01-01T00:00:00Z"}, True)])
async def test_just_after_a_start_a_deleted_one_goes_only_when_no_job_uses_it(job: Json, goes: bool) -> None:
    raw = a_dataset(with_an_old_volume(), deletionTimestamp="2026-01-01T00:00:00Z")
    async with a_reconciler(raw, a_job(**job)) as (reconciler, asked):
        await reconciler.reconcile(KEY)
    assert ("PATCH datasets/digits" in asked) is goes


async def test_one_that_is_deleted_goes_though_its_claims_cannot_be_looked_at() -> None:
    raw = a_dataset(World(spec=S3).pulled().status, deletionTimestamp="2026-01-01T00:00:00Z")
    async with a_reconciler(raw, refused=frozenset({"GET"})) as (reconciler, asked):
        await reconciler.reconcile(KEY)
    assert "PATCH datasets/digits" in asked


async def test_a_volume_that_is_refused_is_told_and_not_asked_for_at_once_again() -> None:
    world = World(spec=S3)
    world.settle()
    world.survey_ends()
    raw = a_dataset(world.status)
    async with a_reconciler(raw, refused=frozenset({"POST"}), claims=False) as (reconciler, asked):
        waits = [await reconciler.reconcile(KEY) or 0.0 for _ in range(6)]
    assert waits[0] == 0
    assert min(waits[1:]) >= 5
    assert asked.count("PATCH datasets/digits/status") == 1


async def test_what_an_edit_has_made_of_a_dataset_is_not_known_before_it_was_looked_at() -> None:
    status = World(spec=S3).pulled().status
    assert datasetviews.view(a_dataset(status)).available
    assert not datasetviews.view(a_dataset(status, generation=2)).available
    failed = {**status, "conditions": [{"type": "Stalled", "status": "True"}]}
    assert datasetviews.view(a_dataset(failed)).failed
    assert not datasetviews.view(a_dataset(failed, generation=2)).failed


async def test_a_long_last_line_is_read_whole_though_it_lies_in_many_records() -> None:
    """NB: the kubelet counts the records of 16 KiB into which the container runtime cuts a line."""
    line = '{"check":"' + "x" * (200 << 10) + '"}'
    cut = [line[at : at + (16 << 10)] for at in range(0, len(line), 16 << 10)]
    records = ["first\n", "second\n", *cut[:-1], f"{cut[-1]}\n"]

    async def answer(request: web.Request) -> web.Response:
        told = "".join(records[-int(request.query["tailLines"]) :])
        return web.Response(text=told[: int(request.query["limitBytes"])])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/")).rstrip("/")))
        try:
            read = await lookups.last_line(client, namespace="team-a", pod="digits-pull-1", container="c")
        finally:
            await client.close()
    assert read == line
