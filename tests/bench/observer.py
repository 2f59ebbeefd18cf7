"""Watches what becomes of jobs and writes when each thing was first seen: an eye of its own, beside all contenders.

A process of its own (`python -m tests.bench.observer ORDER.json`). It decodes nothing that it need not: pods are read
by byte search, and an object is decoded only where its bytes look like the end of a job. It writes `created`, `running`
and `ended` of a job's pod, and `done` or `failed` of the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.bench import wire
from tests.bench.journal import Writer
from tests.bench.jsonpath import JsonPath

_WATCH = "?watch=true&allowWatchBookmarks=false&timeoutSeconds=7200"
_VERSION = b'"resourceVersion":"'
_PHASE = b'"phase":"'
_SEEN_AS = {b"Running": "running", b"Succeeded": "ended", b"Failed": "ended"}


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How an object of the contender's says that its job is done, or failed: values at a JSONPath.

    `hints` are texts of which such an object contains one, so that others need not be decoded; none: decode all.
    """

    path: str
    done: tuple[str, ...]
    failed: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Order:
    """The collections to watch. `label` is the one by which pods name their job; without `objects` only pods are."""

    kubeconfig: str
    journal: str
    pods: str
    label: str
    objects: str | None = None
    ends: Ends | None = None

    @classmethod
    def load(cls, path: Path) -> Order:
        raw = orjson.loads(path.read_bytes())
        return cls(**{**raw, "ends": Ends(**raw["ends"]) if raw.get("ends") else None})


def pod_reader(label: str, journal: Writer) -> Callable[[float, bytes], None]:
    """Writes each job's `created`, `running` and `ended`, once."""
    key = f'"{label}":"'.encode()
    seen: set[tuple[str, str]] = set()

    def note(now: float, what: str, job: str) -> None:
        if (what, job) not in seen:
            seen.add((what, job))
            journal.add(now, what, job)

    def read(now: float, line: bytes) -> None:
        at = line.find(key)
        if at < 0:
            _refuse_errors(line)
            return
        job = line[at + len(key) : line.index(b'"', at + len(key))].decode()
        note(now, "created", job)
        # NB: the status is last, and its own phase is the only one in a pod that is not within a string.
        phase_at = line.rfind(_PHASE)
        what = _SEEN_AS.get(line[phase_at + len(_PHASE) : line.find(b'"', phase_at + len(_PHASE))])
        if phase_at >= 0 and what is not None:
            note(now, what, job)

    return read


def object_reader(ends: Ends, journal: Writer) -> Callable[[float, bytes], None]:
    """Writes each job's `done` or `failed`, once."""
    hints = [hint.encode() for hint in ends.hints]
    path, seen = JsonPath(ends.path), set[str]()

    def read(now: float, line: bytes) -> None:
        if hints and not any(hint in line for hint in hints):
            _refuse_errors(line)
            return
        thing = orjson.loads(line)["object"]
        values, name = path.values(thing), thing["metadata"]["name"]
        what = "failed" if any(value in ends.failed for value in values) else None
        what = "done" if any(value in ends.done for value in values) else what
        if what is not None and name not in seen:
            seen.add(name)
            journal.add(now, what, name)

    return read


def _refuse_errors(line: bytes) -> None:
    if line.startswith(b'{"type":"ERROR"'):
        raise wire.WireError(line.decode(errors="replace"))


class _Followed:
    """A collection whose watch goes on from its last event where the server ends it.

    NB: it does so to any client that reads more slowly, for an instant, than a burst of events comes.
    """

    def __init__(
        self, target: wire.Target, path: str, read: Callable[[float, bytes], None], journal: Writer
    ) -> None:
        self._target = target
        self._path = path + _WATCH
        self._read = read
        self._journal = journal
        self._last = b""
        self._watch: wire.Watch | None = None

    def _line(self, now: float, line: bytes) -> None:
        self._last = line
        self._read(now, line)

    async def open(self) -> None:
        start = f"&resourceVersion={version(self._last)}" if self._last else ""
        self._watch = await wire.Watch.open(self._target, self._path + start, self._line)

    async def keep_open(self) -> None:
        """Raises WireError when the server does not take the watch up again."""
        while self._watch is not None:
            with contextlib.suppress(wire.WireError):
                await self._watch.ended
            self._journal.add(time.monotonic(), "reopened", self._path)
            await self.open()


def version(line: bytes) -> str:
    """The resourceVersion of the object of an event: that of its metadata is the first."""
    start = line.index(_VERSION) + len(_VERSION)
    return line[start : line.index(b'"', start)].decode()


async def run(order: Order) -> None:
    """Watches until SIGTERM."""
    journal = Writer(Path(order.journal))
    target = wire.Target.of(Path(order.kubeconfig))
    stop = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set_result, None)
    followed = [_Followed(target, order.pods, pod_reader(order.label, journal), journal)]
    if order.objects is not None and order.ends is not None:
        followed.append(_Followed(target, order.objects, object_reader(order.ends, journal), journal))
    for one in followed:
        await one.open()
    journal.add(time.monotonic(), "watching", "")
    tasks = [asyncio.create_task(one.keep_open()) for one in followed]
    tasks.append(asyncio.create_task(journal.keep_flushing()))
    try:
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        journal.close()


def main(argv: list[Any]) -> None:
    asyncio.run(run(Order.load(Path(argv[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
