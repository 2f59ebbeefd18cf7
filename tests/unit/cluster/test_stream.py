"""How an open answer is read over TLS: in batches, without a wake-up for each record, and with little memory."""

from __future__ import annotations

import asyncio
import gc
import ssl
import tracemalloc
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from tests.harness import pki
from trainyard.cluster.client import Client


@asynccontextmanager
async def logs(folder: Path, *, lines: int, pause: float, then: float = 0.0) -> AsyncIterator[Client]:
    """The client of a server whose answers are so many lines, one after the other, and end a while after that."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(lines):
            await response.write(b"line %d\n" % number)
            await asyncio.sleep(pause)
        await asyncio.sleep(then)
        return response

    app = web.Application()
    app.router.add_get("/log", answer)
    authority = pki.Authority(folder)
    pair = authority.server("server", hosts=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    server = TestServer(app)
    await server.start_server(ssl=context)
    configuration = Configuration(host=str(server.make_url("/")))
    configuration.ssl_ca_cert = str(authority.pair.certificate)
    configuration.connection_pool_maxsize = 0
    client = Client(configuration)
    try:
        yield client
    finally:
        await client.close()
        await server.close()


async def test_lines_that_come_one_after_the_other_wait_in_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[SSLProtocol] = []
    update = SSLProtocol.buffer_updated

    def counted(protocol: SSLProtocol, count: int) -> None:
        received.append(protocol)
        update(protocol, count)

    async with (
        logs(tmp_path, lines=100, pause=0.01) as client,
        client.stream("/log", batch_seconds=0.2) as stream,
    ):
        whole = await stream.readany()
        monkeypatch.setattr(SSLProtocol, "buffer_updated", counted)
        reads = 0
        while portion := await stream.readany():
            whole, reads = whole + portion, reads + 1

    assert whole == b"".join(b"line %d\n" % number for number in range(100))
    assert reads < 20
    assert len(received) < 50, "each record was received by itself"


async def test_who_hurries_is_told_of_the_end_at_once(tmp_path: Path) -> None:
    async with (
        logs(tmp_path, lines=3, pause=0.05) as client,
        client.stream("/log", batch_seconds=30.0) as stream,
    ):
        for _ in range(2):
            await stream.readany()
        rest = asyncio.create_task(read_all(stream))
        await asyncio.sleep(0.5)
        assert not rest.done(), "it waits for a batch"
        stream.hurry()
        assert (await asyncio.wait_for(rest, 2)).endswith(b"line 2\n")


async def test_an_open_stream_holds_little_memory(tmp_path: Path) -> None:
    count = 20
    async with logs(tmp_path, lines=1, pause=0.0, then=60.0) as client, AsyncExitStack() as stack:
        for _ in range(2):
            await open_one(client, stack)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(count):
                await open_one(client, stack)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # Both ends are in this process. Without TLS's buffers, which are not Python's and are as large again.
    assert held / count / 2 < 64 * 1024


async def open_one(client: Client, stack: AsyncExitStack) -> None:
    stream = await stack.enter_async_context(client.stream("/log", batch_seconds=0.2))
    assert await stream.readany() == b"line 0\n"


async def read_all(stream: Any) -> bytes:
    whole = b""
    while portion := await stream.readany():
        whole += portion
    return whole
