"""What a refused write keeps from being done, and what not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from trainyard.api import names
from trainyard.cluster.afterwards import Afterwards
from trainyard.cluster.cache import POD, Cache
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.podview import PodView

Json = dict[str, Any]

RAW = {
    "apiVersion": names.API_VERSION,
    "kind": "TrainingJob",
    "metadata": {"namespace": "team", "name": "resnet", "uid": "job-uid", "resourceVersion": "5"},
}


def a_pod(attempt: int, *, uid: str = "") -> Json:
    name = f"resnet-{attempt}-0"
    metadata = {"namespace": "team", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": "5"}
    return {"metadata": {**metadata, "finalizers": [names.VERDICT_FINALIZER]}}


@asynccontextmanager
async def a_server(
    answers: Mapping[str, tuple[int, Json]],
) -> AsyncIterator[tuple[Executor, Cache, list[str]]]:
    """One that gives these answers to `PATCH resnet-0-0` and the like, else 200, and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path.rpartition('/')[2]}")
        status, body = answers.get(asked[-1], (200, a_pod(0)))
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        client, cache = Client(Configuration(host=str(server.make_url("/")))), Cache()
        afterwards = Afterwards()
        try:
            yield Executor(client, cache, answered=cache.store, afterwards=afterwards), cache, asked
        finally:
            await client.close()


async def test_a_refused_release_keeps_no_other_one_no_deletion_and_no_event_from_being_done() -> None:
    pods = [PodView.from_raw(a_pod(attempt)) for attempt in range(3)]
    announce = Announcement(type="Normal", reason="Completed", message="Done.")
    plan = Plan(release=tuple(pods), delete=(pods[0], pods[1]), announce=(announce,))
    refused: Mapping[str, tuple[int, Json]] = {
        "PATCH resnet-0-0": (403, {}),
        "PATCH resnet-1-0": (500, {}),
        "DELETE resnet-0-0": (403, {}),
    }
    async with a_server(refused) as (executor, _, asked):
        outcome = await executor.execute(plan, RAW)
        assert asked == ["DELETE resnet-0-0", "DELETE resnet-1-0"], "nobody waits for the rest"
        await executor.afterwards.close(seconds=5)
    assert set(asked[2:]) == {"PATCH resnet-0-0", "PATCH resnet-1-0", "PATCH resnet-2-0", "POST events"}
    assert len(asked) == 6
    assert isinstance(outcome.failure, ApiError)
    assert outcome.failure.status == 403


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize(
    ("there", "held"),
    [
        pytest.param((200, a_pod(0)), True, id="the same pod: a policy or a conflict"),
        pytest.param((200, a_pod(0, uid="another")), False, id="another pod of its name"),
        pytest.param((404, {}), False, id="no pod"),
    ],
)
async def test_a_conflict_is_a_refusal_only_while_the_pod_is_there(
    there: tuple[int, Json], held: bool, status: int
) -> None:
    answers = {"PATCH resnet-0-0": (status, {}), "GET resnet-0-0": there}
    async with a_server(answers) as (executor, cache, _):
        cache.store(POD, a_pod(0))
        failure = await executor.release("team", kept(cache))
        assert bool(kept(cache)) is held
    assert (isinstance(failure, ApiError) and failure.status == status) is held


async def test_a_released_pod_that_is_gone_is_forgotten_without_a_word() -> None:
    async with a_server({"PATCH resnet-0-0": (404, {})}) as (executor, cache, asked):
        cache.store(POD, a_pod(0))
        assert await executor.release("team", kept(cache)) is None
        assert kept(cache) == []
    assert asked == ["PATCH resnet-0-0"]


async def test_annotations_labels_and_an_owner_are_one_write_that_leaves_other_owners() -> None:
    sent: list[Json] = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(await request.json())
        return web.json_response({**RAW, "metadata": {**RAW["metadata"], "resourceVersion": "6"}})

    app = web.Application()
    app.router.add_route("PATCH", "/{path:.*}", answer)
    theirs, ours = {"kind": "Workflow", "uid": "theirs"}, {"kind": "Experiment", "uid": "ours"}
    raw = {**RAW, "metadata": {**RAW["metadata"], "ownerReferences": [theirs]}}
    async with TestServer(app) as server:
        client, cache = Client(Configuration(host=str(server.make_url("/")))), Cache()
        executor = Executor(client, cache, answered=cache.store, afterwards=Afterwards())
        try:
            await executor.execute(Plan(annotate={"a": "b"}, label={"c": "d"}, own=ours), raw)
            await executor.execute(Plan(label={"c": "d"}), raw)
            await executor.execute(Plan(), raw)
        finally:
            await client.close()
    fence = {"resourceVersion": "5", "uid": "job-uid"}
    assert [one["metadata"] for one in sent] == [
        {**fence, "annotations": {"a": "b"}, "labels": {"c": "d"}, "ownerReferences": [theirs, ours]},
        {**fence, "labels": {"c": "d"}},
    ]


def kept(cache: Cache) -> list[PodView]:
    pod = cache.pod("team", "resnet-0-0")
    return [pod] if pod is not None else []
