"""Folders that are made to harm or to confuse: a clear finding, no crash, bounded memory, nothing read from outside."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from trainyard_data.findings import Findings
from trainyard_data.tree import inside, listed

SECRET = "a,b\nsecret,1\n"


def _link_out(folder: Path) -> None:
    (folder.parent / "outside.csv").write_text(SECRET)
    (folder / "a.csv").symlink_to("../outside.csv")


def _link_out_by_two(folder: Path) -> None:
    (folder.parent / "outside.csv").write_text(SECRET)
    (folder / "b").symlink_to("..")
    (folder / "a.csv").symlink_to("b/outside.csv")


def _link_folder_out(folder: Path) -> None:
    (folder / "a").symlink_to("/etc")


def _link_loop(folder: Path) -> None:
    (folder / "a.csv").symlink_to("b.csv")
    (folder / "b.csv").symlink_to("a.csv")


def _link_up(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "up").symlink_to("..")


def _link_nowhere(folder: Path) -> None:
    (folder / "a.csv").symlink_to("gone.csv")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.csv")


def _device(folder: Path) -> None:
    (folder / "a.csv").symlink_to("/dev/zero")


def _odd_name(folder: Path) -> None:
    (Path(os.fsencode(folder).decode("utf-8", "surrogateescape")) / "caf\udce9.csv").write_text("x,y\n1,2\n")


FOLDERS: dict[str, tuple[Callable[[Path], None], tuple[str, str]]] = {
    "a link that leaves": (
        _link_out,
        ("a.csv", "This link leaves the dataset's folder: put the file itself there."),
    ),
    "a link that leaves by another": (_link_out_by_two, ("a.csv", "This link leaves the dataset's folder")),
    "a link to a folder outside": (_link_folder_out, ("a", "This link leaves the dataset's folder")),
    "links in a circle": (_link_loop, ("a.csv", "This link leads nowhere.")),
    "a link to the folder above": (
        _link_up,
        ("sub/up", "This link leads to a folder, which is not followed"),
    ),
    "a link to nothing": (_link_nowhere, ("a.csv", "This link leads nowhere.")),
    "a pipe": (_pipe, ("a.csv", "This is neither a file nor a folder")),
    "a link to a device": (_device, ("a.csv", "This link leaves the dataset's folder")),
    "a name that is no text": (_odd_name, ("caf\\xe9.csv", "The name is not UTF-8: rename it.")),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_no_plain_file_is_told_and_not_read(name, tmp_path, checked):
    make, (path, message) = FOLDERS[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good.csv").write_text("x,y\n1,2\n")
    make(folder)
    run = checked(folder, "tabular", "csv", digest=True)
    assert run.first is not None
    assert (run.first[0], run.first[2][: len(message)]) == (path, message)
    assert "secret" not in run.text
    assert run.profile["rows"] == 1


def test_a_link_to_a_file_inside_is_a_file(tmp_path, checked):
    folder = tmp_path / "folder"
    (folder / ".store").mkdir(parents=True)
    (folder / ".store" / "blob").write_text("x,y\n1,2\n")
    (folder / "a.csv").symlink_to(".store/blob")
    run = checked(folder, "tabular", "csv")
    assert run.first is None
    assert run.profile["rows"] == 1


def test_names_of_every_kind_are_told_as_they_are(checked):
    for name in ("日本.csv", "a b.csv", "-rf.csv", "$(id).csv", "a\nb.csv", '"q".csv', "x" * 240 + ".csv"):
        run = checked({name: "x,y\n1\n"}, "tabular", "csv")
        assert run.first == (name, 2, "The row has 1 cell, but there are 2 columns.")


def test_a_folder_that_is_not_there(tmp_path, checked):
    run = checked(tmp_path / "none", "tabular", "csv", digest=True)
    assert run.first == (".", None, "The folder cannot be listed: No such file or directory.")
    assert run.code == 0


def test_the_file_systems_own_folder_is_left_out(tmp_path, checked):
    folder = tmp_path / "folder"
    (folder / "lost+found").mkdir(parents=True)
    (folder / "a.csv").write_text("x,y\n1,2\n")
    (folder / "lost+found").chmod(0)
    run = checked(folder, "tabular", "csv", digest=True)
    assert run.first is None
    assert run.verdict["files"] == 1


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        ("", "a/b.png", "a/b.png"),
        ("x", "../b.png", "b.png"),
        ("x", "./b.png", "x/b.png"),
        ("x", "..\\b.png", "b.png"),
        ("x", "../../b.png", None),
        ("", "/etc/passwd", None),
        ("", "a\0b", None),
    ],
)
def test_a_name_in_a_file_stays_inside(folder, name, path):
    assert inside(folder, name) == path


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _with_text(text: bytes) -> bytes:
    """A PNG with a compressed comment."""
    content = b"zTXt" + b"a\0\0" + zlib.compress(text)
    comment = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return _png(8, 8, b"").replace(b"\0\0\0\0IDAT", comment + b"\0\0\0\0IDAT")


def _repeated() -> dict[str, bytes]:
    """64 KiB of a file that are 300 GB of rows."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), pa.array(["a" * (30 << 20)]))
    stream = io.BytesIO()
    parquet.write_table(pa.table({"x": texts}), stream, compression="zstd", store_schema=False)
    assert len(stream.getvalue()) < 1 << 20
    return {"a.parquet": stream.getvalue()}


BIG = 128 << 20
#: NB: made when they are needed, as some are large.
BOMBS: dict[str, tuple[str, str, Callable[[], dict[str, bytes]], tuple[str, str]]] = {
    "an image of 100,000 by 100,000 pixels": (
        "image_classification",
        "default",
        lambda: {"cat/1.png": _png(100_000, 100_000, zlib.compress(bytes(10_000_000)))},
        ("cat/1.png", "The image has more than 268,435,456 pixels."),
    ),
    "a mask that is a bomb": (
        "semantic_segmentation",
        "unet",
        lambda: {
            "images/1.png": _png(16_000, 16_000, zlib.compress(bytes(1_000_000))),
            "masks/1.png": _png(90_000, 90_000, zlib.compress(bytes(1_000_000))),
        },
        ("masks/1.png", "The image has more than 268,435,456 pixels."),
    ),
    "a comment of 128 MB in a PNG": (
        "image_classification",
        "default",
        lambda: {"cat/1.png": _with_text(bytes(BIG))},
        ("cat/1.png", "The image is broken"),
    ),
    "JSON with one endless text": (
        "object_detection",
        "coco",
        lambda: {"a.json": b'{"images": [{"id": 1, "file_name": "' + b"a" * BIG},
        ("a.json", "One element is larger than 16 MiB"),
    ),
    "JSON with ten million lists in each other": (
        "object_detection",
        "coco",
        lambda: {"a.json": b'{"images": ' + b"[" * 10_000_000},
        ("a.json", "This is not valid JSON: it is nested too deeply."),
    ),
    "a number of a million digits": (
        "object_detection",
        "coco",
        lambda: {"a.json": b'{"images": [{"id": ' + b"1" * 1_000_000 + b"}]}"},
        ("a.json", "This is not valid JSON: exceeds the limit"),
    ),
    "a CSV of one line": (
        "tabular",
        "csv",
        lambda: {"a.csv": b"x,y\n" + b"1" * BIG},
        ("a.csv", "The line is longer than 8,388,608 bytes: is this the right file?"),
    ),
    "a CSV with a million columns": (
        "tabular",
        "csv",
        lambda: {"a.csv": b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n"},
        ("a.csv", "There are 1,000,000 columns; 20,000 are the most that are read."),
    ),
    "a label without a line end": (
        "object_detection",
        "kitti",
        lambda: {"images/1.png": _png(8, 8, zlib.compress(bytes(8 * 25))), "labels/1.txt": b"a" * BIG},
        ("labels/1.txt", "The line is longer than 1,048,576 bytes: is this the right file?"),
    ),
    "a Parquet file whose one text stands in every row": (
        "tabular",
        "parquet",
        _repeated,
        ("a.parquet", "Reading it takes more memory than the check has"),
    ),
    "XML with 300,000 elements in each other": (
        "object_detection",
        "pascal_voc",
        lambda: {"Annotations/1.xml": b"<annotation>" + b"<a>" * 300_000 + b"</a>" * 10},
        ("Annotations/1.xml", "This is not valid XML"),
    ),
    "an XML file of spaces": (
        "object_detection",
        "pascal_voc",
        lambda: {"Annotations/1.xml": b"<annotation>" + b" " * BIG},
        ("Annotations/1.xml", "The file is larger than 1 MiB: is this the right file?"),
    ),
}
CHECK = """
import sys
from trainyard_data import limits
bound = limits.bound
limits.bound = lambda: bound(1 << 30)
from trainyard_data.__main__ import main
code = main(["check"])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_finding_and_takes_no_memory(name, tmp_path):
    type, format, files, (path, message) = BOMBS[name]
    for place, content in files().items():
        (tmp_path / "d" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / place).write_bytes(content)
    order = f'{{"folder": "{tmp_path / "d"}", "type": "{type}", "format": "{format}"}}'
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env=os.environ | {"TRAINYARD_CHECK": order, "TRAINYARD_TERMINATION_LOG": str(tmp_path / "log")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    shutil.rmtree(tmp_path / "d")
    assert done.returncode == 0, done.stderr
    assert f"{path}" in done.stdout
    assert message in done.stdout
    assert int(done.stderr.split()[-2]) < (1000 << 10 if format == "parquet" else 250 << 10)


def test_a_file_takes_little_memory_however_many_there_are(tmp_path):
    for folder in range(20):
        (tmp_path / str(folder)).mkdir()
        for number in range(100):
            (tmp_path / str(folder) / f"{number:010}.png").touch()
    tracemalloc.start()
    try:
        tree = listed(tmp_path, Findings())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(tree.files) == 2_000
    assert peak / len(tree.files) < 500
