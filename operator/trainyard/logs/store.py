"""The log store: what trainers printed, kept beyond their pods.

Separate because it is the only code that knows how a log lies in a folder: in
`<root>/<namespace>/<uid>/<attempt>-<rank>.log`, each line `<RFC 3339 stamp> <text>`, as the kubelet gives it.
Written by the log follower, read by it after a restart and by `trainyard logs`. Where logs are kept as objects, the
folder holds those that are not complete yet (`logs.archive`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainyard import metrics
from trainyard.logs import names
from trainyard.logs.names import JobName, LogName
from trainyard.logs.retention import StoredJob
from trainyard.logs.room import Room
from trainyard.logs.splice import MAX_LINE, Line, gap, split
from trainyard.settings import SettingsError

FLUSH_BYTES = 1 << 20
"""A buffer of this size wants to be written at once, of many logs a smaller one."""
_MAX_BUFFER = 4 << 20
_MAX_ALL_BUFFERS = 64 << 20
_BLOCK = 1 << 16
_WINDOW_BYTES = 1 << 20


class Unwritten:
    """How many logs cannot be written, and how many there are, and so how much each may hold back in memory."""

    def __init__(self) -> None:
        self.logs = 0
        self.followed = 0

    @property
    def limit(self) -> int:
        """From which on one that cannot be written drops what it has."""
        return min(_MAX_BUFFER, _MAX_ALL_BUFFERS // max(1, self.logs))

    @property
    def enough(self) -> int:
        """From which on nothing more is to be read before it is written, however long that takes."""
        return min(FLUSH_BYTES, _MAX_ALL_BUFFERS // max(1, self.followed))


class LogFile:
    """One pod's stored log. `append` only buffers; `LogStore.flush` writes."""

    def __init__(self, name: LogName, path: Path, unwritten: Unwritten, room: Room | None) -> None:
        self.name = name
        self.path = path
        self.written = 0
        """Bytes that are in the file for good, complete lines."""
        self._unwritten = unwritten
        self._room = room
        self._buffer = bytearray()
        self._taken = 0
        self.failure: OSError | None = None
        """Why the last write failed."""
        self._lost_after: bytes | None = None

    @property
    def pending(self) -> int:
        """Bytes that are not written yet."""
        return len(self._buffer)

    @property
    def wants_flush(self) -> bool:
        """Whether so much is waiting that it is worth a write of its own."""
        return len(self._buffer) + self._taken >= self._unwritten.enough and self.failure is None

    def append(self, lines: Iterable[Line]) -> None:
        """Buffers lines. When writing fails for long they are dropped, and the next one is marked."""
        for stamp, text in lines:
            if self.failure is not None and len(self._buffer) > self._unwritten.limit:
                self._lost_after = self._lost_after or bytes(self._buffer[: self._buffer.find(b" ")])
                metrics.LOG_BYTES_DROPPED.inc(len(self._buffer))
                self._buffer.clear()
            if self._lost_after is not None and not self._buffer:
                self._buffer += b"%b %b\n" % gap(self._lost_after, stamp)
            self._buffer += b"%b %b\n" % (stamp, text)

    def repair(self) -> None:
        """Takes off a last line without its end, left by an operator that was killed while writing."""
        self.measure()
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size > self.written:
                os.truncate(self.path, self.written)

    def measure(self) -> None:
        """Finds out how much of the file is complete lines."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position > 0:
                start = max(0, position - _BLOCK)
                file.seek(start)
                newline = file.read(position - start).rfind(b"\n")
                if newline >= 0:
                    position = start + newline + 1
                    break
                position = start
            self.written = position

    def lines(self) -> Iterator[Line]:
        """Stored lines in order; a torn last one and lines without stamp are left out."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            yield from _stamped(file)

    def last_lines(self) -> tuple[list[Line], bool]:
        """The lines of the file's last MiB, and whether they are all there are."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - _WINDOW_BYTES)
            file.seek(start)
            if start:
                file.readline(MAX_LINE * 2)
            return list(_stamped(file)), start == 0
        return [], True

    def take_buffer(self) -> bytes:
        """The buffered bytes, for writing; say afterwards how that went."""
        data = bytes(self._buffer)
        self._buffer.clear()
        self._taken = len(data)
        return data

    def wrote(self) -> None:
        """The bytes taken are in the file."""
        self._unwritten.logs -= self.failure is not None
        self.failure, self._lost_after, self._taken = None, None, 0

    def give_back(self, data: bytes, failure: OSError) -> None:
        """The bytes taken could not be written; they are tried again with the next."""
        self._unwritten.logs += self.failure is None
        self.failure, self._taken = failure, 0
        self._buffer[:0] = data

    def write(self, data: bytes) -> None:
        """Appends to the file. NB: on failure nothing of it stays, or the next line would grow onto it."""
        if self._room is not None:
            self._room.take(len(data))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                self.written = before + len(data)
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(before)
                raise


class LogStore:
    """All logs in the folder that a `file://` URL names, which take `room` bytes at most.

    Raises SettingsError for another scheme; `setting` is what names the folder.
    """

    def __init__(self, url: str, *, room: int | None = None, setting: str = "logs.store") -> None:
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise SettingsError(f"{setting} is {url}, but a folder is file:// and an absolute path.")
        if not path.is_absolute() or ".." in path.parts or parts.query or parts.fragment:
            raise SettingsError(
                f"{setting} is {url}, but a folder is file:// and an absolute path without `..`."
            )
        self.root = path
        self._unwritten = Unwritten()
        self._room = Room(room, measure=self._size) if room else None
        self._writing = asyncio.Lock()
        self._to_write: dict[LogFile, None] = {}

    def folder(self, job: JobName) -> Path:
        """The folder of one job."""
        return self.root / job.folder

    def follows(self, logs: int) -> None:
        """So many are written to now, and have their share of what may be held back in memory."""
        self._unwritten.followed = logs

    def file(self, *, namespace: str, uid: str, attempt: int, rank: int) -> LogFile:
        """The log of one rank of one attempt, whether it exists or not. Raises ValueError for names that are none."""
        return self.of(LogName(job=JobName(namespace=namespace, uid=uid), attempt=attempt, rank=rank))

    def of(self, name: LogName) -> LogFile:
        """As `file` does."""
        return LogFile(name, self.root / f"{name.path}.log", self._unwritten, self._room)

    def stored_logs(self) -> Iterator[tuple[LogName, os.stat_result]]:
        """All logs in the folder; what has another name is not ours. Blocking: for a thread."""
        for namespace in _folders(self.root):
            for uid in _folders(self.root / namespace):
                if (job := names.of_job(namespace, uid)) is None:
                    continue
                with contextlib.suppress(OSError), os.scandir(self.folder(job)) as entries:
                    for entry in entries:
                        if (name := names.of_file(job, entry.name)) and entry.is_file(follow_symlinks=False):
                            with contextlib.suppress(FileNotFoundError):
                                yield name, entry.stat(follow_symlinks=False)

    def stored_jobs(self) -> Iterator[StoredJob]:
        """The jobs of these logs, with the time of the newest. Blocking: for a thread."""
        for job, logs in itertools.groupby(self.stored_logs(), key=lambda log: log[0].job):
            found = list(logs)
            yield StoredJob(
                name=job,
                newest=max(stat.st_mtime for _, stat in found),
                size=sum(_on_disk(stat) for _, stat in found),
                paths=tuple(f"{name.path}.log" for name, _ in found),
            )

    def remove(self, job: StoredJob) -> None:
        """Removes its logs, and the folders that are empty then. Blocking: for a thread."""
        for path in job.paths:
            remove_file(self.root / path)

    async def flush(self, files: Iterable[LogFile]) -> list[OSError]:
        """Writes what is buffered, in one thread; what fails stays buffered and is told, not raised."""
        # NB: shielded, since a write that was begun must be accounted for also when its caller is cancelled.
        return await asyncio.shield(self._flush(list(files)))

    def _size(self) -> int:
        return sum(_on_disk(stat) for _, stat in self.stored_logs())

    async def _flush(self, files: list[LogFile]) -> list[OSError]:
        # NB: who waits for the lock has its files written by the next who gets it: hundreds of logs end at once.
        asked = dict.fromkeys(files)
        self._to_write |= asked
        async with self._writing:
            if not asked.keys().isdisjoint(self._to_write):
                await self._write_all()
        return [file.failure for file in files if file.pending and file.failure is not None]

    async def _write_all(self) -> None:
        batch = [(file, file.take_buffer()) for file in self._to_write if file.pending]
        self._to_write.clear()
        errors = await asyncio.to_thread(_write_all, batch) if batch else []
        for (file, data), error in zip(batch, errors, strict=True):
            if error is None:
                file.wrote()
            else:
                file.give_back(data, error)


def _on_disk(stat: os.stat_result) -> int:
    """What it takes of the disk, which of a short log is more than its length."""
    return max(stat.st_size, stat.st_blocks * 512)


def _write_all(batch: list[tuple[LogFile, bytes]]) -> list[OSError | None]:
    return [_write(file, data) for file, data in batch]


def _write(file: LogFile, data: bytes) -> OSError | None:
    try:
        file.write(data)
    except OSError as error:
        return error
    return None


def _stamped(file: Iterable[bytes]) -> Iterator[Line]:
    for raw in file:
        if raw.endswith(b"\n") and (line := split(raw[:-1])) is not None:
            yield line


def remove_file(path: Path) -> None:
    """Removes a stored log, and the job's and the namespace's folder where it was the last."""
    path.unlink(missing_ok=True)
    for folder in (path.parent, path.parent.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _folders(parent: Path) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []
