"""The entries of a tar, one after the other, from a stream.

Separate from the standard library's reader, of which only the parsing of a header is used: that takes a damaged header
for the end, reads extended headers of any size into memory, and keeps every entry. Called by `unpacking`.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import Protocol

from trainyard_agent import archives
from trainyard_agent.archives import BLOCK, Entry, Refused, damaged, no_plain_file, too_many

_SECTOR = 512
#: Names, and what else an extended header may hold (ACLs, extended attributes).
_EXTENDED_BYTES = 1 << 20
#: The filling after the end; tar makes 10 KiB of it, and tapes have had up to 1 MiB.
_FILLING_BYTES = 16 << 20

_NO_PLAIN_FILES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}
_PLAIN_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LABEL = b"V"
#: What an extended header may say for one entry; for all that follow it would only be a trick.
_OF_ONE_ENTRY = ("path", "size", "linkpath")


class Stream(Protocol):
    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end alone."""


def entries(stream: Stream) -> Iterator[Entry]:
    """Files and folders, up to the end of the stream. Raises Refused."""
    extended: dict[str, str] = {}
    headers = 0
    while (header := _header(stream, beginning=headers == 0)) is not None:
        if (headers := headers + 1) > archives.MOST_ENTRIES:
            raise too_many()
        if header.type in _EXTENDED:
            said = _extended(_whole(stream, header))
            if header.type == tarfile.XGLTYPE:
                if any(key in said for key in _OF_ONE_ENTRY):
                    raise Refused("hostile", "is refused: one extended header names all of its files")
            else:
                extended |= said
        elif header.type == tarfile.GNUTYPE_LONGNAME:
            extended.setdefault("path", _text(_whole(stream, header)))
        elif header.type == tarfile.GNUTYPE_LONGLINK:
            _whole(stream, header)
        elif header.type != _LABEL:
            entry = _entry(stream, header, extended)
            yield entry
            for _ in entry.blocks:
                pass
            extended = {}
    if extended:
        raise damaged("an extended header without a file is the last")


def _header(stream: Stream, *, beginning: bool) -> tarfile.TarInfo | None:
    """The next header; None at the end, after what follows it was read, too."""
    data = stream.read(_SECTOR)
    if data.count(0) == _SECTOR:
        _filling(stream)
        return None
    try:
        header = tarfile.TarInfo.frombuf(data, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if not data:
            raise damaged("it has no end mark" if not beginning else "it is empty") from error
        if len(data) < _SECTOR:
            raise damaged("it ends in the middle of a header") from error
        if beginning:
            raise Refused(
                "broken",
                "is neither a tar, plain or packed by gzip or zstd, nor a zip: look at what is at its address",
            ) from error
        raise damaged("a header is not what its checksum says") from error
    if header.size < 0:
        raise Refused("hostile", "is refused: a file has a negative size")
    return header


def _filling(stream: Stream) -> None:
    left = _FILLING_BYTES
    while data := stream.read(min(BLOCK, left + 1)):
        left -= len(data)
        if data.count(0) != len(data):
            raise Refused(
                "broken",
                "has something after its end, such as a second archive: unpack it yourself, and pack all of it anew",
            )
        if left < 0:
            raise Refused(
                "hostile", f"is refused: more than {_FILLING_BYTES >> 20} MiB of zeros follow its end"
            )


def _entry(stream: Stream, header: tarfile.TarInfo, extended: dict[str, str]) -> Entry:
    name, size = extended.get("path", header.name), header.size
    if "size" in extended:
        if not re.fullmatch(r"\d{1,18}", extended["size"]):
            raise damaged("an extended header has a size that is no number")
        size = int(extended["size"])
    if header.type in _NO_PLAIN_FILES:
        raise no_plain_file(name, _NO_PLAIN_FILES[header.type])
    if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended):
        raise Refused("unsupported", "cannot be unpacked: it has sparse files. Pack it without --sparse")
    folder = header.type == tarfile.DIRTYPE
    if not folder and header.type not in _PLAIN_FILES:
        raise Refused("unsupported", f"cannot be unpacked: it has an entry of the kind {header.type!r}")
    if folder:
        size = 0
    return Entry(name=name, folder=folder, size=size, blocks=_data(stream, size))


def _data(stream: Stream, size: int) -> Iterator[bytes]:
    left = size
    while left:
        data = stream.read(min(BLOCK, left))
        if not data:
            raise damaged("it ends in the middle of a file")
        left -= len(data)
        yield data
    filling = -size % _SECTOR
    if len(stream.read(filling)) < filling:
        raise damaged("it ends in the middle of a file")


def _whole(stream: Stream, header: tarfile.TarInfo) -> bytes:
    if header.size > _EXTENDED_BYTES:
        raise Refused("hostile", f"is refused: an extended header has more than {_EXTENDED_BYTES >> 20} MiB")
    return b"".join(_data(stream, header.size))


def _extended(data: bytes) -> dict[str, str]:
    """The records `<length> <key>=<value>\\n` of an extended header (POSIX, pax, "pax Extended Header")."""
    found = {}
    at = 0
    while at < len(data) and data[at]:
        length = re.compile(rb"(\d{1,7}) ").match(data, at)
        end = at + int(length[1]) if length else 0
        if length is None or not length.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise damaged("an extended header cannot be read")
        key, equals, value = data[length.end() : end - 1].partition(b"=")
        if not equals:
            raise damaged("an extended header cannot be read")
        found[_decoded(key)] = _decoded(value)
        at = end
    return found


def _text(data: bytes) -> str:
    return _decoded(data.partition(b"\0")[0])


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
