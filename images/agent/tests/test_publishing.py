"""A dataset is on its volume whole or not at all, wherever the puller is killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard_agent import contents as contents_module
from trainyard_agent import publishing
from trainyard_agent.contents import Contents
from trainyard_agent.publishing import publish, published
from trainyard_agent.troubles import Trouble

FILES = {"a.csv": b"1,2\n", "deep/er/b.bin": bytes(1000), "empty": b"", "ünï/😀": b"x"}
LISTING = "ab" * 32


def staged(volume: Path, files: dict[str, bytes] = FILES) -> tuple[Path, Contents]:
    folder = volume / ".pulling" / "files"
    contents = Contents(volume)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        contents.add(name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return folder, contents


def on(volume: Path, top: str = "data") -> dict[str, bytes]:
    return {
        path.relative_to(volume / top).as_posix(): path.read_bytes()
        for path in (volume / top).rglob("*")
        if path.is_file()
    }


def test_what_is_published_is_there_with_its_record_and_nothing_else(tmp_path: Path) -> None:
    folder, contents = staged(tmp_path)
    done = publish(tmp_path, folder, listing=LISTING, contents=contents)
    assert done == published(tmp_path)
    assert (done.listing, done.bytes, done.files) == (LISTING, 1005, 4)
    assert on(tmp_path) == FILES
    assert json.loads((tmp_path / "published.json").read_text())["sha256"] == done.sha256
    assert {path.name for path in tmp_path.iterdir()} == {"data", "published.json", ".pulling"}


def test_the_digest_is_what_standard_tools_say(tmp_path: Path) -> None:
    folder, contents = staged(tmp_path)
    done = publish(tmp_path, folder, listing=LISTING, contents=contents)
    pipeline = "find . -type f | sed 's,^./,,' | xargs -d '\\n' sha256sum | LC_ALL=C sort | sha256sum"
    said = subprocess.run(pipeline, shell=True, cwd=tmp_path / "data", capture_output=True, check=True)
    assert said.stdout.split()[0].decode() == done.sha256


def test_the_digest_of_one_file_is_its_own(tmp_path: Path) -> None:
    folder, contents = staged(tmp_path, {"one": b"abc"})
    done = publish(tmp_path, folder, listing=LISTING, contents=contents)
    assert done.sha256 == hashlib.sha256(b"abc").hexdigest()


def test_the_digest_depends_on_neither_order_nor_how_much_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(f"f{number:05d}", number, hashlib.sha256(b"%d" % number).hexdigest()) for number in range(1000)]
    totals = []
    for most in (10_000, 7, 1):
        monkeypatch.setattr(contents_module, "_IN_MEMORY", most)
        random.Random(most).shuffle(files)
        contents = Contents(tmp_path)
        for path, size, sha256 in files:
            contents.add(path, size=size, sha256=sha256)
        assert contents.total() == contents.total()
        totals.append(contents.total())
    assert totals[0] == totals[1] == totals[2]
    assert totals[0].files == 1000
    assert not list(tmp_path.iterdir())


def test_what_was_published_before_gives_way_to_other_content_alone(tmp_path: Path) -> None:
    folder, contents = staged(tmp_path, {"old": b"1", "a.csv": b"other"})
    old = publish(tmp_path, folder, listing="0" * 64, contents=contents)
    inode = (tmp_path / "data").stat().st_ino
    folder, contents = staged(tmp_path)
    assert publish(tmp_path, folder, listing="0" * 64, contents=contents) == old
    assert not folder.exists()
    assert (tmp_path / "data").stat().st_ino == inode
    folder, contents = staged(tmp_path)
    publish(tmp_path, folder, listing=LISTING, contents=contents)
    assert on(tmp_path) == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"data", "published.json", ".pulling"}


def test_everybody_may_read_what_is_published_and_no_file_runs_as_another_user(tmp_path: Path) -> None:
    folder, contents = staged(tmp_path)
    (folder / "a.csv").chmod(0o4700)
    (folder / "deep").chmod(0o700)
    publish(tmp_path, folder, listing=LISTING, contents=contents)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").rglob("*")}
    assert (modes["a.csv"], modes["deep"], modes["b.bin"]) == (0o644, 0o755, 0o644)


def leave_out(folder: Path) -> None:
    (folder / "a.csv").unlink()


def leave_more(folder: Path) -> None:
    (folder / "more").write_bytes(b"")


def cut(folder: Path) -> None:
    (folder / "a.csv").write_bytes(b"1,")


def rename(folder: Path) -> None:
    (folder / "a.csv").rename(folder / "A.csv")


def link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize(
    ("meddle", "kind"),
    [
        (leave_out, "broken"),
        (leave_more, "broken"),
        (cut, "broken"),
        (rename, "broken"),
        (link, "hostile"),
        (pipe, "hostile"),
    ],
)
def test_a_folder_that_is_not_what_was_pulled_is_not_published(
    tmp_path: Path, meddle: Callable[[Path], None], kind: str
) -> None:
    folder, contents = staged(tmp_path)
    meddle(folder)
    with pytest.raises(Trouble) as refused:
        publish(tmp_path, folder, listing=LISTING, contents=contents)
    assert refused.value.kind == kind
    assert published(tmp_path) is None
    assert not (tmp_path / "data").exists()


def test_nothing_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="no file") as refused:
        publish(tmp_path, tmp_path / "none", listing=LISTING, contents=Contents(tmp_path))
    assert refused.value.kind == "empty"


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"listing": "x"}', b"\xff"])
def test_a_record_that_cannot_be_read_publishes_nothing(tmp_path: Path, record: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "published.json").write_bytes(record)
    assert published(tmp_path) is None
    folder, contents = staged(tmp_path)
    assert publish(tmp_path, folder, listing=LISTING, contents=contents) == published(tmp_path)
    assert on(tmp_path) == FILES


def test_a_record_without_its_data_publishes_nothing(tmp_path: Path) -> None:
    folder, contents = staged(tmp_path)
    publish(tmp_path, folder, listing=LISTING, contents=contents)
    (tmp_path / "data").rename(tmp_path / "gone")
    assert published(tmp_path) is None


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


#: What changes a volume, or waits for it.
STEPS = ("rename", "replace", "unlink", "mkdir", "rmdir", "open", "fsync", "chmod", "scandir")


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its so-manieth call on, no call does anything."""
    made = 0

    def stopping(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal made
            made += 1
            if made > step:
                raise Killed
            return real(*arguments, **more)

        return call

    for name in STEPS:
        monkeypatch.setattr(os, name, stopping(getattr(os, name)))


def kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool) -> Iterator[tuple[Path, bool]]:
    """A volume for each step at which a puller can be killed, and whether it was not, as it was done before."""
    for step in range(500):
        volume = tmp_path / str(step)
        volume.mkdir()
        if old:
            folder, contents = staged(volume, {"old": b"1", "a.csv": b"other"})
            publish(volume, folder, listing="0" * 64, contents=contents)
        folder, contents = staged(volume)
        with monkeypatch.context() as patch:
            killed_at(step, patch)
            try:
                publish(volume, folder, listing=LISTING, contents=contents)
                done = True
            except Killed:
                done = False
        yield volume, done
        if done:
            return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("old", [False, True], ids=["on an empty volume", "over other content"])
def test_a_puller_that_is_killed_at_any_step_leaves_all_or_nothing_and_the_next_one_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    seen = set()
    for volume, done in kills(tmp_path, monkeypatch, old):
        record = (volume / "published.json").exists()
        data = on(volume) if (volume / "data").exists() else None
        seen.add((record, data is not None))
        assert data in (None, FILES, {"old": b"1", "a.csv": b"other"})
        if record:
            listing = json.loads((volume / "published.json").read_text())["listing"]
            assert data == (FILES if listing == LISTING else {"old": b"1", "a.csv": b"other"})
        found = published(volume)
        if found is None or found.listing != LISTING:
            folder, contents = staged(volume)
            found = publish(volume, folder, listing=LISTING, contents=contents)
        assert on(volume) == FILES
        assert found == published(volume)
        assert {path.name for path in volume.iterdir()} <= {"data", "published.json", ".pulling"}
        if done:
            assert (record, data) == (True, FILES)
    assert seen >= {(False, True), (True, True), (False, False)}


def test_a_puller_that_is_killed_while_it_ends_what_another_began_leaves_it_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = [
        volume for volume, _ in kills(tmp_path, monkeypatch, False) if (volume / ".publishing.json").exists()
    ]
    assert len(begun) > 3
    for number, left in enumerate(begun):
        for step in range(10):
            volume = tmp_path / f"again-{number}-{step}"
            shutil.copytree(left, volume)
            with monkeypatch.context() as patch:
                killed_at(step, patch)
                with contextlib.suppress(Killed):
                    published(volume)
            found = published(volume)
            assert found is not None
            assert (found.listing, found.files) == (LISTING, 4)
            assert on(volume) == FILES


def test_files_are_on_the_disk_before_their_name_is_and_that_before_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, contents = staged(tmp_path)
    told: list[str] = []
    flush, rename_, fsync = publishing._flush, os.rename, os.fsync

    def flushed(volume: Path) -> None:
        told.append("flush all")
        flush(volume)

    def renamed(source: Path, target: Path) -> None:
        told.append(f"{Path(target).name}")
        rename_(source, target)

    def synced(descriptor: int) -> None:
        told.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    monkeypatch.setattr(publishing, "_flush", flushed)
    monkeypatch.setattr(publishing.os, "rename", renamed)
    monkeypatch.setattr(publishing.os, "fsync", synced)
    publish(tmp_path, folder, listing=LISTING, contents=contents)
    top = f"sync {tmp_path.name}"
    assert told == [
        "flush all",
        top,
        "sync .publishing.json.part",
        ".publishing.json",
        top,
        "data",
        top,
        "sync .pulling",
        "published.json",
        top,
    ]


def test_a_volume_that_cannot_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, contents = staged(tmp_path)

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(publishing.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        publish(tmp_path, folder, listing=LISTING, contents=contents)
    monkeypatch.undo()
    assert published(tmp_path) is None
