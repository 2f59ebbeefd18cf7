"""What a dataset consists of: each file's path, size and SHA-256, and the one digest of all.

Separate because files come from a transfer, an archive or an upload, and the digest must not depend on that; nor may
memory on how many they are. Made by what pulls and receives datasets; filled by it and by `unpacking`.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Lines that are kept in memory, about 200 bytes each.
_IN_MEMORY = 100_000
_READ_AT_ONCE = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Total:
    """`sha256` is that of the one file, or of the sorted lines `<sha256>  <path>\\n` where there are several.

    `mark` is the same for the same paths and sizes, in whatever order they came.
    """

    sha256: str
    bytes: int
    files: int
    mark: int


class Contents:
    """Filled in any order, in many threads. `scratch` is a folder for what does not fit into memory."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._file = -1
        self._sorted: list[tuple[int, int]] = []
        self._bytes = self._files = self._mark = 0

    def add(self, path: str, *, size: int, sha256: str) -> None:
        """A file, whose path `safenames` has checked, and its digest in lower-case hexadecimal digits."""
        with self._lock:
            self._lines.append(f"{sha256}  {path}\n".encode())
            self._files += 1
            self._bytes += size
            self._mark = (self._mark + mark(path, size)) % (1 << 256)
            if len(self._lines) >= _IN_MEMORY:
                self._spill()

    def total(self) -> Total:
        """Of all files so far; more may be added after it."""
        with self._lock:
            self._lines.sort()
            if self._files == 1:
                digest = self._lines[0].partition(b" ")[0].decode()
            else:
                whole = hashlib.sha256()
                for line in heapq.merge(self._lines, *(self._spilled(*one) for one in self._sorted)):
                    whole.update(line)
                digest = whole.hexdigest()
            return Total(sha256=digest, bytes=self._bytes, files=self._files, mark=self._mark)

    def _spill(self) -> None:
        self._lines.sort()
        if self._file < 0:
            self._file, path = tempfile.mkstemp(dir=self._scratch)
            weakref.finalize(self, os.close, self._file)
            # NB: without a name, so that a puller that is killed leaves nothing behind.
            os.unlink(path)
        data = memoryview(b"".join(self._lines))
        start = end = self._sorted[-1][1] if self._sorted else 0
        while data:
            written = os.pwrite(self._file, data, end)
            end, data = end + written, data[written:]
        self._sorted.append((start, end))
        self._lines = []

    def _spilled(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two places in the file."""
        rest = b""
        while start < end:
            data = os.pread(self._file, min(_READ_AT_ONCE, end - start), start)
            start += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in lines)


def mark(path: str, size: int) -> int:
    """What one file adds to the mark of all."""
    return int.from_bytes(hashlib.sha256(f"{size} {path}".encode(errors="surrogateescape")).digest(), "big")
