"""What of a folder leaves this machine, and what never does."""

from __future__ import annotations

import hashlib
import os
import socket
import zipfile
from pathlib import Path

import pytest

from trainyard.cli import localfiles
from trainyard.cli.exits import CommandError
from trainyard.cli.transfers import Transfer


def written(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return root


def paths_in(found: localfiles.Found) -> list[str]:
    return [file.path for file in found.files]


def test_all_files_of_a_folder_are_found_by_their_paths_in_order(tmp_path: Path) -> None:
    root = written(tmp_path / "data", "b.csv", "a/b/c.png", "a.csv", "größe 1.csv", ".hidden")
    found = localfiles.find(root)
    assert paths_in(found) == [".hidden", "a.csv", "a/b/c.png", "b.csv", "größe 1.csv"]
    assert found.size == sum(len(path.encode()) for path in paths_in(found))
    assert list(found.notes()) == []


def test_one_file_keeps_its_name(tmp_path: Path) -> None:
    root = written(tmp_path, "digits.csv") / "digits.csv"
    assert paths_in(localfiles.find(root)) == ["digits.csv"]


def test_what_is_no_data_is_left_out_and_said_so(tmp_path: Path) -> None:
    root = written(
        tmp_path / "data",
        "a.csv",
        ".git/config",
        "sub/.DS_Store",
        "sub/._a.csv",
        "notes/todo.tmp",
        "keep.tmp.csv",
    )
    (root / "empty").mkdir()
    (root / "empty too").mkdir()
    os.mkfifo(root / "pipe")
    found = localfiles.find(root, ("*.tmp",))
    assert paths_in(found) == ["a.csv", "keep.tmp.csv"]
    assert list(found.notes()) == [
        "Left out: .git, notes/todo.tmp, pipe (no plain file), sub/.DS_Store, sub/._a.csv.",
        "Left out: 2 empty folders; a dataset has files only.",
    ]


def test_of_very_much_that_is_left_out_a_few_are_named(tmp_path: Path) -> None:
    root = written(tmp_path, "a", *(f"{number}.tmp" for number in range(9)))
    assert list(localfiles.find(root, ("*.tmp",)).notes()) == [
        "Left out: 0.tmp, 1.tmp, 2.tmp, 3.tmp, 4.tmp and 4 more."
    ]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("train", ["test/a.csv", "train.csv"]),
        ("train/", ["test/a.csv", "train.csv"]),
        ("train/*", ["test/a.csv", "train.csv"]),
        ("*/a.csv", ["train.csv", "train/b.csv"]),
        ("a.csv", ["train.csv", "train/b.csv"]),
    ],
)
def test_what_a_pattern_leaves_out(tmp_path: Path, pattern: str, left: list[str]) -> None:
    root = written(tmp_path, "train/a.csv", "train/b.csv", "test/a.csv", "train.csv")
    assert paths_in(localfiles.find(root, (pattern,))) == left


def test_links_inside_the_folder_become_copies(tmp_path: Path) -> None:
    root = written(tmp_path / "data", "images/a.png", "images/b.png")
    (root / "first.png").symlink_to("images/a.png")
    (root / "train").symlink_to(root / "images")
    found = localfiles.find(root)
    assert paths_in(found) == ["first.png", "images/a.png", "images/b.png", "train/a.png", "train/b.png"]
    (tmp_path / "link").symlink_to(root)
    assert paths_in(localfiles.find(tmp_path / "link")) == paths_in(found), "the folder itself may be a link"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("../secret", "is a link that leads out of the folder, to "),
        ("/etc/hostname", "is a link that leads out of the folder, to /etc/hostname"),
        ("..", "is a link that leads out of the folder, to "),
        ("inside/../../secret", "is a link that leads out of the folder, to "),
        ("nothing", "is a link that leads nowhere"),
        ("link", "is a link that leads nowhere"),
        (".", "is a link to a folder that it lies in itself"),
        ("../data/inside/..", "is a link to a folder that it lies in itself"),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused(tmp_path: Path, target: str, sentence: str) -> None:
    root = written(tmp_path / "data", "inside/a")
    (tmp_path / "secret").write_text("no")
    (root / "link").symlink_to(target)
    with pytest.raises(CommandError, match="link") as refused:
        localfiles.find(root)
    assert refused.value.message.startswith(f"{root}/link {sentence}")
    assert paths_in(localfiles.find(root, ("link",))) == ["inside/a"], "and can be left out"


def test_links_of_two_folders_to_each_other_come_to_an_end(tmp_path: Path) -> None:
    root = written(tmp_path, "a/1", "b/2")
    (root / "a/b").symlink_to("../b")
    (root / "b/a").symlink_to("../a")
    with pytest.raises(CommandError, match="is a link to a folder that it lies in itself"):
        localfiles.find(root)


@pytest.mark.parametrize("name", ["a\nb.csv", "a\x1b[31m", b"a\xff.csv"], ids=ascii)
def test_a_name_that_nobody_can_read_is_refused(tmp_path: Path, name: str | bytes) -> None:
    written(tmp_path, "good")
    with open(os.fsencode(tmp_path) + b"/" + os.fsencode(name), "wb"):
        pass
    with pytest.raises(CommandError, match=r"^The name "):
        localfiles.find(tmp_path)


def test_what_cannot_be_pushed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # NB: the name of a socket cannot be as long as the path of this folder.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    (tmp_path / "nothing").mkdir()
    for name, sentence in (
        ("missing", "cannot be read: No such file or directory."),
        ("nothing", "has no files to push."),
        ("socket", "is neither a file nor a folder."),
    ):
        with pytest.raises(CommandError) as refused:
            localfiles.find(tmp_path / name)
        assert refused.value.message == f"{tmp_path / name} {sentence}"


async def test_the_digest_is_that_of_one_file_or_of_all_lines_in_order(tmp_path: Path) -> None:
    root = written(tmp_path, *(f"{number}.csv" for number in range(40)))
    (root / "big").write_bytes(os.urandom(3 << 20))
    found = localfiles.find(root)
    view = Transfer(files=len(found.files), size=found.size)
    files = await localfiles.digested(found.files, view)
    assert [file.path for file in files] == paths_in(found)
    lines = []
    for file in files:
        assert file.sha256 == hashlib.sha256(file.source.read_bytes()).hexdigest()
        lines.append(f"{file.sha256}  {file.path}\n".encode())
    assert localfiles.digest_of(files) == hashlib.sha256(b"".join(sorted(lines))).hexdigest()
    assert localfiles.digest_of(files[:1]) == files[0].sha256
    assert (view.done_files, view.done_size) == (41, found.size)


async def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    root = written(tmp_path, "a.csv")
    found = localfiles.find(root)
    (root / "a.csv").write_text("more than before")
    with pytest.raises(CommandError, match=r"a\.csv was changed while it was being pushed"):
        await localfiles.digested(found.files, Transfer(files=1, size=1))
    with pytest.raises(CommandError, match=r"a\.csv was changed while it was being pushed"):
        localfiles.read(found.files[0], 0, 5)
    (root / "a.csv").unlink()
    with pytest.raises(CommandError, match=r"a\.csv cannot be read: No such file"):
        await localfiles.digested(found.files, Transfer(files=1, size=1))


def test_an_archive_alone_is_one_and_tells_its_size(tmp_path: Path) -> None:
    packed = tmp_path / "digits.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "0" * 10_000)
    assert localfiles.is_archive(localfiles.find(packed), packed)
    assert localfiles.unpacked_size(packed) == 10_000
    assert not localfiles.is_archive(localfiles.find(tmp_path), tmp_path), (
        "a folder that holds one is a folder"
    )
    (tmp_path / "digits.tar.gz").write_bytes(b"\x1f\x8b")
    assert localfiles.unpacked_size(tmp_path / "digits.tar.gz") is None


def test_batches_fill_up_and_a_large_file_is_alone() -> None:
    def file(path: str, size: int) -> localfiles.LocalFile:
        return localfiles.LocalFile(path=path, source=Path(path), size=size, modified=0)

    files = [
        file("a", 4),
        file("b", 4),
        file("c", 4),
        file("d", 100),
        file("e", 0),
        file("f", 0),
        file("g", 0),
    ]
    found = localfiles.batches(files, size=10, number=2)
    assert [[one.path for one in batch] for batch in found] == [["a", "b"], ["c"], ["d"], ["e", "f"], ["g"]]
