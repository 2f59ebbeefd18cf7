"""Which files a download is made of, and which paths of a manifest are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.cli import filelists
from trainyard.cli.exits import CommandError
from trainyard.cli.filelists import File, Text

DIGEST = "0" * 64


def manifest(*entries: Any) -> str:
    return json.dumps({"attempt": 0, "files": list(entries)})


def entry(path: Any, size: Any = 1, sha256: Any = DIGEST) -> dict[str, Any]:
    return {"path": path, "size": size, "sha256": sha256}


def a_file(path: str) -> File:
    return File(path=path, source=path, size=1, sha256=DIGEST)


def test_a_rank_has_its_files_in_a_folder_of_its_own() -> None:
    (file,) = filelists.listed(
        manifest(entry("a/b.bin", 3)), what="m", source="attempt-2/rank-1", under="rank-1"
    )
    assert file == File(path="rank-1/a/b.bin", source="attempt-2/rank-1/a/b.bin", size=3, sha256=DIGEST)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../x", "a/../../x", "..", "a/..", "./a", "a//b", "a/", "", "."),
        *("C:\\Windows\\x", "C:x", "\\\\host\\share\\x", "a\\..\\..\\x", "a\0b", "a\nb", "\x1b[2Jx"),
        *("x" * 256, "é" * 128, "a/" * 2100 + "a"),
    ],
)
def test_a_path_that_would_leave_the_folder_or_is_no_plain_one_is_refused(path: str) -> None:
    with pytest.raises(CommandError, match=r"names the file .*, which .*Nothing was downloaded"):
        filelists.listed(manifest(entry("good"), entry(path)), what="artifacts.json", source="s")


@given(st.text())
def test_no_path_that_is_taken_has_a_part_that_climbs(path: str) -> None:
    if filelists.unsafe(path) is None:
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "nonsense", "[" * 100_000, manifest("a"), manifest(entry(3)), '{"files": {}}', "{}"),
        *(manifest(entry("a", -1)), manifest(entry("a", "1")), manifest(entry("a", True))),
        *(manifest(entry("a", 1, "x" * 64)), manifest(entry("a", 1, None))),
    ],
)
def test_a_manifest_that_is_broken_is_told(text: str) -> None:
    with pytest.raises(CommandError, match=r"artifacts\.json is broken"):
        filelists.listed(text, what="artifacts.json", source="s")


@pytest.mark.parametrize(
    ("paths", "texts"),
    [
        (["a", "a"], []),
        (["a", "a/b"], []),
        (["artifacts.json"], ["artifacts.json"]),
        (["rank-1", "rank-1/b"], []),
    ],
)
def test_two_files_for_one_place_are_refused(paths: list[str], texts: list[str]) -> None:
    with pytest.raises(CommandError, match="nothing was downloaded"):
        filelists.checked([a_file(path) for path in paths], [Text(path=path, content="") for path in texts])


def test_patterns_match_paths_and_names() -> None:
    files = [
        a_file(path) for path in ("model.onnx", "deep/model.onnx", "deep/table.json", "rank-1/shard.bin")
    ]

    def chosen(*patterns: str) -> list[str]:
        return [file.path for file in filelists.chosen(files, patterns)]

    assert chosen("*.onnx") == ["model.onnx", "deep/model.onnx"]
    assert chosen("deep/*") == ["deep/model.onnx", "deep/table.json"]
    assert chosen("shard.bin", "table.*") == ["deep/table.json", "rank-1/shard.bin"]
    assert len(chosen()) == 4
    assert chosen("*.pt") == []


def test_an_index_is_in_the_order_of_epochs() -> None:
    index = json.dumps({"checkpoints": [{"epoch": 12, "sha256": "b"}, {"epoch": 3, "sha256": "a"}]})
    assert [(one.number, one.folder) for one in filelists.epochs(index)] == [
        (3, "checkpoints/epoch-000003"),
        (12, "checkpoints/epoch-000012"),
    ]
    assert filelists.epochs(None) == []
    with pytest.raises(CommandError, match="index of checkpoints is broken"):
        filelists.epochs('{"checkpoints": [{"epoch": "../x", "sha256": "a"}]}')


@pytest.mark.parametrize("ranks", [0, -1, "2", True, 10**9])
def test_a_number_of_ranks_that_none_can_have_is_refused(ranks: Any) -> None:
    with pytest.raises(CommandError, match="worldSize"):
        filelists.parts(json.dumps({"worldSize": ranks}), what="m")
