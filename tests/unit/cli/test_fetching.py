"""Files on this machine: what is there is checked, what is half there goes on, what is wrong is never kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest

from trainyard.cli import fetching
from trainyard.cli.exits import CommandError
from trainyard.cli.fetching import Fetched, Folder
from trainyard.cli.filelists import File, Text
from trainyard.cli.transfers import Transfer
from trainyard.cli.tunnel import TunnelCut

CONTENT = bytes(range(256)) * 40


class Store:
    """Files by their path; remembers from where on each was asked for. Cuts the connection after some bytes, once."""

    def __init__(self, files: dict[str, bytes], *, cut_after: int | None = None) -> None:
        self.files = files
        self.asked: list[tuple[str, int]] = []
        self._cut_after = cut_after

    async def file(self, path: str, *, offset: int = 0) -> AsyncGenerator[bytes]:
        self.asked.append((path, offset))
        data = self.files[path][offset:]
        if self._cut_after is not None:
            after, self._cut_after = self._cut_after, None
            yield data[:after]
            raise TunnelCut("lost")
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    def opened(self) -> AbstractAsyncContextManager[Store]:
        return nullcontext(self)


def a_file(path: str, content: bytes = CONTENT) -> File:
    digest = hashlib.sha256(content).hexdigest()
    return File(path=path, source=path, size=len(content), sha256=digest)


async def fetch(store: Store, root: Path, *files: File, overwrite: bool = False) -> Fetched:
    view = Transfer(files=len(files), size=sum(file.size for file in files))
    result = await fetching.fetch(files, Folder(root), store.opened, view, overwrite=overwrite)
    if not result.problems:
        assert (view.done_files, view.done_size) == (view.files, view.size), "the bar is full"
    return result


async def test_files_arrive_and_no_part_is_left(tmp_path: Path) -> None:
    store = Store({"a/b.bin": CONTENT, "empty": b""})
    result = await fetch(store, tmp_path / "new", a_file("a/b.bin"), a_file("empty", b""))
    assert (result.fetched, result.there, result.problems) == (2, 0, [])
    assert (tmp_path / "new/a/b.bin").read_bytes() == CONTENT
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "empty"]


async def test_what_is_there_and_right_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    store = Store({"a": CONTENT})
    assert (await fetch(store, tmp_path, a_file("a"))).there == 1
    assert store.asked == []


async def test_what_is_there_with_another_content_stays_unless_told_otherwise(tmp_path: Path) -> None:
    mine = b"x" * len(CONTENT)
    (tmp_path / "a").write_bytes(mine)
    store = Store({"a": CONTENT})
    (problem,) = (await fetch(store, tmp_path, a_file("a"))).problems
    assert problem == "a: It is there with another content, and --overwrite was not given."
    assert (tmp_path / "a").read_bytes() == mine
    assert (await fetch(store, tmp_path, a_file("a"), overwrite=True)).fetched == 1
    assert (tmp_path / "a").read_bytes() == CONTENT


async def test_a_part_goes_on_where_it_stopped(tmp_path: Path) -> None:
    Folder(tmp_path).part(a_file("a")).write_bytes(CONTENT[:4321])
    store = Store({"a": CONTENT})
    assert (await fetch(store, tmp_path, a_file("a"))).fetched == 1
    assert store.asked == [("a", 4321)]
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"wrong" * 100, CONTENT + b"more"], ids=["damaged", "too long"])
async def test_a_part_that_is_wrong_is_fetched_anew(tmp_path: Path, part: bytes) -> None:
    Folder(tmp_path).part(a_file("a")).write_bytes(part)
    store = Store({"a": CONTENT})
    assert (await fetch(store, tmp_path, a_file("a"))).problems == []
    assert store.asked[-1] == ("a", 0)
    assert (tmp_path / "a").read_bytes() == CONTENT


async def test_a_connection_that_is_cut_goes_on_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PAUSE_SECONDS", 0.0)
    store = Store({"a": CONTENT}, cut_after=2500)
    assert (await fetch(store, tmp_path, a_file("a"))).fetched == 1
    assert store.asked == [("a", 0), ("a", 2500)]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (CONTENT[:-1] + b"x", "It has another sha256 in the store"),
        (CONTENT[:-1], "It is shorter in the store"),
        (CONTENT + b"x", "It is longer in the store"),
    ],
    ids=["changed", "shorter", "longer"],
)
async def test_a_file_that_is_not_the_one_that_is_listed_is_not_kept(
    tmp_path: Path, stored: bytes, said: str
) -> None:
    result = await fetch(Store({"bad": stored, "good": CONTENT}), tmp_path, a_file("bad"), a_file("good"))
    (problem,) = result.problems
    assert problem.startswith(f"bad: {said}")
    assert not (tmp_path / "bad").exists()
    assert (tmp_path / "good").read_bytes() == CONTENT


async def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    root = tmp_path / "root"
    root.mkdir()
    (root / "deep").symlink_to(outside)
    (root / "link").symlink_to(outside / "file")
    files = [a_file("deep/new"), a_file("link"), a_file("deep/file")]
    store = Store({file.path: CONTENT for file in files})
    result = await fetch(store, root, *files, overwrite=True)
    assert len(result.problems) == 3
    assert all("is in the way" in problem for problem in result.problems)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == b"mine"
    assert store.asked == []


def test_files_of_another_size_and_other_manifests_are_seen_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "artifacts.json").write_text("{}")
    folder = Folder(tmp_path)
    texts = [Text(path="artifacts.json", content="{} ")]
    assert fetching.occupied(folder, [a_file("a"), a_file("b")], texts) == [
        str(tmp_path / "artifacts.json"),
        str(tmp_path / "a"),
    ]


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert fetching.missing_room(folder, [a_file("a")]) is None
    huge = File(path="a", source="a", size=1 << 60, sha256="0" * 64)
    assert "make room, or choose another FOLDER" in str(fetching.missing_room(folder, [huge]))


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(CommandError, match="is in the way"):
        Folder(tmp_path).target("a/b")
