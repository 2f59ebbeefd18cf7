"""Sends what makes jobs: prepared requests on connections that are kept, at a rate or as fast as they are answered.

A process of its own (`python -m tests.bench.loader ORDER.json`), so that it shares no interpreter with what reads the
times. The requests of one job go one after the other on one connection. It writes when each job's first request was
sent, when the last of its requests was answered, and at the end the CPU that it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.bench import wire
from tests.bench.journal import Writer

NAME, UID, POD_UID, VERSION = "@NAME@", "@UID@", "@POD_UID@", "@VERSION@"
_LATER = (UID, POD_UID, VERSION)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with tokens: the job's name, and what the answers before it said.

    `keeps` are the fields of its answer (`uid`, `resourceVersion`) that later requests have tokens for.
    """

    method: str
    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    keeps: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be sent for the jobs `<prefix>-<number>` from `first` on; `rate` is jobs a second, None: no limit."""

    kubeconfig: str
    journal: str
    script: tuple[Request, ...]
    jobs: int
    prefix: str = "job"
    first: int = 0
    rate: float | None = None
    connections: int = 32

    def names(self) -> list[str]:
        return [f"{self.prefix}-{number:06d}" for number in range(self.first, self.first + self.jobs)]

    @classmethod
    def load(cls, path: Path) -> Order:
        raw = orjson.loads(path.read_bytes())
        return cls(**{**raw, "script": tuple(Request(**request) for request in raw["script"])})


class Prepared:
    """A request for one job, whole from the beginning where no answer is needed for it."""

    def __init__(self, request: Request, name: str) -> None:
        self.keeps = [(f'"{key}":"'.encode(), token.encode()) for key, token in request.keeps.items()]
        self._request = request
        self._path = request.path.replace(NAME, name)
        self._headers = "".join(f"{key}: {value}\r\n" for key, value in request.headers.items())
        self._body = request.body.replace(NAME, name).encode()
        later = any(token in request.path or token in request.body for token in _LATER)
        self._whole = None if later else self._with_head(self._body)

    def whole(self, known: dict[bytes, bytes]) -> bytes:
        if self._whole is not None:
            return self._whole
        body = self._body
        for token, value in known.items():
            body = body.replace(token, value)
        return self._with_head(body)

    def _with_head(self, body: bytes) -> bytes:
        return wire.head(self._request.method, self._path, headers=self._headers, length=len(body)) + body


def first_value(answer: bytes, key: bytes) -> bytes:
    """What stands behind the first `"key":"` of a JSON text."""
    start = answer.index(key) + len(key)
    return answer[start : answer.index(b'"', start)]


async def send(connection: wire.Connection, journal: Writer, name: str, script: Sequence[Prepared]) -> None:
    """All requests of one job; one that is refused ends it."""
    known: dict[bytes, bytes] = {}
    for number, request in enumerate(script):
        data = request.whole(known)
        sent = time.monotonic()
        status, answer = await connection.ask(data)
        answered = time.monotonic()
        if status >= 300:
            journal.add(answered, "refused", name, number, status, answer[:500].decode(errors="replace"))
            return
        if number == 0:
            journal.add(sent, "sent", name)
        for key, token in request.keeps:
            known[token] = first_value(answer, key)
    journal.add(time.monotonic(), "written", name)


async def run(order: Order) -> None:
    """Prepares everything, connects, and sends it."""
    journal = Writer(Path(order.journal))
    flushing = asyncio.create_task(journal.keep_flushing())
    target = wire.Target.of(Path(order.kubeconfig))
    waiting = iter([(name, [Prepared(one, name) for one in order.script]) for name in order.names()])
    count = min(order.connections, order.jobs)
    connections = await asyncio.gather(*(wire.Connection.open(target) for _ in range(count)))
    began = time.monotonic()
    sent = 0

    async def keep_sending(connection: wire.Connection) -> None:
        nonlocal sent
        for name, script in waiting:
            if order.rate is not None:
                due, sent = began + sent / order.rate, sent + 1
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await send(connection, journal, name, script)

    try:
        await asyncio.gather(*map(keep_sending, connections))
    finally:
        flushing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flushing
        journal.add(time.monotonic(), "cpu", "", time.process_time())
        journal.close()


def main(argv: list[Any]) -> None:
    asyncio.run(run(Order.load(Path(argv[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
