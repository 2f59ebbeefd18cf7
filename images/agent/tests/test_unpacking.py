"""Archives of every kind and maker come out as they went in; damaged ones do not come out at all."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import random
import shutil
import struct
import subprocess
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard_agent import archives
from trainyard_agent.contents import Contents, Total
from trainyard_agent.troubles import Trouble
from trainyard_agent.unpacking import is_archive, unpack

FILES: dict[str, bytes] = {
    "a.csv": b"1,2\n" * 1000,
    "deep/er/" + "long" * 40 + "/b.bin": bytes(range(256)) * 20,
    "empty": b"",
    "spaces and [glob]*": b"x",
    "a..b": b"y",
}
ODD = FILES | {"naïve/日本語/😀.txt": b"z", "e\u0301": b"1", "é": b"2"}


def unpacked(archive: Path, *, max_bytes: int = 1 << 30) -> tuple[dict[str, bytes], Total]:
    """What is in an archive; the digests are checked."""
    into = archive.parent / f"{archive.name}.unpacked"
    contents, before = Contents(archive.parent), set(archive.parent.iterdir())
    unpack(archive, into, name=archive.name, max_bytes=max_bytes, contents=contents)
    assert set(archive.parent.iterdir()) == before | {into}
    found = {
        path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()
    }
    expected = Contents(archive.parent)
    for name, data in found.items():
        expected.add(name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert contents.total() == expected.total()
    return found, contents.total()


def attempted(archive: Path) -> dict[str, bytes] | None:
    """What is in an archive; None where it is refused."""
    try:
        return unpacked(archive)[0]
    except Trouble:
        return None


def refused(archive: Path, *, max_bytes: int = 1 << 30) -> Trouble:
    """Why an archive is refused; nothing of it may be left."""
    into = archive.parent / "refused"
    before = set(archive.parent.iterdir())
    with pytest.raises(Trouble) as error:
        unpack(archive, into, name=archive.name, max_bytes=max_bytes, contents=Contents(archive.parent))
    assert set(archive.parent.iterdir()) == before
    assert str(error.value).startswith(
        (f"The archive {archive.name}", f"In the archive {archive.name}", "The dataset's")
    )
    return error.value


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, large: bool = False) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=large) as file:
                file.write(data)
    return made.getvalue()


class Unseekable(io.RawIOBase):
    """A pipe: what is written to it says its sizes after the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]  # any buffer
        return len(bytes(data))  # type: ignore[call-overload]  # any buffer


def zipped_to_a_pipe(files: dict[str, bytes], *, large: bool = False) -> bytes:
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=large) as file:
                file.write(data)
    return bytes(pipe.data)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zstd_frames(data: bytes) -> bytes:
    """As pzstd makes it: many frames, and skippable ones between them."""
    middle = len(data) // 2
    skippable = struct.pack("<2L", 0x184D2A50, 3) + b"abc"
    return skippable + zstd(data[:middle]) + skippable + zstd(data[middle:]) + skippable


def zstd_stream(data: bytes) -> bytes:
    """As a pipe makes it: the size is not known, and there is no checksum."""
    made = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(made, closefd=False) as writer:
        writer.write(data)
    return made.getvalue()


MADE: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "pax.tar": tarred,
    "gnu.tar": functools.partial(tarred, form=tarfile.GNU_FORMAT),
    "gz.tar.gz": lambda files: gzip.compress(tarred(files)),
    "two-members.tgz": lambda files: gzip.compress(tarred(files)[:700]) + gzip.compress(tarred(files)[700:]),
    "zst.tar.zst": lambda files: zstd(tarred(files)),
    "frames.tar.zst": lambda files: zstd_frames(tarred(files)),
    "stream.TAR.ZST": lambda files: zstd_stream(tarred(files)),
    "zip.zip": zipped,
    "stored.zip": lambda files: zipped(files, zipfile.ZIP_STORED),
    "large.zip": functools.partial(zipped, large=True),
    "piped.zip": zipped_to_a_pipe,
    "piped-large.zip": functools.partial(zipped_to_a_pipe, large=True),
    "misnamed.tar.gz": tarred,
    "zip-misnamed.tar": zipped,
}


@pytest.mark.parametrize("name", MADE)
def test_an_archive_comes_out_as_it_went_in(tmp_path: Path, name: str) -> None:
    assert is_archive(name)
    (tmp_path / name).write_bytes(MADE[name](ODD))
    assert unpacked(tmp_path / name)[0] == ODD


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(MADE)),
    st.dictionaries(
        st.text("abcé/.", min_size=1, max_size=150).map(lambda name: f"top/{name.replace('/', 'x/')}y"),
        st.binary(max_size=2000) | st.integers(0, 1 << 17).map(bytes),
        min_size=1,
        max_size=5,
    ),
)
def test_any_files_come_out_as_they_went_in(kind: str, files: dict[str, bytes]) -> None:
    files = {name.replace("..", "."): data for name, data in files.items()}
    files = {name.replace("/./", "/"): data for name, data in files.items()}
    if any(f"{name}/" in other for name in files for other in files):
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / kind).write_bytes(MADE[kind](files))
        assert unpacked(Path(folder) / kind)[0] == files


PROGRAMS = {
    "tar": "tar -cf {to} .",
    "tar of a folder": "tar -cf {to} -C .. source",
    "tar v7": "tar --format=v7 -cf {to} a.csv empty",
    "tar ustar": "tar --format=ustar -cf {to} a.csv empty 'spaces and [glob]*' é",
    "tar posix": "tar --format=posix --xattrs -cf {to} .",
    "tar oldgnu": "tar --format=oldgnu -cf {to} .",
    "tar with a label": "tar --format=gnu --label=volume -cf {to} .",
    "tar with large blocks": "tar -b 2000 -cf {to} .",
    "tar gz": "tar -czf {to} .",
    "zip": "zip -qr {to}.zip . && mv {to}.zip {to}",
    "zip to a pipe": "zip -qr - . | cat > {to}",
    "zip of large files": "zip -qr -fz {to}.zip . && mv {to}.zip {to}",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_common_programs_pack_comes_out(tmp_path: Path, program: str) -> None:
    command = PROGRAMS[program]
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    source = tmp_path / "source"
    for name, data in ODD.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    (source / "hollow" / "folder").mkdir(parents=True)
    (source / "a.csv").chmod(0o6755)
    archive = tmp_path / "archive"
    subprocess.run(command.format(to=archive), shell=True, cwd=source, check=True)
    found, total = unpacked(archive)
    found = {name.removeprefix("source/"): data for name, data in found.items()}
    assert found.items() <= ODD.items()
    assert total.files == len(found) >= 2
    modes = {
        path.stat().st_mode & 0o7777 for path in tmp_path.rglob("archive.unpacked/**/*") if path.is_file()
    }
    assert modes == {0o644}


def test_a_folder_without_files_is_kept(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.mkdir("hollow/folder")
        archive.writestr("a", b"")
    (tmp_path / "a.zip").write_bytes(made.getvalue())
    unpacked(tmp_path / "a.zip")
    assert (tmp_path / "a.zip.unpacked" / "hollow" / "folder").is_dir()


def test_names_without_the_mark_of_utf8_are_utf8_where_they_can_be(tmp_path: Path) -> None:
    data = zipped({"n\xc3\xa9.csv": b"1", "caf\x82.csv": b"2"}, zipfile.ZIP_STORED)
    plain = data.replace("n\xc3\xa9".encode(), b"nABCD").replace("caf\x82".encode(), b"cafXY")
    (tmp_path / "a.zip").write_bytes(
        _without_utf8(plain).replace(b"nABCD", b"n\xc3\xa9__").replace(b"cafXY", b"caf\x82_")
    )
    assert unpacked(tmp_path / "a.zip")[0] == {"né__.csv": b"1", "café_.csv": b"2"}


def _without_utf8(data: bytes) -> bytes:
    """Clears the flag in both headers of each file."""
    changed = bytearray(data)
    for magic, at in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        found = -1
        while (found := data.find(magic, found + 1)) >= 0:
            changed[found + at] &= ~0x08
    return bytes(changed)


def test_the_separator_of_old_programs_of_windows_makes_folders(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("folder\\a.csv")
        info.create_system = 0
        archive.writestr(info, b"1")
    (tmp_path / "a.zip").write_bytes(made.getvalue())
    assert unpacked(tmp_path / "a.zip")[0] == {"folder/a.csv": b"1"}


@pytest.mark.parametrize("name", [name for name in MADE if "misnamed" not in name])
def test_an_archive_that_is_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    whole = MADE[name](FILES)
    filling = 10240 if name.endswith(".tar") else 0
    chosen = random.Random(name)
    lengths = {0, 1, 4, 100, 511, 512, 513, 1024, 1536, len(whole) - filling - 1} | {
        chosen.randrange(len(whole) - filling) for _ in range(40)
    }
    if name.endswith(".tar"):
        # NB: one block of zeros is an end; what comes before the first is all of the data.
        end = len(whole.rstrip(b"\0")) + 512 & ~511
        lengths = {length for length in lengths if length < end}
    if name == "frames.tar.zst":
        # NB: the last 11 bytes are a frame without data.
        lengths -= {len(whole) - 11}
    for length in sorted(length for length in lengths if length < len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        assert refused(tmp_path / name).kind == "broken", length


CHECKED = ("gz.tar.gz", "zst.tar.zst", "zip.zip", "stored.zip", "large.zip", "piped.zip", "piped-large.zip")


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CHECKED), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_an_archive_with_one_changed_byte_is_refused_or_comes_out_the_same(
    name: str, where: float, difference: int
) -> None:
    data = bytearray(_made(name))
    data[int(len(data) * where)] ^= difference
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        assert attempted(Path(folder) / name) in (None, FILES)


@functools.cache
def _made(name: str) -> bytes:
    return MADE[name](FILES)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.sampled_from(["pax.tar", "gnu.tar"]))
def test_a_tar_with_one_changed_byte_loses_no_file(where: float, difference: int, name: str) -> None:
    data = bytearray(_made(name))
    data[int(len(data) * where)] ^= difference
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        found = attempted(Path(folder) / name)
    # NB: a tar has no checksum of what is in its files, nor of its extended headers.
    assert found is None or sorted(map(len, found.values())) == sorted(map(len, FILES.values()))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 511), st.binary(min_size=1, max_size=20), st.sampled_from(["pax.tar", "gnu.tar"]))
def test_a_tar_whose_headers_are_wrong_under_a_right_checksum_does_no_harm(
    where: int, noise: bytes, name: str
) -> None:
    data = bytearray(_made(name))
    header = data[:512]
    header[where : where + len(noise)] = noise
    header = header[:512]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[:512] = header
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        attempted(Path(folder) / name)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["zip.zip", "stored.zip", "large.zip", "piped.zip", "piped-large.zip"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=4),
)
def test_a_zip_with_noise_in_its_directory_does_no_harm(name: str, noise: list[tuple[float, bytes]]) -> None:
    data = bytearray(_made(name))
    start = data.index(b"PK\x01\x02")
    for where, some in noise:
        at = start + int((len(data) - start) * where)
        data[at : at + len(some)] = some
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        attempted(Path(folder) / name)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd"]), st.binary(max_size=3000)
)
def test_noise_is_no_archive(start: bytes, noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.tar").write_bytes(start + noise)
        assert refused(Path(folder) / "a.tar").kind in ("broken", "unsupported", "hostile")


@pytest.mark.parametrize("name", ["pax.tar", "zip.zip", "gz.tar.gz"])
def test_what_has_no_room_is_refused_before_it_fills_the_volume(tmp_path: Path, name: str) -> None:
    size = sum(map(len, FILES.values()))
    (tmp_path / name).write_bytes(MADE[name](FILES))
    unpacked(tmp_path / name, max_bytes=size)
    trouble = refused(tmp_path / name, max_bytes=size - 1)
    assert trouble.kind == "full"
    assert "spec.cache.size" in str(trouble)


@pytest.mark.parametrize("name", ["pax.tar", "zip.zip"])
def test_more_entries_than_any_dataset_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archives, "MOST_ENTRIES", 4)
    (tmp_path / name).write_bytes(MADE[name](FILES))
    assert "has more than 4 entries" in str(refused(tmp_path / name))


def test_memory_does_not_grow_with_what_is_in_an_archive(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(24 << 20)
    many = {f"{number:05d}.txt": b"x" for number in range(3000)}
    made = {
        "a.tar": tarred({"noise": noise}),
        "a.tar.gz": gzip.compress(tarred({"zeros": bytes(60 << 20)})),
        "a.tar.zst": zstd(tarred({"zeros": bytes(60 << 20)})),
        "a.zip": zipped({"zeros": bytes(60 << 20), "noise": noise}),
        "many.zip": zipped(many),
        "many.tar": tarred(many),
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    del made, noise
    for name in ("a.tar", "a.tar.gz", "a.tar.zst", "a.zip", "many.zip", "many.tar"):
        tracemalloc.start()
        try:
            unpack(
                tmp_path / name, tmp_path / "into", name=name, max_bytes=1 << 40, contents=Contents(tmp_path)
            )
            assert tracemalloc.get_traced_memory()[1] < 8 << 20, name
        finally:
            tracemalloc.stop()


def test_an_archive_that_is_unpacked_again_leaves_nothing_of_the_first_time(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"a": b"1"}))
    (tmp_path / "a.zip.unpacked" / "left").mkdir(parents=True)
    (tmp_path / "a.zip.unpacked" / "a").write_bytes(b"half")
    assert unpacked(tmp_path / "a.zip")[0] == {"a": b"1"}
    assert not (tmp_path / "a.zip.unpacked" / "left").exists()


def test_an_archive_in_an_archive_stays_one(tmp_path: Path) -> None:
    inner = zipped({"b": b"1"})
    (tmp_path / "a.zip").write_bytes(zipped({"inner.zip": inner}))
    assert unpacked(tmp_path / "a.zip")[0] == {"inner.zip": inner}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tar", True),
        ("a.tar.gz", True),
        ("A.TGZ", True),
        ("a.tar.zst", True),
        ("a.zip", True),
        ("a.gz", False),
        ("a.csv.zip.txt", False),
        ("zip", False),
        ("a.tar.bz2", False),
    ],
)
def test_archives_are_known_by_their_names(name: str, expected: bool) -> None:
    assert is_archive(name) == expected
