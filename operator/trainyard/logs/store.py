"""The log store: what trainers printed, kept beyond their pods.

Separate because it is the only code that knows where and how logs lie: `<root>/<namespace>/<uid>/<attempt>-<rank>.log`,
each line `<RFC 3339 stamp> <text>`, as the kubelet gives it. Written by the log follower, read by it after a
restart and by `trainyard logs`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainyard.logs.splice import MAX_LINE, Line, gap, split
from trainyard.settings import SettingsError

FLUSH_BYTES = 1 << 20
"""A buffer of this size wants to be written at once."""
_MAX_BUFFER = 4 << 20
_BLOCK = 1 << 16
_WINDOW_BYTES = 1 << 20
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9]{0,63}")
_MAX_NUMBER = 1_000_000


class LogFile:
    """One pod's stored log. `append` only buffers; `LogStore.flush` writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer = bytearray()
        self._failing = False
        self._lost_after: bytes | None = None

    @property
    def pending(self) -> int:
        """Bytes that are not written yet."""
        return len(self._buffer)

    def append(self, lines: Iterable[Line]) -> None:
        """Buffers lines. When writing fails for long they are dropped, and the next one is marked."""
        for stamp, text in lines:
            if self._failing and len(self._buffer) > _MAX_BUFFER:
                self._lost_after = self._lost_after or bytes(self._buffer[: self._buffer.find(b" ")])
                self._buffer.clear()
            if self._lost_after is not None and not self._buffer:
                self._buffer += b"%b %b\n" % gap(self._lost_after, stamp)
            self._buffer += b"%b %b\n" % (stamp, text)

    def repair(self) -> None:
        """Takes off a last line without its end, left by an operator that was killed while writing."""
        with contextlib.suppress(FileNotFoundError), self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            position = end
            while position > 0:
                start = max(0, position - _BLOCK)
                file.seek(start)
                newline = file.read(position - start).rfind(b"\n")
                if newline >= 0:
                    position = start + newline + 1
                    break
                position = start
            if position < end:
                file.truncate(position)

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
        self._failing, self._lost_after = False, None

    def give_back(self, data: bytes) -> None:
        """The bytes taken could not be written; they are tried again with the next."""
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
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(before)
                raise


class LogStore:
    """All stored logs under one `file://` URL. Raises SettingsError for another scheme."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            raise SettingsError(f"logs.store is {url}, but only file:// is supported in this version.")
        if not path.is_absolute() or ".." in path.parts or parts.query or parts.fragment:
            raise SettingsError(f"logs.store is {url}, but it must be file:// and an absolute path.")
        self.root = path
        self._writing = asyncio.Lock()

    def folder(self, *, namespace: str, uid: str) -> Path:
        """The folder of one job. Raises ValueError for names that are none."""
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(f"{namespace!r} is not the name of a namespace.")
        if not _UID.fullmatch(uid):
            raise ValueError(f"{uid!r} is not a UID.")
        return self.root / namespace / uid

    def folder_uri(self, *, namespace: str, uid: str) -> str:
        """What a job's `status.logs` says."""
        return f"{self.folder(namespace=namespace, uid=uid).as_uri()}/"

    def file(self, *, namespace: str, uid: str, attempt: int, rank: int) -> LogFile:
        """The log of one rank of one attempt, whether it exists or not. Raises ValueError as `folder` does."""
        if not (0 <= attempt <= _MAX_NUMBER and 0 <= rank <= _MAX_NUMBER):
            raise ValueError(f"Attempt {attempt} and rank {rank} cannot both be.")
        return LogFile(self.folder(namespace=namespace, uid=uid) / f"{attempt:d}-{rank:d}.log")

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
