"""The bytes inside a compressed tar: gzip and zstd, read to their very end, in little memory, bombs refused.

Separate because each kind of compression hides a cut at another place. Called by `unpacking`.
"""

from __future__ import annotations

import gzip
import os
import zlib
from typing import BinaryIO, Protocol, cast

import zstandard

from trainyard_agent.archives import Refused, check_ratio, damaged

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
#: What zstd takes without being told otherwise: more is made by `zstd --long=28` and above.
_WINDOW = 128 << 20
#: Frames that hold no data, which parallel compressors put between those that do: from 0x184D2A50 on.
_SKIPPABLE = 0x184D2A5
_MAGIC = int.from_bytes(ZSTD, "little")


class _Reading(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Unpacked:
    """What is in `file`, which is compressed as its first bytes say, or not at all. `name` goes into no message."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._given = 0
        self._source = _source(file)

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end alone. Raises Refused where it is damaged, cut off, or a bomb."""
        taken: list[bytes] = []
        missing = size
        while missing:
            try:
                data = self._source.read(missing)
            except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
                raise damaged(str(error)) from error
            if not data:
                break
            taken.append(data)
            missing -= len(data)
            self._given += len(data)
            check_ratio(self._given, self._file.tell())
        return taken[0] if len(taken) == 1 else b"".join(taken)


def _source(file: BinaryIO) -> _Reading:
    start = file.read(4)
    file.seek(0)
    if start.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if start == ZSTD or _is_skippable(start):
        _check_frames(file)
        file.seek(0)
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            file, read_across_frames=True, closefd=False
        )
        return cast(_Reading, reader)
    return file


def _is_skippable(start: bytes) -> bool:
    return len(start) == 4 and int.from_bytes(start, "little") >> 4 == _SKIPPABLE


def _check_frames(file: BinaryIO) -> None:
    """Walks from block to block (RFC 8878, section 3.1): the library takes a cut for an end."""
    end = file.seek(0, os.SEEK_END)
    at = file.seek(0)
    while at < end:
        magic = _number(file, 4)
        if magic == _MAGIC:
            _check_frame(file)
        elif magic >> 4 == _SKIPPABLE:
            file.seek(_number(file, 4), os.SEEK_CUR)
        else:
            raise damaged(f"something that is not zstd follows at byte {at:,}")
        at = file.tell()
    if at > end:
        raise damaged("its last frame is not whole")


def _check_frame(file: BinaryIO) -> None:
    descriptor = _number(file, 1)
    single_segment, checksum = bool(descriptor & 0x20), bool(descriptor & 0x04)
    content_bytes = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    window = 0
    if not single_segment:
        said = _number(file, 1)
        base = 1 << (10 + (said >> 3))
        window = base + (base >> 3) * (said & 7)
    if _number(file, (0, 1, 2, 4)[descriptor & 3]):
        raise Refused("unsupported", "cannot be unpacked: it needs a dictionary. Pack it without one")
    content = _number(file, content_bytes) + (256 if content_bytes == 2 else 0)
    if single_segment:
        window = content
    if window > _WINDOW:
        raise Refused(
            "unsupported",
            f"cannot be unpacked: it needs {window >> 20:,} MiB of memory. Pack it without --long, or with --long=27",
        )
    last = False
    while not last:
        header = _number(file, 3)
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == 3:
            raise damaged(f"a block of no known kind before byte {file.tell():,}")
        file.seek(1 if kind == 1 else size, os.SEEK_CUR)
    if checksum:
        _number(file, 4)


def _number(file: BinaryIO, size: int) -> int:
    data = file.read(size)
    if len(data) < size:
        raise damaged("it ends in the middle of a frame")
    return int.from_bytes(data, "little")
