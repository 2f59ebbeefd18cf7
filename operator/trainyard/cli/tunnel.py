"""HTTP to one port of a pod through the API server: a port-forward without a port on this machine.

Separate because it is two protocols and nothing of ours: Kubernetes' channels over a WebSocket (v4.channel.k8s.io), and
the part of HTTP/1.1 that `trainyard-agent share` and `receive` speak. Called by `download`, `push` and what they call.

NB: no port is opened here, as `kubectl port-forward` does, so that nobody else on this machine can read along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from trainyard.cli.errors import as_sentence
from trainyard.cli.exits import CommandError
from trainyard.cli.reading import printable
from trainyard.cluster import resources
from trainyard.cluster.client import Client

Json = dict[str, Any]

SILENCE_SECONDS = 60.0
_DATA, _ERROR = 0, 1
_MOST_HEAD = 64 << 10
_CHUNK = 256 << 10


class TunnelCut(Exception):
    """The connection ended too early; what was asked for can be asked for again."""


@dataclass(kw_only=True)
class Tunnel:
    """One connection, kept for several requests, and made anew after one that was not read to its end.

    `does` and `purpose` are for sentences: what the pod does, and what by forwarding ports is done.
    """

    client: Client
    namespace: str
    pod: str
    port: int
    token: str = ""
    does: str = "reads the output"
    purpose: str = "outputs are downloaded"
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _stream: _Stream | None = None
    _left: int = 0

    async def __aenter__(self) -> Tunnel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._stream, self._left = None, 0
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    def file(self, path: str, *, offset: int = 0) -> AsyncGenerator[bytes]:
        """A file of the job's folder, as `body`."""
        return self.body(f"/files/{quote(path)}", offset=offset)

    async def json(self, path: str) -> Json:
        """A JSON object. Raises as `body`, and CommandError with the server's sentence for a refusal."""
        found = orjson.loads(await self.whole(path))
        return found if isinstance(found, dict) else {}

    async def whole(self, path: str) -> bytes:
        """All bytes of an answer. Raises as `body`."""
        return b"".join([chunk async for chunk in self.body(path)])

    async def post(self, path: str, body: Sequence[bytes] = ()) -> Json:
        """Sends bytes; gives the JSON object that is answered. Raises as `body` and `json`."""
        found = orjson.loads(b"".join([chunk async for chunk in self._asked("POST", path, body=body)]))
        return found if isinstance(found, dict) else {}

    def body(self, path: str, *, offset: int = 0) -> AsyncGenerator[bytes]:
        """A file's bytes from `offset` on, as they come.

        Raises TunnelCut, also when nothing comes for a minute; CommandError for what trying again does not cure.
        """
        return self._asked("GET", path, offset=offset)

    async def _asked(
        self, method: str, path: str, *, offset: int = 0, body: Sequence[bytes] = ()
    ) -> AsyncGenerator[bytes]:
        stream = await self._ready()
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            *([f"Range: bytes={offset}-"] if offset else []),
            *([f"Authorization: Bearer {self.token}"] if self.token else []),
            *([f"Content-Length: {sum(map(len, body))}"] if method == "POST" else []),
        ]
        # NB: an answer that does not come to its end leaves the connection where no other request can use it.
        self._left = 1
        try:
            await stream.send("\r\n".join([*lines, "", ""]).encode("ascii"))
            for data in body:
                await stream.send(data)
            status, length = await stream.head()
            self._left = length
            if status >= 400 or (offset and status != 206):
                said = await stream.exactly(length)
                self._left = 0
                raise CommandError(_refusal(status, said, does=self.does))
            while self._left:
                chunk = await stream.some(self._left)
                self._left -= len(chunk)
                yield chunk
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise TunnelCut(str(error) or type(error).__name__) from error
        except TunnelCut:
            self._left = 1
            raise

    async def _ready(self) -> _Stream:
        if self._stream is not None and self._left:
            await self.close()
        if self._stream is None:
            path = resources.path("Pod", self.namespace, self.pod, "portforward")
            try:
                socket = await self._stack.enter_async_context(self.client.port_forward(path, self.port))
            except aiohttp.WSServerHandshakeError as error:
                if error.status in (401, 403):
                    raise CommandError(refused(self.namespace, self.purpose)) from None
                if error.status == 404:
                    raise CommandError(
                        f"The pod {self.pod}, which {self.does}, is gone: run the command again, it goes on where "
                        "it stopped."
                    ) from None
                raise TunnelCut(f"the API server answers {error.status}") from error
            except (aiohttp.ClientError, TimeoutError) as error:
                raise TunnelCut(str(error) or type(error).__name__) from error
            self._stream = _Stream(socket)
        return self._stream


class _Stream:
    """The bytes of channel 0."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._buffer = bytearray()
        self._opened: set[int] = set()

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            # NB: a connection that nobody takes anything from any more would hold it for ever.
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._socket.send_bytes(bytes([_DATA]) + data[start : start + _CHUNK])

    async def head(self) -> tuple[int, int]:
        """Status and Content-Length of an answer."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise TunnelCut("what answers in the pod is no HTTP server")
            await self._more()
        first, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        try:
            status = int(first.split()[1])
            pairs = (line.partition(":") for line in fields)
            length = next(value for name, _, value in pairs if name.lower() == "content-length")
            return status, int(length)
        except (IndexError, ValueError, StopIteration) as error:
            raise TunnelCut("what answers in the pod is no HTTP server") from error

    async def some(self, most: int) -> bytes:
        """At least one byte."""
        while not self._buffer:
            await self._more()
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    async def exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            await self._more()
        return await self.some(length) if length else b""

    async def _more(self) -> None:
        message = await self._socket.receive(timeout=SILENCE_SECONDS)
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            raise TunnelCut("the connection was closed")
        channel, data = message.data[0], message.data[1:]
        if channel not in self._opened:
            # NB: the first word of each channel is the number of the port.
            self._opened.add(channel)
            data = data[2:]
        if channel == _DATA:
            self._buffer += data
        elif channel == _ERROR and data:
            raise TunnelCut(printable(data.decode("utf-8", "replace").strip()))


def refused(namespace: str, purpose: str) -> str:
    return (
        f"You may not forward ports of pods in namespace {namespace}, by which {purpose}: ask an administrator for a "
        "Role with the verbs get and create on pods/portforward."
    )


def _refusal(status: int, said: bytes, *, does: str) -> str:
    try:
        found = orjson.loads(said)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("error"), str):
        return as_sentence(found["error"])
    return as_sentence(
        f"The pod that {does} refuses this ({status}): {said[:300].decode('utf-8', 'replace')}"
    )
