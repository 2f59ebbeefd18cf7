"""The watch of pods goes on after whatever ends it: at once where it has told something, else after a pause."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from trainyard.api import names
from trainyard.cluster.cache import POD, Cache
from trainyard.cluster.client import Client
from trainyard.reconcile.loop import Doorbell
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.references import References
from trainyard.reconcile.watches import Watcher

Json = dict[str, Any]
#: What the server answers: a status, lines of a watch or the body of a list.
Answer = tuple[int, list[Json]]


def a_pod(name: str, version: int) -> Json:
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_JOB_UID: "u", names.LABEL_JOB: "resnet"}
    owner = {"apiVersion": names.API_VERSION, "kind": "TrainingJob", "name": "resnet", "uid": "u"}
    metadata = {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels, "ownerReferences": [{**owner, "controller": True}]}}


@asynccontextmanager
async def watching(answer: Callable[[dict[str, str]], Answer]) -> AsyncIterator[tuple[Cache, list[str]]]:
    """A cache that is kept by the watch of a server that answers so, and the versions it was asked from."""
    asked: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        asked.append(request.query.get("resourceVersion", "list"))
        status, lines = answer(dict(request.query))
        if "watch" in request.query:
            return web.Response(
                status=status, body=b"".join(json.dumps(one).encode() + b"\n" for one in lines)
            )
        return web.json_response({"metadata": {"resourceVersion": "100"}, "items": lines}, status=status)

    app = web.Application()
    app.router.add_get("/api/v1/pods", respond)
    async with TestServer(app) as server:
        client, cache = Client(Configuration(host=str(server.make_url("/")))), Cache()
        doorbell = Doorbell(cache=cache, queue=KeyedQueue(), references=References())
        work = asyncio.create_task(Watcher(client, cache, doorbell, POD, namespace=None).run("1"))
        try:
            yield cache, asked
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await client.close()


async def test_a_watch_that_is_ended_again_and_again_goes_on_at_once_as_long_as_it_tells_something() -> None:
    """As the API server does in a burst, with whoever is slower than it."""

    def answer(query: dict[str, str]) -> Answer:
        version = int(query["resourceVersion"]) + 1
        return 200, [{"type": "ADDED", "object": a_pod(f"p-{version}", version)}]

    async with watching(answer) as (cache, asked):
        await asyncio.sleep(1)
    assert len(cache.keys(POD)) > 50
    assert asked[:3] == ["1", "2", "3"]


async def test_one_that_tells_nothing_is_asked_for_less_and_less_often() -> None:
    async with watching(lambda _: (200, [])) as (_, asked):
        await asyncio.sleep(1)
    assert 2 <= len(asked) <= 4


async def test_what_has_gone_while_it_could_not_go_on_is_forgotten_by_a_list() -> None:
    def answer(query: dict[str, str]) -> Answer:
        if "watch" not in query:
            return 200, [a_pod("stays", 3)]
        if query["resourceVersion"] == "1":
            found = [a_pod("stays", 3), a_pod("goes", 4)]
            return 200, [{"type": "ADDED", "object": pod} for pod in found]
        if query["resourceVersion"] == "4":
            return 410, []
        return 200, []

    async with watching(answer) as (cache, asked):
        async with asyncio.timeout(5):
            while "100" not in asked:  # noqa: ASYNC110  (the server says nothing when it is asked)
                await asyncio.sleep(0.01)
        assert asked[:4] == ["1", "4", "list", "100"]
        assert [key.name for key in cache.keys(POD)] == ["stays"]


async def test_an_object_that_nobody_thought_of_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ring = Doorbell.ring

    def fail_for_one(door: Doorbell, kind: str, event: str | None, raw: Json) -> None:
        if raw["metadata"]["name"] == "odd":
            raise KeyError("status")
        ring(door, kind, event, raw)

    monkeypatch.setattr(Doorbell, "ring", fail_for_one)

    def answer(query: dict[str, str]) -> Answer:
        if query["resourceVersion"] == "1":
            pods = [a_pod("odd", 2), a_pod("even", 3)]
            return 200, [{"type": "ADDED", "object": pod} for pod in pods]
        return 200, []

    async with watching(answer) as (cache, _):
        await asyncio.sleep(0.3)
        assert [key.name for key in cache.keys(POD)] == ["even"]
    assert "An event of Pod odd is passed over" in caplog.text
