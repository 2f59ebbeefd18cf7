"""A TCP proxy in front of a store, which counts what is asked and sent, and gets in the way on request.

Separate because what a client pulls again after it was killed is seen only on the wire, the same way for every kind of
store. Requests are understood as HTTP, answers are passed on as they come. Called by tests of the puller and by the
comparison with rclone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request; `headers` by their names in lower case."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)


class Wiretap:
    """A proxy on loopback to a port of this machine.

    `rate` is the most that passes to clients, in bytes a second; `refusing` a status that answers every request instead
    of the server; `cutting` the bytes of answers after which a connection is broken off, each time anew.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.asked: list[Asked] = []
        self.sent = 0
        self.rate: float | None = None
        self.refusing: int | None = None
        self.cutting: int | None = None
        self.ready = threading.Event()
        self._free_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """Counts from 0 again."""
        self.asked, self.sent = [], 0

    def gets(self, containing: str = "") -> list[Asked]:
        """The GET requests whose target contains a text."""
        return [asked for asked in self.asked if asked.method == "GET" and containing in asked.target]

    async def serve(self) -> None:
        """Serves until it is stopped from another thread."""
        self._loop = asyncio.get_running_loop()
        # NB: a connection that is cut in the middle is what it is for.
        self._loop.set_exception_handler(lambda _, context: None)
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self._stopping.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        # Until they have gone.
        await asyncio.sleep(0.05)

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # NB: what is counted as sent is then what a client has taken, or nearly so.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CHUNK)
        with contextlib.suppress(OSError):
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
            self._open |= {writer, ours}
            answers = asyncio.create_task(self._answers(theirs, writer))
            with contextlib.suppress(OSError):
                await self._requests(reader, ours, writer)
                ours.write_eof()
                await answers
            answers.cancel()
            ours.transport.abort()
            self._open -= {writer, ours}
        writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, ours: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            method, target, _ = first.split(" ", 2)
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            self.asked.append(Asked(method=method, target=target, headers=headers))
            if self.refusing is not None:
                said = f"HTTP/1.1 {self.refusing} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                back.write(said.encode())
                await back.drain()
                back.close()
                return
            ours.write(head)
            left = int(headers.get("content-length") or 0)
            while left > 0:
                data = await reader.read(min(left, _CHUNK))
                if not data:
                    return
                left -= len(data)
                ours.write(data)
                await ours.drain()
            await ours.drain()

    async def _answers(self, theirs: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := await theirs.read(_CHUNK):
                if self.rate is not None:
                    now = time.monotonic()
                    self._free_at = max(now, self._free_at) + len(data) / self.rate
                    await asyncio.sleep(self._free_at - now)
                writer.write(data)
                await writer.drain()
                self.sent += len(data)
                passed += len(data)
                if self.cutting is not None and passed >= self.cutting:
                    break
        writer.close()


@contextmanager
def tapping(target: int) -> Iterator[Wiretap]:
    """A proxy to a port, until the end of the block."""
    tap = Wiretap(target)
    thread = threading.Thread(target=lambda: asyncio.run(tap.serve()), name="wiretap", daemon=True)
    thread.start()
    tap.ready.wait()
    try:
        yield tap
    finally:
        tap.stop()
        thread.join()
