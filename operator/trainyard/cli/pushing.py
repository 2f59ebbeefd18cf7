"""Sending a dataset's files to the pod that takes them: what it has is not sent again, the rest goes several at a time.

Separate from `push`, which makes that pod: this is the protocol of `trainyard-agent receive` and nothing of Kubernetes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import orjson

from trainyard.cli import localfiles
from trainyard.cli.amounts import size_of
from trainyard.cli.exits import CommandError
from trainyard.cli.localfiles import LocalFile
from trainyard.cli.parallel import several
from trainyard.cli.transfers import Transfer
from trainyard.cli.tunnel import TunnelCut

Json = dict[str, Any]
_Answer = TypeVar("_Answer")

_PARALLEL = 4
_CUTS = 8
_PAUSE_SECONDS = 1.0
#: So many small files go in one request, or so many bytes as a part has.
_TOGETHER = 500
_REMOVED = 1000


class Receiver(Protocol):
    """The pod. Raises TunnelCut for what can be asked again, CommandError for what it refuses."""

    async def json(self, path: str) -> Json: ...

    async def post(self, path: str, body: Sequence[bytes] = ()) -> Json: ...

    async def whole(self, path: str) -> bytes: ...


Opened = Callable[[], AbstractAsyncContextManager[Receiver]]


class Occupied(Exception):
    """The volume holds other data, which is finished."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be published, and whether it is an archive whose files are meant."""

    files: Sequence[LocalFile]
    sha256: str
    unpack: bool = False

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass
class Pushed:
    """What was published, and how many bytes were there before."""

    published: Json
    there: int = 0


class _Part(NamedTuple):
    file: LocalFile
    offset: int
    length: int


async def push(wanted: Wanted, opened: Opened, view: Transfer) -> Pushed:
    """Brings all files and has them published.

    Raises Occupied; CommandError for what cannot be had, or is refused: then what has come stays there.
    """
    async with opened() as receiver:
        state = await _asked(partial(receiver.json, "/state"))
        if published := state.get("published"):
            if published["listing"] != wanted.sha256:
                raise Occupied
            for file in wanted.files:
                view.advance(file.size)
                view.finished()
            return Pushed(published=published, there=wanted.size)
        sending = _Sending(wanted=wanted, opened=opened, view=view, part=int(state["part"]))
        begun = await sending.agree(receiver, state)
        todo = [file for file in wanted.files if file.path not in sending.there]
        _refuse_too_much(wanted.size - sending.known, state, wanted)
        await sending.send(sending.requests(todo, begun))
        return Pushed(published=await sending.finish(receiver), there=sending.known)


@dataclass(kw_only=True)
class _Sending:
    wanted: Wanted
    opened: Opened
    view: Transfer
    part: int
    there: set[str] = field(default_factory=set)
    known: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)

    async def agree(self, receiver: Receiver, state: Json) -> dict[str, set[int]]:
        """Learns what is there, has removed what does not belong to it; gives the parts of large files."""
        named = {file.path: file for file in self.wanted.files}
        unwanted: list[str] = []
        for line in (await _asked(partial(receiver.whole, "/files"))).splitlines():
            said = orjson.loads(line)
            file = named.get(said["path"])
            if file is None:
                unwanted.append(said["path"])
            elif file.sha256 == said["sha256"]:
                self.there.add(file.path)
                self._know(file.size)
                self._is_whole(file)
        begun: dict[str, set[int]] = {}
        for said in state["growing"]:
            file = named.get(said["path"])
            if file is not None and file.sha256 == said["sha256"] and file.path not in self.there:
                begun[file.path] = set(said["done"])
                self._know(sum(self._length(file, number) for number in said["done"]))
            elif file is None or file.path not in self.there:
                unwanted.append(said["path"])
        for start in range(0, len(unwanted), _REMOVED):
            body = orjson.dumps({"paths": unwanted[start : start + _REMOVED]})
            await _asked(partial(receiver.post, "/remove", [body]))
        return begun

    def requests(self, files: Sequence[LocalFile], begun: dict[str, set[int]]) -> Iterator[list[_Part]]:
        """What goes together: small files until they fill a part, a part of a large one alone."""
        small = [file for file in files if file.size <= self.part]
        for file in files:
            if file.size > self.part:
                numbers = range(-(-file.size // self.part))
                missing = [number for number in numbers if number not in begun.get(file.path, ())]
                self.left[file.path] = len(missing)
                if not missing:
                    self._is_whole(file)
                for number in missing:
                    yield [_Part(file, number * self.part, self._length(file, number))]
        for batch in localfiles.batches(small, size=self.part, number=_TOGETHER):
            yield [_Part(file, 0, file.size) for file in batch]

    async def send(self, requests: Iterator[list[_Part]]) -> None:
        """Several at a time; the first failure ends all."""

        async def work() -> None:
            async with self.opened() as receiver:
                for parts in requests:
                    await self._send(receiver, parts)

        await several(_PARALLEL, work)

    async def finish(self, receiver: Receiver) -> Json:
        """What is published. Files that were damaged on the way are sent once more."""
        said = {
            "sha256": self.wanted.sha256,
            "bytes": self.wanted.size,
            "files": len(self.wanted.files),
            "unpack": self.wanted.unpack,
        }
        while True:
            answer = await _asked(partial(receiver.post, "/finish", [orjson.dumps(said)]))
            if broken := answer.get("broken"):
                again = [file for file in self.wanted.files if file.path in broken]
                for file in again:
                    self._again(file, broken[file.path])
                    self.view.advance(-file.size)
                await self.send(self.requests(again, {}))
            elif "sha256" in answer:
                return answer
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _send(self, receiver: Receiver, parts: list[_Part]) -> None:
        while parts:
            body = await asyncio.to_thread(_body, parts)
            problems: Json = (await _asked(partial(receiver.post, "/pieces", body)))["problems"]
            for one in parts:
                if one.file.path in problems:
                    self._again(one.file, problems[one.file.path])
                    continue
                self.view.advance(one.length)
                left = self.left[one.file.path] = self.left.get(one.file.path, 1) - 1
                if left == 0:
                    self._is_whole(one.file)
            parts = [one for one in parts if one.file.path in problems]

    def _know(self, size: int) -> None:
        self.known += size
        self.view.advance(size)

    def _is_whole(self, file: LocalFile) -> None:
        if file.path not in self.whole:
            self.whole.add(file.path)
            self.view.finished()

    def _again(self, file: LocalFile, why: str) -> None:
        self.wrong[file.path] = self.wrong.get(file.path, 0) + 1
        if self.wrong[file.path] > 1:
            raise CommandError(f"{file.path} did not arrive: {why}. Run the command again.")

    def _length(self, file: LocalFile, number: int) -> int:
        return min(self.part, file.size - number * self.part)


def _refuse_too_much(coming: int, state: Json, wanted: Wanted) -> None:
    if coming > state["free"]:
        raise CommandError(
            f"The volume has {size_of(state['free'])} of room and {size_of(coming)} of {size_of(wanted.size)} are to "
            "come: push it again with a larger --size."
        )


def _body(parts: Sequence[_Part]) -> list[bytes]:
    found: list[bytes] = []
    for file, offset, length in parts:
        try:
            data = localfiles.read(file, offset, length)
        except OSError as error:
            raise CommandError(f"{file.source} cannot be read: {error.strerror}.") from None
        said = {
            "path": file.path,
            "size": file.size,
            "sha256": file.sha256,
            "offset": offset,
            "length": length,
        }
        head = orjson.dumps(said)
        found += [len(head).to_bytes(4, "big") + head, data]
    return found


async def _asked(ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """The answer, when the connection holds at last."""
    cuts = 0
    while True:
        try:
            return await ask()
        except TunnelCut as cut:
            cuts += 1
            if cuts == _CUTS:
                raise CommandError(
                    f"The connection to the cluster is cut again and again ({cut}); run the command again, it goes on "
                    "where it stopped."
                ) from None
            await asyncio.sleep(_PAUSE_SECONDS)
