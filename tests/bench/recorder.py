"""Stands between an operator and the API server and keeps the writes that pass, byte by byte.

Separate because the contender `writes` must send exactly what the operator sends, and an audit log shows objects after
the API server has added its defaults. Called by `sample`. Both sides are TLS; nothing is changed on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.bench import wire
from tests.harness.controlplane import ControlPlane

_READ = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Write:
    """A request with a body."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Recording:
    """What has passed so far, and the kubeconfig that leads through here."""

    kubeconfig: Path
    writes: list[Write] = field(default_factory=list)


@contextmanager
def recording(plane: ControlPlane, user: str) -> Iterator[Recording]:
    """Until the end of the block, whoever uses `kubeconfig` is `user` and is recorded."""
    authority = plane.layout.authority
    serving = authority.server("bench-recorder", hosts=("127.0.0.1",))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(serving.certificate, serving.key)
    straight = plane.kubeconfig(user)
    through = Recording(kubeconfig=straight.with_name(f"{user}-recorded.kubeconfig"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="recorder")
    thread.start()
    try:
        accept = _Accept(wire.Target.of(straight), through.writes.append)
        starting = asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result(30)
        config = yaml.safe_load(straight.read_text(encoding="utf-8"))
        port = server.sockets[0].getsockname()[1]
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        through.kubeconfig.touch(mode=0o600)
        through.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield through
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Accept:
    def __init__(self, target: wire.Target, keep: Callable[[Write], None]) -> None:
        self._target = target
        self._keep = keep

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = self._target
        up_reader, up_writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)
        down = asyncio.create_task(_pump(up_reader, writer))
        try:
            await _requests(reader, up_writer, self._keep)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            down.cancel()
            up_writer.transport.abort()
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
        writer.close()


async def _requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: Callable[[Write], None]
) -> None:
    while True:
        raw = await reader.readuntil(b"\r\n\r\n")
        line, *lines = raw.decode().rstrip().split("\r\n")
        method, path, _ = line.split(" ", 2)
        headers = {
            key.strip().lower(): value.strip() for key, _, value in (one.partition(":") for one in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if body:
            keep(Write(method=method, path=path, headers=headers, body=body.decode()))
        writer.write(raw + body)
        await writer.drain()
