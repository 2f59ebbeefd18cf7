"""Resync is the net under the watches, and nothing tears it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import pytest
from kubernetes.aio import config

from trainyard.api import names
from trainyard.cluster import resources
from trainyard.cluster.cache import DATASET, POD, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.resync import KINDS, prime, resync_forever

Json = dict[str, Any]


def an_object(kind: str, name: str, *, version: int = 1, uid: str = "") -> Json:
    metadata = {
        "namespace": "team",
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    return {"kind": kind, "metadata": metadata, "status": {"seen": version}}


def a_pod(job: str, *, phase: str) -> Json:
    pod = an_object(POD, f"{job}-0-0")
    pod["metadata"] |= {"finalizers": [names.VERDICT_FINALIZER], "labels": {names.LABEL_JOB: job}}
    return {**pod, "status": {"phase": phase}}


class FakeClient:
    """A cluster of these objects; `fail` may raise at each list."""

    def __init__(self, *objects: Json, fail: Callable[[], None] = lambda: None) -> None:
        self._objects = objects
        self._fail = fail
        self.fetched: list[str] = []

    async def request(self, _: str, path: str, *, headers: Any, **__: Any) -> Json:
        self._fail()
        items = [o for o in self._objects if resources.path(o["kind"]) == path]
        if "PartialObjectMetadataList" in headers.get("Accept", ""):
            items = [{"metadata": o["metadata"]} for o in items]
        return {"metadata": {"resourceVersion": "5"}, "items": items}

    async def get(self, path: str) -> Json:
        self.fetched.append(path.rpartition("/")[2])
        for one in self._objects:
            if resources.path(one["kind"], "team", one["metadata"]["name"]) == path:
                if "gone" in one:
                    break
                return one
        raise ApiError(status=404, reason="NotFound", message=path)


ALWAYS_THERE = an_object(DATASET, "always-there")


async def resync(client: FakeClient, cache: Cache) -> set[Key]:
    """What is queued at the first turn that gets to its end."""
    queue, found = KeyedQueue(), set[Key]()
    last = Key(DATASET, "team", "always-there")
    cache.store(DATASET, ALWAYS_THERE)
    forever = resync_forever(cast(Client, client), cache, queue, namespaces=(None,), every=0.001)
    running = asyncio.create_task(forever)
    try:
        while last not in found:
            found.add(await asyncio.wait_for(queue.get(), 5))
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return found | {await queue.get() for _ in range(len(queue))} - {last}


def key(kind: str, name: str) -> Key:
    return Key(kind, "team", name)


async def test_what_waits_is_queued_first_and_what_has_ended_last_when_everything_is_known() -> None:
    ended = {"status": {"completionTime": "2026-11-21T10:00:00Z"}}
    client = FakeClient(
        an_object(DATASET, "data"),
        {**an_object(TRAINING_JOB, "ended"), **ended},
        an_object(TRAINING_JOB, "runs"),
        an_object(TRAINING_JOB, "judged-next"),
        an_object(TRAINING_JOB, "waits"),
        {**an_object(TRAINING_JOB, "ended-too"), **ended},
        a_pod("runs", phase="Running"),
        a_pod("judged-next", phase="Succeeded"),
    )
    cache, queue = Cache(), KeyedQueue()
    versions = await prime(cast(Client, client), cache, queue, namespaces=(None,))
    assert versions == {kind: {None: "5"} for kind in KINDS}
    assert cache.pod("team", "runs-0-0") is not None
    queued = [await queue.get() for _ in range(len(queue))]
    assert [one.name for one in queued] == ["data", "judged-next", "waits", "runs", "ended", "ended-too"]


async def test_a_list_that_fails_ends_the_others_and_the_collector_is_on_again() -> None:
    def fail() -> None:
        raise ApiError(status=500, reason="InternalError", message="etcd is away")

    cache, before = Cache(), asyncio.all_tasks()
    with pytest.raises(ApiError):
        await prime(cast(Client, FakeClient(fail=fail)), cache, KeyedQueue(), namespaces=(None, "team"))
    assert asyncio.all_tasks() == before
    assert gc.isenabled()


async def test_ghosts_are_forgotten_and_told() -> None:
    cache = Cache()
    for kind in (TRAINING_JOB, DATASET, POD):
        cache.store(kind, an_object(kind, "ghost"))
    queued = await resync(FakeClient(ALWAYS_THERE), cache)
    assert {key(TRAINING_JOB, "ghost"), key(DATASET, "ghost")} <= queued
    assert cache.get(key(TRAINING_JOB, "ghost")) is None
    assert cache.pod("team", "ghost") is None


async def test_what_no_watch_has_told_is_fetched_and_queued() -> None:
    cache = Cache()
    for name in ("same", "newer"):
        cache.store(TRAINING_JOB, an_object(TRAINING_JOB, name, version=7))
    cache.store(TRAINING_JOB, an_object(TRAINING_JOB, "again", version=7, uid="of-the-former"))
    client = FakeClient(
        ALWAYS_THERE,
        an_object(TRAINING_JOB, "same", version=7),
        an_object(TRAINING_JOB, "newer", version=8),
        an_object(TRAINING_JOB, "again", version=9),
        an_object(TRAINING_JOB, "unknown"),
        {**an_object(TRAINING_JOB, "short-lived"), "gone": True},
        an_object(POD, "unknown-0-0"),
    )
    queued = await resync(client, cache)
    assert sorted(client.fetched) == ["again", "newer", "short-lived", "unknown", "unknown-0-0"]
    assert {key(TRAINING_JOB, name) for name in ("same", "newer", "again", "unknown")} <= queued
    assert (cache.get(key(TRAINING_JOB, "newer")) or {})["status"] == {"seen": 8}
    assert cache.uid(key(TRAINING_JOB, "again")) == "uid-again"
    assert cache.pod("team", "unknown-0-0") is not None


async def test_a_turn_fetches_at_most_a_hundred() -> None:
    client = FakeClient(ALWAYS_THERE, *(an_object(POD, f"unknown-{n}-0") for n in range(250)))
    cache = Cache()
    for expected in (100, 200, 250, 250):
        await resync(client, cache)
        assert len(client.fetched) == expected


@pytest.mark.parametrize(
    ("failure", "level"),
    [
        pytest.param(
            ApiError(status=410, reason="Expired", message="too old"),
            logging.WARNING,
            id="a list that took too long",
        ),
        pytest.param(aiohttp.ClientError("cut"), logging.WARNING, id="a cut connection"),
        pytest.param(TimeoutError(), logging.WARNING, id="no answer"),
        pytest.param(config.ConfigException("exec: process returned 1"), logging.ERROR, id="no credentials"),
        pytest.param(KeyError("metadata"), logging.ERROR, id="a bug"),
    ],
)
async def test_no_failure_ends_it_and_the_known_is_looked_at_nevertheless(
    failure: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise failure

    cache = Cache()
    cache.store(TRAINING_JOB, an_object(TRAINING_JOB, "known"))
    client = FakeClient(fail=fail)
    assert key(TRAINING_JOB, "known") in await resync(client, cache)
    assert key(TRAINING_JOB, "known") in await resync(client, cache)
    assert {record.levelno for record in caplog.records} == {level}
    said = "" if level == logging.ERROR else f": {str(failure) or 'TimeoutError'}"
    assert {record.getMessage() for record in caplog.records} == {f"Resync of {kind}{said}" for kind in KINDS}


async def test_what_a_load_that_failed_has_left_is_not_kept_for_ever() -> None:
    def fail() -> None:
        raise ApiError(status=410, reason="Expired", message="too old")

    frozen = gc.get_freeze_count()
    with pytest.raises(ApiError):
        await prime(cast(Client, FakeClient(fail=fail)), Cache(), KeyedQueue(), namespaces=(None,))
    assert gc.get_freeze_count() == frozen
    assert gc.isenabled()
