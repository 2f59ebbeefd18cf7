"""HTTP/1.1 over TLS with nothing above it: what the loader and the observer speak to the API server.

Separate because both must cost far less than what they measure: no framework, no decoding, one copy of each byte.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class WireError(Exception):
    """The connection ended, or the answer is none."""


@dataclass(frozen=True)
class Target:
    """Where a kubeconfig of the harness leads, with a TLS context of its user."""

    host: str
    port: int
    tls: ssl.SSLContext

    @classmethod
    def of(cls, kubeconfig: Path) -> Target:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as file:
            file.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
            file.write(base64.b64decode(user["client-key-data"]))
            file.flush()
            tls.load_cert_chain(file.name)
        address = urlsplit(cluster["server"])
        assert address.hostname is not None
        assert address.port is not None
        return cls(host=address.hostname, port=address.port, tls=tls)


def head(method: str, path: str, *, headers: str = "", length: int | None = None) -> bytes:
    """The beginning of a request; `headers` are whole lines, each with its end."""
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: kubernetes\r\n{headers}{size}\r\n".encode()


class Connection(asyncio.Protocol):
    """A connection that is kept: one request at a time, its status and its body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, target: Target) -> Connection:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(cls, target.host, target.port, ssl=target.tls)
        return protocol

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Sends it now; the answer comes by the future. Raises WireError there when the connection ends."""
        if self._transport is None or self._transport.is_closing():
            raise WireError("the connection has ended")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WireError(f"the connection ended: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        found = whole_answer(self._buffer)
        if found is not None and self._answer is not None:
            self._buffer.clear()
            self._answer.set_result(found)


def whole_answer(data: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body, once all of it is there."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lower = bytes(data[:end]).lower()
    status, start = int(lower[9:12]), end + 4
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(lower[at + 17 :].split(b"\r\n", 1)[0])
        return (status, bytes(data[start : start + length])) if len(data) >= start + length else None
    if b"\r\ntransfer-encoding: chunked" not in lower:
        return status, b""
    if not data.endswith(b"0\r\n\r\n"):
        return None
    body, ended = Chunks().feed(bytes(data[start:]))
    return (status, b"".join(body)) if ended else None


class Chunks:
    """Takes the chunked encoding off bytes that come in any portions."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> tuple[list[bytes], bool]:
        """The chunks that are whole now, and whether the last one has come."""
        data = self._rest + data if self._rest else data
        chunks: list[bytes] = []
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:end].split(b";", 1)[0], 16)
            start = end + 2
            if len(data) < start + size + 2:
                break
            if size == 0:
                self._rest = b""
                return chunks, True
            chunks.append(data[start : start + size])
            at = start + size + 2
        self._rest = data[at:]
        return chunks, False


class Watch(asyncio.Protocol):
    """A watch: each line with the time at which its bytes were read."""

    def __init__(self, request: bytes, line: Callable[[float, bytes], None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._line = line
        self._chunks: Chunks | None = None
        self._head = b""
        self._rest = b""

    @classmethod
    async def open(cls, target: Target, path: str, line: Callable[[float, bytes], None]) -> Watch:
        """Returns once the server has said yes. Raises WireError when it says no."""
        loop = asyncio.get_running_loop()
        request = head("GET", path, headers="Accept: application/json\r\nUser-Agent: bench\r\n")
        _, watch = await loop.create_connection(
            lambda: cls(request, line), target.host, target.port, ssl=target.tls
        )
        await watch.opened
        return watch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(WireError(f"the watch ended: {exc}"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self.ended.done():
            return
        if self._chunks is None:
            self._head += data
            head, separator, data = self._head.partition(b"\r\n\r\n")
            if not separator:
                return
            if int(head[9:12]) != 200:
                self.opened.set_exception(WireError(self._head[:500].decode(errors="replace")))
                return
            self._chunks = Chunks()
            self.opened.set_result(None)
        chunks, ended = self._chunks.feed(data)
        for chunk in chunks:
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._line(now, line)
        if ended and not self.ended.done():
            self.ended.set_exception(WireError("the server ended the watch"))
