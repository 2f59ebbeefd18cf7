"""The entries of a zip, in the order of its directory.

Separate from the standard library's reader, which keeps the whole directory in memory, and does not mind entries that
share their data or whose two descriptions differ. Called by `unpacking`. (APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.)
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trainyard_agent import archives
from trainyard_agent.archives import BLOCK, Entry, Refused, check_ratio, damaged, no_plain_file, too_many
from trainyard_agent.safenames import shown

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s2B5HL2L5H2L")
_LOCAL = struct.Struct("<4s5HL2L2H")
_LONGEST_COMMENT = (1 << 16) - 1
_IN_ZIP64 = 0xFFFFFFFF

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _DESCRIBED_AFTER, _STRONGLY_ENCRYPTED, _UTF8, _MASKED = 0x1, 0x8, 0x40, 0x800, 0x2000
_ZIP64_EXTRA, _UNICODE_PATH_EXTRA = 0x0001, 0x7075
_PACKED_AT_ONCE = 64 << 10


@dataclass(frozen=True, kw_only=True)
class _Directory:
    start: int
    size: int
    count: int


@dataclass(frozen=True, kw_only=True)
class _File:
    """What the directory says of an entry. `raw` is its name as it is written there."""

    name: str
    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def entries(path: Path) -> Iterator[Entry]:
    """Files and folders. Raises Refused; for what the directory tells, before the first one."""
    with path.open("rb") as listing, path.open("rb") as file:
        directory = _directory(listing)
        _check(listing, directory)
        for entry in _listed(listing, directory):
            folder = entry.name.endswith("/")
            name = entry.name.rstrip("/") if folder else entry.name
            yield Entry(
                name=name, folder=folder, size=entry.size, blocks=_blocks(file, entry, directory.start)
            )


def unpacked_bytes(file: BinaryIO) -> int:
    """How many come out of a zip, by its directory alone, which is at its end. Raises Refused."""
    return _check(file, _directory(file))


def _check(listing: BinaryIO, directory: _Directory) -> int:
    size = taken = 0
    for entry in _listed(listing, directory):
        size += entry.size
        # NB: no order is prescribed; but files that share bytes have more together than there are.
        taken += _LOCAL.size + len(entry.raw) + entry.packed
        check_ratio(entry.size, entry.packed)
    if taken > directory.start:
        raise Refused("hostile", "is refused as a bomb: its files overlap")
    check_ratio(size, directory.start)
    return size


def _directory(file: BinaryIO) -> _Directory:
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if at + _END.size <= len(tail):
            end = _END.unpack_from(tail, at)
            if at + _END.size + end[7] == len(tail):
                return _directory_at(file, start + at, end)
    raise damaged("its directory is missing")


def _directory_at(file: BinaryIO, at: int, end: tuple[int, ...]) -> _Directory:
    _, disk, first_disk, here, count, size, start, _ = end
    file.seek(max(0, at - _LOCATOR64.size))
    locator = file.read(_LOCATOR64.size)
    if at >= _LOCATOR64.size and locator.startswith(b"PK\x06\x07"):
        _, _, at, disks = _LOCATOR64.unpack(locator)
        file.seek(at)
        data = file.read(_END64.size)
        if len(data) < _END64.size or not data.startswith(b"PK\x06\x06"):
            raise damaged("its directory is not where it should be")
        _, _, _, _, disk, first_disk, here, count, size, start = _END64.unpack(data)
        disk = max(disk, disks - 1)
    if disk or first_disk or here != count:
        raise Refused("unsupported", "cannot be unpacked: it is one of several parts. Pack it in one")
    if start + size != at:
        raise damaged("its directory is not where it should be")
    if count > archives.MOST_ENTRIES:
        raise too_many()
    return _Directory(start=start, size=size, count=count)


def _listed(file: BinaryIO, directory: _Directory) -> Iterator[_File]:
    file.seek(directory.start)
    left = directory.size
    for _ in range(directory.count):
        data = file.read(_CENTRAL.size)
        if len(data) < _CENTRAL.size or not data.startswith(b"PK\x01\x02"):
            raise damaged("its directory ends too early")
        said = _CENTRAL.unpack(data)
        lengths = said[11:14]
        raw, extra, _ = (file.read(length) for length in lengths)
        left -= _CENTRAL.size + sum(lengths)
        if left < 0:
            raise damaged("its directory ends too early")
        yield _file(said, raw, extra)
    if left:
        raise damaged("its directory has more in it than it says")


def _file(said: tuple[int, ...], raw: bytes, extra: bytes) -> _File:
    _, _, system, _, flags, method, _, _, crc, packed, size, _, _, _, disk, _, attributes, offset = said
    extras = _extras(extra)
    sizes = _Numbers(extras.get(_ZIP64_EXTRA, b""))
    size, packed, offset = (sizes.next() if value == _IN_ZIP64 else value for value in (size, packed, offset))
    name = _name(raw, flags, extras.get(_UNICODE_PATH_EXTRA, b""), from_windows=system == 0)
    if flags & (_ENCRYPTED | _STRONGLY_ENCRYPTED | _MASKED):
        raise Refused(
            "unsupported", f"cannot be unpacked: {shown(name)} is encrypted. Pack it without a password"
        )
    if method not in (_STORED, _DEFLATED):
        raise Refused(
            "unsupported",
            f"cannot be unpacked: {shown(name)} is compressed by method {method}. Pack it with deflate (zip's own)",
        )
    kind = stat.S_IFMT(attributes >> 16)
    if kind == stat.S_IFLNK:
        raise no_plain_file(name, "a symbolic link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise no_plain_file(name, "a device or a pipe")
    if disk not in (0, 0xFFFF):
        raise Refused("unsupported", "cannot be unpacked: it is one of several parts. Pack it in one")
    if name.endswith("/") and size:
        raise damaged(f"the folder {shown(name)} has data")
    if method == _STORED and size != packed:
        raise damaged(f"the two sizes of {shown(name)} differ")
    return _File(
        name=name, raw=raw, flags=flags, method=method, crc=crc, packed=packed, size=size, offset=offset
    )


class _Numbers:
    """The 8-byte numbers of an extra field, for those that had no room in the directory itself."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def next(self) -> int:
        if len(self._data) < 8:
            raise damaged("a size in its directory is missing")
        number, self._data = self._data[:8], self._data[8:]
        return int.from_bytes(number, "little")


def _extras(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        kind, size = struct.unpack_from("<2H", data)
        found[kind] = data[4 : 4 + size]
        data = data[4 + size :]
    return found


def _name(raw: bytes, flags: int, unicode_path: bytes, *, from_windows: bool) -> str:
    """NB: many programs write UTF-8 without saying so; what is none is in the letters of the first PCs."""
    if flags & _UTF8:
        name = raw.decode("utf-8", "surrogateescape")
    elif unicode_path[:1] == b"\1" and unicode_path[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
        name = unicode_path[5:].decode("utf-8", "surrogateescape")
    else:
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            name = raw.decode("cp437")
    # Old programs of Windows write its separator, against the rules.
    return name.replace("\\", "/") if from_windows and "/" not in name else name


def _blocks(file: BinaryIO, entry: _File, end: int) -> Iterator[bytes]:
    """The data of an entry, which ends before the byte `end`."""
    _seek(file, entry, end)
    crc = size = 0
    for block in _stored(file, entry) if entry.method == _STORED else _inflated(file, entry):
        size += len(block)
        if size > entry.size:
            raise Refused(
                "hostile", f"is refused: {shown(entry.name)} has more bytes than the directory says"
            )
        crc = zlib.crc32(block, crc)
        yield block
    if size != entry.size:
        raise damaged(f"{shown(entry.name)} has fewer bytes than the directory says")
    if crc != entry.crc:
        raise damaged(f"{shown(entry.name)} has another checksum than the directory says")
    if entry.flags & _DESCRIBED_AFTER:
        _check_description(file.read(24), entry)


def _seek(file: BinaryIO, entry: _File, end: int) -> None:
    """Goes to the data, past its own header, which must say what the directory says."""
    file.seek(entry.offset)
    data = file.read(_LOCAL.size)
    if len(data) < _LOCAL.size or not data.startswith(b"PK\x03\x04"):
        raise damaged(f"{shown(entry.name)} is not where the directory says")
    _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _LOCAL.unpack(data)
    name, extra = file.read(name_bytes), file.read(extra_bytes)
    sizes = _Numbers(_extras(extra).get(_ZIP64_EXTRA, b""))
    if size == _IN_ZIP64 or packed == _IN_ZIP64:
        size, packed = sizes.next(), sizes.next()
    # NB: what was not known yet is 0 here.
    told = all(
        here == there or (entry.flags & _DESCRIBED_AFTER and not here)
        for here, there in ((crc, entry.crc), (packed, entry.packed), (size, entry.size))
    )
    if (
        name != entry.raw
        or method != entry.method
        or (flags ^ entry.flags) & (_ENCRYPTED | _DESCRIBED_AFTER)
        or not told
    ):
        raise Refused(
            "hostile",
            f"is refused: {shown(entry.name)} is described in one way there, in another in the directory",
        )
    if file.tell() + entry.packed > end:
        raise damaged(f"{shown(entry.name)} reaches into the directory")


def _stored(file: BinaryIO, entry: _File) -> Iterator[bytes]:
    left = entry.packed
    while left and (data := file.read(min(BLOCK, left))):
        left -= len(data)
        yield data


def _inflated(file: BinaryIO, entry: _File) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = entry.packed
    packed = b""
    while not inflater.eof:
        if not packed:
            packed = file.read(min(_PACKED_AT_ONCE, left))
            left -= len(packed)
        try:
            block = inflater.decompress(packed, BLOCK)
        except zlib.error as error:
            raise damaged(f"{shown(entry.name)}: {error}") from error
        if not packed and not block and not inflater.eof:
            raise damaged(f"{shown(entry.name)} is cut off")
        packed = inflater.unconsumed_tail
        if block:
            yield block
    if left or inflater.unused_data:
        raise damaged(f"{shown(entry.name)} is smaller than the directory says")


def _check_description(data: bytes, entry: _File) -> None:
    """What follows data whose size was not known when it was written; some write it without its signature."""
    data = data.removeprefix(b"PK\x07\x08")
    if not any(
        data.startswith(struct.pack(form, entry.crc, entry.packed, entry.size))
        for form, most in (("<3L", _IN_ZIP64), ("<L2Q", 1 << 63))
        if max(entry.packed, entry.size) <= most
    ):
        raise Refused("hostile", f"is refused: what follows {shown(entry.name)} describes it in another way")
