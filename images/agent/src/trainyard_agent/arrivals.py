"""Files of a pushed dataset as they arrive on its volume, in pieces and in any order, and what is there already.

Separate from `intake`, which speaks HTTP: this is what survives the pod. A file counts as arrived when it is whole and
its SHA-256 is the one that was promised; then a line of the journal says so. What a pod that was killed had received is
there for the next one. Nothing here is where jobs read: `publishing` moves it there at the end.

Large files come in parts of `PART` bytes, which may arrive in parallel; their digest grows in the background, so that
no request waits for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trainyard_agent.contents import Contents
from trainyard_agent.staging import boot
from trainyard_agent.volume import clear

#: Bytes of a part of a large file; what has no more than that comes in one piece.
PART = 8 << 20

_FILES, _PARTS, _JOURNAL = "files", "parts", "journal"
_CHECKERS = 2


class Arrived(NamedTuple):
    """A whole file."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a piece says of itself: of which file it is, and from where on."""

    path: str
    size: int
    sha256: str
    offset: int
    length: int

    @property
    def whole(self) -> bool:
        return self.size <= PART


@dataclass
class _Growing:
    """A large file of which parts are there."""

    path: str
    size: int
    sha256: str
    data: Path
    marks: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    digest: Any = field(default_factory=hashlib.sha256)
    following: int = 0

    @property
    def parts(self) -> int:
        return -(-self.size // PART)

    def done(self) -> list[int]:
        """The numbers of the parts that are there."""
        try:
            return [number for number, mark in enumerate(self.marks.read_bytes()) if mark]
        except FileNotFoundError:
            return []


class Arrivals:
    """The folder in which a dataset gathers. Methods may be called from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._growing: dict[str, _Growing] = {}
        self._broken: dict[str, str] = {}
        self._checking: set[Future[None]] = set()
        self._checkers = ThreadPoolExecutor(max_workers=_CHECKERS, thread_name_prefix="check")
        for name in (_FILES, _PARTS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._arrived, doubtful = self._kept()
        self._journal = (folder / _JOURNAL).open("ab", buffering=0)
        self._go_on()
        if doubtful:
            self._checking.add(self._checkers.submit(self._read_again, doubtful))

    @property
    def files(self) -> Path:
        """The folder with the whole files, which is to be published."""
        return self._folder / _FILES

    def arrived(self) -> dict[str, Arrived]:
        """The whole files by their paths."""
        with self._lock:
            return dict(self._arrived)

    def growing(self) -> list[dict[str, Any]]:
        """Large files of which parts are there."""
        with self._lock:
            found = list(self._growing.values())
        return [
            {"path": one.path, "size": one.size, "sha256": one.sha256, "done": one.done()} for one in found
        ]

    def take(self, piece: Piece, data: bytes) -> str | None:
        """Keeps a piece; says why not, where it is not what it was promised to be. Raises OSError for the volume."""
        with self._lock:
            # NB: what was sent a second time, as its answer was lost.
            if self._arrived.get(piece.path) == Arrived(piece.size, piece.sha256):
                return None
        if not piece.whole:
            growing = self._grown(piece)
            _write_at(growing.data, piece.offset, data)
            _write_at(growing.marks, piece.offset // PART, b"\1")
            self._check(growing)
            return None
        if hashlib.sha256(data).hexdigest() != piece.sha256:
            return "it has another SHA-256 here than there: it was changed, or damaged on the way"
        temporary = self._folder / _PARTS / f"{_key(piece.path, piece.sha256)}.whole"
        temporary.write_bytes(data)
        self._keep(piece.path, Arrived(piece.size, piece.sha256), temporary)
        return None

    def remove(self, paths: list[str]) -> None:
        """Forgets files that are not part of the dataset any more, whole or in parts."""
        for path in paths:
            with self._lock:
                known = self._arrived.pop(path, None)
                growing = [one for one in self._growing.values() if one.path == path]
                for one in growing:
                    del self._growing[_key(one.path, one.sha256)]
            for one in growing:
                with one.lock:
                    one.data.unlink(missing_ok=True)
                    one.marks.unlink(missing_ok=True)
                    _about(one).unlink(missing_ok=True)
            if known is not None:
                self._write({"path": path})
                target = self.files / path
                target.unlink(missing_ok=True)
                _prune(target.parent, self.files)

    def contents(self) -> Contents:
        """All whole files, for `publishing`."""
        found = Contents(self._folder / _PARTS)
        for path, one in self.arrived().items():
            found.add(path, size=one.size, sha256=one.sha256)
        return found

    def settle(self) -> dict[str, str]:
        """Waits for the digests of large files; gives those that were not what they were promised to be, once."""
        while True:
            with self._lock:
                pending = set(self._checking)
            if not pending:
                break
            for one in wait(pending).done:
                with self._lock:
                    self._checking.discard(one)
                one.result()
        with self._lock:
            broken, self._broken = self._broken, {}
        return broken

    def close(self) -> None:
        self._checkers.shutdown(wait=False, cancel_futures=True)
        self._journal.close()

    def _kept(self) -> tuple[dict[str, Arrived], list[str]]:
        """What the journal has and the volume too; the journal is written anew, without what has gone.

        Also which of it arrived before the machine was started again, or on another one: what had not reached the disk
        then may be lost, though files have their sizes.
        """
        found: dict[str, Arrived] = {}
        trusted: set[str] = set()
        now, same = boot(), False
        for said in _lines(self._folder / _JOURNAL):
            if "boot" in said:
                same = said["boot"] == now
            elif "sha256" in said:
                found[said["path"]] = Arrived(said["size"], said["sha256"])
                (trusted.add if same else trusted.discard)(said["path"])
            else:
                found.pop(said["path"], None)
        for folder, folders, files in os.walk(self.files, topdown=False):
            for name in files:
                here = Path(folder) / name
                relative = here.relative_to(self.files).as_posix()
                status = here.lstat()
                if (
                    relative not in found
                    or not stat.S_ISREG(status.st_mode)
                    or status.st_size != found[relative].size
                ):
                    here.unlink()
                    found.pop(relative, None)
            for name in folders:
                with contextlib.suppress(OSError):
                    (Path(folder) / name).rmdir()
        there = {path: one for path, one in found.items() if (self.files / path).is_file()}
        temporary = self._folder / f"{_JOURNAL}.new"
        doubtful = [path for path in there if path not in trusted]
        with temporary.open("wb") as out:
            for path in doubtful:
                out.write(_line(_said(path, there[path])))
            out.write(_line({"boot": now}))
            for path in there.keys() & trusted:
                out.write(_line(_said(path, there[path])))
        temporary.replace(self._folder / _JOURNAL)
        return there, doubtful

    def _read_again(self, paths: list[str]) -> None:
        """Forgets those of these files that are not what they were when they arrived."""
        for path in paths:
            with self._lock:
                arrived, target = self._arrived.get(path), self.files / path
            if arrived is None:
                continue
            try:
                with target.open("rb") as file:
                    right = hashlib.file_digest(file, "sha256").hexdigest() == arrived.sha256
            except FileNotFoundError:
                right = False
            with self._lock:
                # NB: it may have been removed meanwhile, or have come anew.
                if self._arrived.get(path) is not arrived:
                    continue
                if not right:
                    del self._arrived[path]
                    self._broken[path] = "it was damaged by a crash of the node"
                    target.unlink(missing_ok=True)
            self._write(_said(path, arrived) if right else {"path": path})

    def _go_on(self) -> None:
        """Finds large files that an earlier pod has begun."""
        folder = self._folder / _PARTS
        known: set[str] = set()
        for about in folder.glob("*.json"):
            said = next(_lines(about), None)
            if said is None or said.get("part") != PART or said["path"] in self._arrived:
                continue
            key = _key(said["path"], said["sha256"])
            growing = self._growing[key] = self._new(key, said["path"], said["size"], said["sha256"])
            known |= {growing.data.name, growing.marks.name, about.name}
            self._check(growing)
        for left in list(folder.iterdir()):
            if left.name not in known:
                clear(left)

    def _new(self, key: str, path: str, size: int, sha256: str) -> _Growing:
        folder = self._folder / _PARTS
        return _Growing(
            path=path, size=size, sha256=sha256, data=folder / f"{key}.data", marks=folder / f"{key}.marks"
        )

    def _grown(self, piece: Piece) -> _Growing:
        key = _key(piece.path, piece.sha256)
        with self._lock:
            if (found := self._growing.get(key)) is not None:
                return found
            growing = self._growing[key] = self._new(key, piece.path, piece.size, piece.sha256)
            growing.marks.write_bytes(bytes(growing.parts))
            said = {"path": piece.path, "size": piece.size, "sha256": piece.sha256, "part": PART}
            _about(growing).write_bytes(_line(said))
            return growing

    def _check(self, growing: _Growing) -> None:
        """Has the digest follow what is there, in the background."""
        with self._lock:
            self._checking = {one for one in self._checking if not one.done() or one.exception()}
            self._checking.add(self._checkers.submit(self._follow, growing))

    def _follow(self, growing: _Growing) -> None:
        with growing.lock:
            if growing.following == growing.parts or not growing.marks.exists():
                return
            marks = growing.marks.read_bytes().ljust(growing.parts, b"\0")
            if marks[growing.following] == 0:
                return
            with growing.data.open("rb") as data:
                while growing.following < growing.parts and marks[growing.following]:
                    data.seek(growing.following * PART)
                    growing.digest.update(data.read(PART))
                    growing.following += 1
            if growing.following == growing.parts:
                self._end(growing)

    def _end(self, growing: _Growing) -> None:
        with self._lock:
            self._growing.pop(_key(growing.path, growing.sha256), None)
        right = growing.data.stat().st_size == growing.size and growing.digest.hexdigest() == growing.sha256
        if right:
            self._keep(growing.path, Arrived(growing.size, growing.sha256), growing.data)
        else:
            with self._lock:
                self._broken[growing.path] = "it was changed while it was read, or damaged on the way"
        for left in (growing.data, growing.marks, _about(growing)):
            left.unlink(missing_ok=True)

    def _keep(self, path: str, arrived: Arrived, temporary: Path) -> None:
        target = self.files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
        with self._lock:
            self._arrived[path] = arrived
        self._write(_said(path, arrived))

    def _write(self, said: dict[str, Any]) -> None:
        # NB: one write each, so that the lines of several threads do not mix.
        self._journal.write(_line(said))


def _said(path: str, arrived: Arrived) -> dict[str, Any]:
    """The line of the journal for a whole file."""
    return {"path": path, "size": arrived.size, "sha256": arrived.sha256}


def _key(path: str, sha256: str) -> str:
    return hashlib.sha256(f"{path}\0{sha256}".encode()).hexdigest()[:32]


def _about(growing: _Growing) -> Path:
    return growing.data.with_suffix(".json")


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """NB: the last one may be cut, where the pod was killed."""
    try:
        with path.open("rb") as opened:
            for line in opened:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
    except FileNotFoundError:
        return


def _write_at(path: Path, offset: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        while data:
            written = os.pwrite(descriptor, data, offset)
            offset, data = offset + written, data[written:]
    finally:
        os.close(descriptor)


def _prune(folder: Path, top: Path) -> None:
    while folder != top:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
