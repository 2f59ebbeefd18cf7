"""What a watch makes of the lines that come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from trainyard.cluster.cache import POD
from trainyard.cluster.client import ApiError, Client, NotJsonError
from trainyard.cluster.watch import GoneError, Watch


def line(kind: str, version: int, **more: Any) -> bytes:
    pod = {"metadata": {"name": "p", "resourceVersion": str(version)}, **more}
    return json.dumps({"type": kind, "object": pod}).encode() + b"\n"


def error(code: int) -> bytes:
    status = {"kind": "Status", "code": code, "reason": "Expired", "message": "too old"}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


@asynccontextmanager
async def a_watch(*chunks: bytes, status: int = 200) -> AsyncIterator[tuple[Watch, list[dict[str, str]]]]:
    """A watch of what is sent in these chunks, and the queries that it asked with."""
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/team/pods", answer)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/"))))
        try:
            yield Watch(client, POD, namespace="team", version="5"), asked
        finally:
            await client.close()


async def told(watch: Watch) -> list[tuple[str, str]]:
    return [
        (event.type, event.raw["metadata"]["resourceVersion"])
        async for events in watch.events()
        for event in events
    ]


async def test_events_come_whole_however_their_bytes_are_cut() -> None:
    lines = line("ADDED", 6, note="\u00fc" * 9) + line("MODIFIED", 7) + line("DELETED", 8)
    for size in (1, 7, 100, len(lines)):
        chunks = [lines[start : start + size] for start in range(0, len(lines), size)]
        async with a_watch(*chunks) as (watch, _):
            assert await told(watch) == [("ADDED", "6"), ("MODIFIED", "7"), ("DELETED", "8")]
            assert watch.version == "8"


async def test_it_goes_on_from_the_last_event_or_bookmark() -> None:
    async with a_watch(line("ADDED", 6), line("BOOKMARK", 90)) as (watch, asked):
        assert await told(watch) == [("ADDED", "6")]
        await told(watch)
    assert [query["resourceVersion"] for query in asked] == ["5", "90"]
    assert asked[0]["labelSelector"] == "app.kubernetes.io/managed-by=trainyard,trainyard.dev/attempt"
    assert asked[0]["allowWatchBookmarks"] == "true"


async def test_half_a_line_before_the_cut_is_no_event_and_comes_again() -> None:
    async with a_watch(line("ADDED", 6), line("MODIFIED", 7)[:-9]) as (watch, _):
        assert await told(watch) == [("ADDED", "6")]
        assert watch.version == "6"


@pytest.mark.parametrize(("chunks", "status"), [((error(410),), 200), ((b"{}",), 410)])
async def test_a_version_that_is_too_old_is_told_apart(chunks: tuple[bytes, ...], status: int) -> None:
    async with a_watch(*chunks, status=status) as (watch, _):
        with pytest.raises(GoneError):
            await told(watch)


@pytest.mark.parametrize(
    ("last", "raised"), [(error(500), ApiError), (error(410), GoneError), (b"<html>\n", NotJsonError)]
)
async def test_what_came_before_an_error_is_told_also_when_both_come_at_once(
    last: bytes, raised: type[Exception]
) -> None:
    """The watch goes on after the last event that it has read: one that was not told would be lost."""
    seen: list[str] = []

    async def hear(watch: Watch) -> None:
        async for events in watch.events():
            seen.extend(event.raw["metadata"]["resourceVersion"] for event in events)

    async with a_watch(line("ADDED", 6) + line("MODIFIED", 7) + last + line("MODIFIED", 8)) as (watch, _):
        with pytest.raises(raised):
            await hear(watch)
    assert seen == ["6", "7"]
    assert watch.version == "7"


async def test_an_error_is_told_as_the_server_says_it() -> None:
    async with a_watch(error(500)) as (watch, _):
        with pytest.raises(ApiError) as cut:
            await told(watch)
    assert (cut.value.status, cut.value.message) == (500, "too old")


async def test_what_is_no_event_cuts_it_too() -> None:
    async with a_watch(b"<html>\n") as (watch, _):
        with pytest.raises(NotJsonError, match="<html>"):
            await told(watch)


async def test_a_sort_of_event_that_nobody_knows_is_passed_over() -> None:
    async with a_watch(line("RENAMED", 6), line("ADDED", 7)) as (watch, _):
        assert await told(watch) == [("ADDED", "7")]
