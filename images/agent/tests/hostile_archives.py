"""Archives that nobody makes by accident, and those that come out of a broken transfer.

Separate because each is a few lines of bytes, and the tests say what comes of them. Called by `test_hostile`.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import zstandard

Member = tuple[tarfile.TarInfo, bytes]
#: What climbs out is named after the folder, outside the volume, that a test watches.
Maker = Callable[[str], bytes]


def member(name: str, data: bytes = b"x", **attributes: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, data


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def one_kind(kind: bytes, **attributes: Any) -> bytes:
    """A tar with a file, and something that is none."""
    return tar(member("a.csv"), member("other", b"", type=kind, **attributes))


def raw(
    info: tarfile.TarInfo, data: bytes = b"", *, change: Callable[[bytearray], None] | None = None
) -> bytes:
    """A header as it is, and its data; the checksum is right whatever was changed."""
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if change is not None:
        change(header)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % 512)


def extended(records: dict[str, str], kind: bytes = tarfile.XHDTYPE, *, size: int | None = None) -> bytes:
    """An extended header of tar."""
    data = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = len(rest) + len(str(len(rest)))
        length = len(rest) + len(str(length))
        data += str(length).encode() + rest
    info = tarfile.TarInfo("extended")
    info.type, info.size = kind, len(data) if size is None else size
    return raw(info, data)


END = bytes(1024)


def named(name: str) -> bytes:
    """A tar whose one file has a name that no writer writes."""
    info, data = member("short")
    return extended({"path": name}) + raw(info, data) + END


def negative_size() -> bytes:
    def change(header: bytearray) -> None:
        header[124:136] = b"\xff" * 11 + b"\x00"

    return raw(member("a.csv", b"")[0], change=change) + END


def huge(size: int) -> bytes:
    """A tar that only says how large it is."""
    info = tarfile.TarInfo("large.csv")
    info.size = size
    return raw(info, bytes(512))


def sparse_header() -> bytes:
    """The old form of GNU's sparse files, which claims 8 GiB for one block."""

    def change(header: bytearray) -> None:
        header[156:157] = tarfile.GNUTYPE_SPARSE
        header[483:495] = b"\x80" + (8 << 30).to_bytes(11, "big")

    return raw(member("a.csv", b"x" * 512)[0], b"x" * 512, change=change) + END


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return made.getvalue()


def zip_mode(name: str, mode: int, data: bytes) -> bytes:
    """A zip with an entry of this Unix mode."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, data)
    return made.getvalue()


def zip_twice(name: str) -> bytes:
    """Two entries of one name."""
    return zip_of({name: b"first", "Z" * len(name): b"second"}).replace(b"Z" * len(name), name.encode())


LOCAL, CENTRAL, END_OF_ZIP = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def patched(data: bytes, magic: bytes, at: int, form: str, value: int) -> bytes:
    """A zip in whose first header of a kind a field has another value."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.index(magic) + at, value)
    return bytes(changed)


def encrypted(data: bytes) -> bytes:
    return patched(patched(data, LOCAL, 6, "<H", 1), CENTRAL, 8, "<H", 1)


def bigger_than_it_says(files: dict[str, bytes], said: int) -> bytes:
    """Both headers of the first file agree on a size that its data exceeds."""
    return patched(patched(zip_of(files), LOCAL, 22, "<L", said), CENTRAL, 24, "<L", said)


def described_twice(said: int) -> bytes:
    """The size follows the data, and is another than the directory's."""
    data = b"1,2\n" * 100
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    crc = zlib.crc32(data)
    local = struct.pack("<4s5H3L2H", LOCAL, 20, 8, 8, 0, 33, 0, 0, 0, 5, 0) + b"a.csv" + packed
    local += struct.pack("<4s3L", b"PK\x07\x08", crc, len(packed), said)
    central = struct.pack(
        "<4s6H3L5H2L", CENTRAL, 20, 20, 8, 8, 0, 33, crc, len(packed), len(data), 5, 0, 0, 0, 0, 0, 0
    )
    central += b"a.csv"
    return local + central + struct.pack("<4s4H2LH", END_OF_ZIP, 0, 0, 1, 1, len(central), len(local), 0)


def padded() -> bytes:
    """Both headers give the data more room than it takes."""
    data = csv()
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush() + b"something else"
    numbers = (zlib.crc32(data), len(packed), len(data))
    local = struct.pack("<4s5H3L2H", LOCAL, 20, 0, 8, 0, 33, *numbers, 5, 0) + b"a.csv" + packed
    central = (
        struct.pack("<4s6H3L5H2L", CENTRAL, 20, 20, 0, 8, 0, 33, *numbers, 5, 0, 0, 0, 0, 0, 0) + b"a.csv"
    )
    return local + central + struct.pack("<4s4H2LH", END_OF_ZIP, 0, 0, 1, 1, len(central), len(local), 0)


def stored(said: int, *, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A file that claims a size, with bytes before it and behind the directory's entries."""
    numbers = (0, said, said)
    local = struct.pack("<4s5H3L2H", LOCAL, 20, 0, 0, 0, 33, *numbers, 5, 0) + b"a.csv" + csv(10)
    central = struct.pack(
        "<4s6H3L5H2L", CENTRAL, 20, 20, 0, 0, 0, 33, *numbers, 5, 0, 0, 0, 0, 0, len(before)
    )
    central += b"a.csv" + behind
    start = len(before) + len(local)
    end = struct.pack("<4s4H2LH", END_OF_ZIP, 0, 0, 1, 1, len(central), start, 0)
    return before + local + central + end


def overlapping(files: int) -> bytes:
    """A bomb as David Fifield's: each entry is the same megabyte, and it is there once."""
    packer = zlib.compressobj(9, wbits=-15)
    data = b"%08d" % 0 * (1 << 17)
    packed = packer.compress(data) + packer.flush()
    crc = zlib.crc32(data)
    local = struct.pack("<4s5H3L2H", LOCAL, 20, 0, 8, 0, 33, crc, len(packed), len(data), 8, 0)
    local += b"00000000" + packed
    central = b"".join(
        struct.pack(
            "<4s6H3L5H2L", CENTRAL, 20, 20, 0, 8, 0, 33, crc, len(packed), len(data), 8, 0, 0, 0, 0, 0, 0
        )
        + b"%08d" % number
        for number in range(files)
    )
    return (
        local + central + struct.pack("<4s4H2LH", END_OF_ZIP, 0, 0, files, files, len(central), len(local), 0)
    )


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zstd_bomb(blocks: int) -> bytes:
    """A frame of blocks that each say: 128 KiB of zeros; in front of them, the header of a tar's file."""
    header = huge(blocks << 17)[:512]
    first = zstandard.ZstdCompressor().compress(header)
    frame = b"\x28\xb5\x2f\xfd\x00\x38"
    return first + frame + (struct.pack("<L", 1 << 20 | 1 << 1)[:3] + b"\0") * blocks + b"\x01\0\0"


def zstd_window() -> bytes:
    """A frame that wants 2 GiB of memory."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\0\0"


def gzip_bomb(size: int) -> bytes:
    """Zeros, behind the header of a tar's file."""
    packer = zlib.compressobj(9, wbits=31)
    made = [packer.compress(huge(size)[:512])]
    made += [packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*made, packer.compress(END), packer.flush()])


def bent(data: bytes, at: int) -> bytes:
    """One bit is another."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def csv(rows: int = 3000) -> bytes:
    return b"".join(b"%d,%d\n" % (row, row * row) for row in range(rows))


def many(count: int) -> Sequence[Member]:
    return [member(f"images/{number % 97:02d}/{number:06d}.txt", b"%d" % number) for number in range(count)]


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)
