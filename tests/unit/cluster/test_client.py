"""What the client makes of answers and credentials that are none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from trainyard.cluster.client import ApiError, Client, CredentialsError, NotJsonError


@asynccontextmanager
async def a_client_of(*, status: int = 200, text: str = "{}") -> AsyncIterator[tuple[Client, Configuration]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/apis", answer)
    async with TestServer(app) as server:
        configuration = Configuration(host=str(server.make_url("/")))
        client = Client(configuration)
        try:
            yield client, configuration
        finally:
            await client.close()


@pytest.mark.parametrize("text", ["<html>Please log in</html>", "[]", '"yes"'])
async def test_an_answer_that_is_no_json_object_is_told_as_what_it_is(text: str) -> None:
    async with a_client_of(text=text) as (client, _):
        with pytest.raises(NotJsonError) as told:
            await client.get("/apis")
    assert str(told.value) == f"the answer to /apis is not a JSON object: {text!r}"
    assert isinstance(told.value, aiohttp.ClientError)


async def test_an_empty_answer_is_an_empty_object() -> None:
    async with a_client_of(text="") as (client, _):
        assert await client.get("/apis") == {}


async def test_an_answer_deeper_than_orjson_reads_is_read_as_far_as_the_interpreter_goes() -> None:
    async with a_client_of(text='{"items": ' + "[" * 5000 + "]" * 5000 + "}") as (client, _):
        with pytest.raises(NotJsonError):
            await client.get("/apis")
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(12_000)
        try:
            answer, depth = (await client.get("/apis"))["items"], 1
        finally:
            sys.setrecursionlimit(limit)
    while answer:
        (answer,), depth = answer, depth + 1
    assert depth == 5000


@pytest.mark.parametrize(
    "error",
    [config.ConfigException("exec: process returned 1"), FileNotFoundError("token")],
    ids=["a plugin that fails", "a token that is away"],
)
async def test_credentials_that_cannot_be_had_are_told_as_such(error: Exception) -> None:
    def refresh(_: Configuration) -> None:
        raise error

    async with a_client_of() as (client, configuration):
        configuration.api_key["BearerToken"] = "old"
        configuration.refresh_api_key_hook = refresh
        with pytest.raises(CredentialsError, match=f"there are no credentials: {error}"):
            await client.get("/apis")


@pytest.mark.parametrize(
    ("status", "expected"), [(403, False), (409, False), (429, True), (500, True), (503, True)]
)
async def test_which_refusals_pass(status: int, expected: bool) -> None:
    async with a_client_of(status=status, text="upstream") as (client, _):
        with pytest.raises(ApiError) as refused:
            await client.get("/apis")
    assert refused.value.passing is expected


@asynccontextmanager
async def a_log_of(portions: list[bytes], *, pause: float) -> AsyncIterator[Client]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for portion in portions:
            await response.write(portion)
            await asyncio.sleep(pause)
        return response

    app = web.Application()
    app.router.add_get("/log", answer)
    async with TestServer(app) as server:
        client = Client(Configuration(host=str(server.make_url("/"))))
        try:
            yield client
        finally:
            await client.close()


async def test_portions_that_come_one_after_the_other_are_read_in_batches_and_none_is_lost() -> None:
    portions = [b"line %d\n" % number for number in range(100)]
    async with a_log_of(portions, pause=0.01) as client:
        reads = []
        async with client.stream("/log", batch_seconds=0.2) as stream:
            while portion := await stream.readany():
                reads.append(portion)
    assert b"".join(reads) == b"".join(portions)
    assert len(reads) < 30


async def test_a_portion_on_its_own_is_read_at_once() -> None:
    async with a_log_of([b"one\n", b"two\n"], pause=0.5) as client:
        began = asyncio.get_running_loop().time()
        async with client.stream("/log", batch_seconds=0.2) as stream:
            assert await stream.readany() == b"one\n"
            assert await stream.readany() == b"two\n"
            assert asyncio.get_running_loop().time() - began < 0.5 + 0.15
