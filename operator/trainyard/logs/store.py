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
from trainyard.logs.splice import MAX_LINE, Line, gap, split
from trainyard.settings import SettingsError

FLUSH_BYTES = 1 << 20
"""A buffer of this size wants to be written at once."""
_MAX_BUFFER = 4 << 20
_MAX_ALL_BUFFERS = 64 << 20
_BLOCK = 1 << 16
_WINDOW_BYTES = 1 << 20


class Unwritten:
    """How many logs cannot be written, and so how much each may hold back in memory."""

    def __init__(self) -> None:
        self.logs = 0

    @property
    def limit(self) -> int:
        return min(_MAX_BUFFER, _MAX_ALL_BUFFERS // max(1, self.logs))


class LogFile:
    """One pod's stored log. `append` only buffers; `LogStore.flush` writes."""

    def __init__(self, name: LogName, path: Path, unwritten: Unwritten) -> None:
        self.name = name
        self.path = path
        self.written = 0
        """Bytes that are in the file for good, complete lines."""
        self._unwritten = unwritten
        self._buffer = bytearray()
        self._failing = False
        self._lost_after: bytes | None = None

    @property
    def pending(self) -> int:
        """Bytes that are not written yet."""
        return len(self._buffer)

    @property
    def wants_flush(self) -> bool:
        """Whether so much is waiting that it is worth a write of its own."""
        return len(self._buffer) >= FLUSH_BYTES and not self._failing

    def append(self, lines: Iterable[Line]) -> None:
        """Buffers lines. When writing fails for long they are dropped, and the next one is marked."""
        for stamp, text in lines:
            if self._failing and len(self._buffer) > self._unwritten.limit:
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

    def last_stamp(self) -> str | None:
        """Stamp of the last complete line; None when there is none."""
        lines, _ = self.last_lines()
        return lines[-1][0].decode() if lines else None

    def take_buffer(self) -> bytes:
        """The buffered bytes, for writing; say afterwards how that went."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def wrote(self) -> None:
        """The bytes taken are in the file."""
        self._unwritten.logs -= self._failing
        self._failing, self._lost_after = False, None

    def give_back(self, data: bytes) -> None:
        """The bytes taken could not be written; they are tried again with the next."""
        self._unwritten.logs += not self._failing
        self._failing = True
        self._buffer[:0] = data

    def write(self, data: bytes) -> None:
        """Appends to the file. NB: on failure nothing of it stays, or the next line would grow onto it."""
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
    """All logs in the folder that a `file://` URL names. Raises SettingsError for another scheme."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise SettingsError(f"logs.store is {url}, but a folder is file:// and an absolute path.")
        if not path.is_absolute() or ".." in path.parts or parts.query or parts.fragment:
            raise SettingsError(
                f"logs.store is {url}, but a folder is file:// and an absolute path without `..`."
            )
        self.root = path
        self._unwritten = Unwritten()
        self._writing = asyncio.Lock()

    def folder(self, job: JobName) -> Path:
        """The folder of one job."""
        return self.root / job.folder

    def folder_uri(self, *, namespace: str, uid: str) -> str:
        """What a job's `status.logs` says."""
        return f"{self.folder(JobName(namespace=namespace, uid=uid)).as_uri()}/"

    def file(self, *, namespace: str, uid: str, attempt: int, rank: int) -> LogFile:
        """The log of one rank of one attempt, whether it exists or not. Raises ValueError for names that are none."""
        return self.of(LogName(job=JobName(namespace=namespace, uid=uid), attempt=attempt, rank=rank))

    def of(self, name: LogName) -> LogFile:
        """As `file` does."""
        return LogFile(name, self.root / f"{name.path}.log", self._unwritten)

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
                # NB: what it takes of the disk, which of a short log is more than its length.
                size=sum(max(stat.st_size, stat.st_blocks * 512) for _, stat in found),
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

    async def _flush(self, files: list[LogFile]) -> list[OSError]:
        async with self._writing:
            batch = [(file, file.take_buffer()) for file in files if file.pending]
            errors = await asyncio.to_thread(_write_all, batch) if batch else []
            for (file, data), error in zip(batch, errors, strict=True):
                if error is None:
                    file.wrote()
                else:
                    file.give_back(data)
        return [error for error in errors if error is not None]


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
