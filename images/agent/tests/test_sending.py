"""What is sent, and what is not: on fsspec's store in memory, which stands for all that are not S3."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard_agent import patience, sending, trees
from trainyard_agent.bucket import Bucket, Parts
from trainyard_agent.checkpoints import Broken, File
from trainyard_agent.journal import Journal
from trainyard_agent.order import Place
from trainyard_agent.patience import Patience
from trainyard_agent.reading import Changed, Reader, Version
from trainyard_agent.receiving import receive
from trainyard_agent.sending import Sender
from trainyard_agent.troubles import Trouble, of


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Bucket:
    place = Place(uri=f"memory://{request.node.name}")
    return Bucket(place, name="memory://here", options=dict, patience=Patience(left=lambda: 2.0))


@pytest.fixture
def sender(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setattr(sending, "PART_BYTES", 1000)
    made = Sender(bucket, prefix="u/attempt-0", journal=Journal(tmp_path / "journal"))
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "output"
    made.mkdir()
    return made


def test_small_and_large_files_arrive_whole_and_come_back(
    bucket: Bucket, sender: Sender, folder: Path, tmp_path: Path
) -> None:
    contents = {"empty": b"", "small": b"abc", "exact": os.urandom(1000), "deep/large": os.urandom(54321)}
    for name, data in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    sent = sender.send(trees.files(folder), to="u/attempt-0", what="it")
    assert {file.name: file.sha256 for file in sent} == {
        name: hashlib.sha256(data).hexdigest() for name, data in contents.items()
    }
    assert bucket.sizes("u/attempt-0") == {name: len(data) for name, data in contents.items()}
    wanted = [File(path=file.name, size=file.size, sha256=file.sha256) for file in sent]
    receive(bucket, wanted, source="u/attempt-0", to=tmp_path / "back")
    assert {name: (tmp_path / "back" / name).read_bytes() for name in contents} == contents


def test_what_is_there_and_has_not_changed_is_not_sent_again(
    bucket: Bucket, sender: Sender, folder: Path, tmp_path: Path
) -> None:
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 10)
    sender.send(trees.files(folder), to="u/attempt-0", what="it")
    bucket.remove(["u/attempt-0/b"])
    (folder / "c").write_bytes(b"C" * 10)
    again = Sender(bucket, prefix="u/attempt-0", journal=Journal(tmp_path / "journal"))
    again.send(trees.files(folder), to="u/attempt-0", what="it")
    assert again.counter.bytes_sent == 20
    assert bucket.read("u/attempt-0/c") == b"C" * 10
    again.close()


def test_a_file_that_changes_while_it_is_sent_is_sent_again(
    bucket: Bucket, sender: Sender, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "log"
    file.write_bytes(b"old")
    write, written = bucket.write, list[bytes]()

    def slowly(path: str, data: bytes) -> None:
        written.append(data)
        write(path, data)
        if len(written) == 1:
            file.write_bytes(b"newer")

    monkeypatch.setattr(bucket, "write", slowly)
    sent = sender.send(trees.files(folder), to="u/attempt-0", what="it")
    assert bucket.read("u/attempt-0/log") == b"newer"
    assert sent[0].sha256 == hashlib.sha256(b"newer").hexdigest()


def test_a_large_file_that_fails_in_the_middle_is_given_up(
    bucket: Bucket, sender: Sender, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "large").write_bytes(os.urandom(5000))
    part, count = Reader.part, iter(range(100))

    def failing(self: Reader, size: int) -> bytes:
        if next(count) == 3:
            raise Trouble("unreadable", "the disk is broken")
        return part(self, size)

    monkeypatch.setattr(Reader, "part", failing)
    begin, happened = bucket.begin, list[str]()

    def watched(path: str, *, part_size: int) -> Parts:
        parts = begin(path, part_size=part_size)
        for name in ("abort", "complete"):
            monkeypatch.setattr(parts, name, lambda name=name: happened.append(name))
        return parts

    monkeypatch.setattr(bucket, "begin", watched)
    with pytest.raises(Trouble, match="the disk is broken"):
        sender.send(trees.files(folder), to="u/attempt-0", what="it")
    assert happened == ["abort"]
    assert sender._slots.acquire(blocking=False)


def test_no_more_than_the_parts_that_are_allowed_are_in_memory(
    bucket: Bucket, sender: Sender, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (folder / f"{number}").write_bytes(b"x" * 900)
    inside, most, lock = 0, 0, threading.Lock()
    write = bucket.write

    def counted(path: str, data: bytes) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        write(path, data)
        with lock:
            inside -= 1

    monkeypatch.setattr(bucket, "write", counted)
    sender.send(trees.files(folder), to="u/attempt-0", what="it")
    assert 1 <= most <= sending.PARTS


def test_a_file_of_another_content_than_listed_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.write("u/a", b"abc")
    wrong = File(path="a", size=3, sha256="0" * 64)
    with pytest.raises(Broken, match="a has another SHA-256"):
        receive(bucket, [wrong], source="u", to=tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []
    with pytest.raises(Broken, match="u/b is not in memory://here"):
        receive(bucket, [File(path="b", size=3, sha256="")], source="u", to=tmp_path / "back")


def test_exclusive_creation_has_one_winner(bucket: Bucket) -> None:
    assert bucket.create("u/claims/a", b"first")
    assert not bucket.create("u/claims/a", b"second")
    assert bucket.read("u/claims/a") == b"first"


def test_links_that_leave_the_folder_and_special_files_are_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "data").mkdir()
    (folder / "data" / "real").write_text("r")
    (folder / "leaves").symlink_to(tmp_path / "secret")
    (folder / "stays").symlink_to("data/real")
    (folder / "data" / "loop").symlink_to("..")
    (folder / "nothing").symlink_to("lacking")
    os.mkfifo(folder / "pipe")
    assert [file.name for file in trees.files(folder)] == ["data/real", "stays"]
    said = capsys.readouterr().err
    assert said.count("is left out") == 4
    assert f"{folder}/leaves is left out: it is a link that leaves the folder." in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_what_another_user_has_closed_is_told_with_the_way_out(bucket: Bucket) -> None:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "output"
        folder.mkdir()
        (folder / "model").write_bytes(b"m")
        (folder / "model").chmod(0o600)
        Path(top).chmod(0o777)
        sender = Sender(bucket, prefix="u/attempt-0", journal=Journal(Path(top) / "journal"))
        os.seteuid(65532)
        try:
            with pytest.raises(
                Trouble, match=r"output/model cannot be read .* user 65532.*securityContext\.runAsUser"
            ):
                sender.send(trees.files(folder), to="u/attempt-0", what="it")
            with pytest.raises(Trouble, match=r"runAsUser"):
                trees.files(Path("/root"))
        finally:
            os.seteuid(0)
            sender.close()


def test_a_file_that_grows_while_it_is_hashed_has_no_digest(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 100)
    with Reader(file) as reader:
        reader.part(50)
        with file.open("ab") as more:
            more.write(b"y")
        reader.part(1000)
        with pytest.raises(Changed):
            _ = reader.digest


def test_a_line_of_the_journal_that_a_kill_has_cut_costs_that_file_only(tmp_path: Path) -> None:
    first = Version(1, 2, 3)
    Journal(tmp_path / "journal").begin()
    Journal(tmp_path / "journal").add("a", first, "aa")
    with (tmp_path / "journal").open("a") as file:
        file.write('\n["b", 1, 2')
    Journal(tmp_path / "journal").add("c", first, "cc")
    again = Journal(tmp_path / "journal")
    assert (again.digest("a", first), again.digest("b", first), again.digest("c", first)) == (
        "aa",
        None,
        "cc",
    )


class Flaky:
    """Fails so many times."""

    def __init__(self, times: int, error: Exception) -> None:
        self.times, self.error = times, error

    def __call__(self) -> str:
        if self.times:
            self.times -= 1
            raise self.error
        return "done"


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(patience, "LASTING_SECONDS", 0.05)


@pytest.mark.usefixtures("_soon")
def test_trouble_is_outlasted_while_there_is_time() -> None:
    assert Patience()(Flaky(5, ConnectionError("away")), place="x") == "done"
    assert Patience()(Flaky(4, PermissionError("no")), place="x") == "done"
    with pytest.raises(Trouble, match="x refuses us"):
        Patience(left=lambda: 100.0)(Flaky(50, PermissionError("no")), place="x")
    with pytest.raises(Trouble, match="x cannot be reached"):
        Patience(left=lambda: 0.005)(Flaky(50, ConnectionError("away")), place="x")


class Answer(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("said no")
        self.status_code = status


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), "full"),
        (Answer(507), "full"),
        (PermissionError("denied"), "forbidden"),
        (Answer(403), "forbidden"),
        (type("NoCredentialsError", (Exception,), {})("none"), "forbidden"),
        (FileNotFoundError("NoSuchBucket"), "missing"),
        (Answer(404), "missing"),
        (ConnectionError("refused"), "network"),
        (TimeoutError(), "network"),
        (Answer(503), "network"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_troubles_are_told_apart_by_what_cures_them(error: Any, kind: str) -> None:
    assert of(error, place="s3://models").kind == kind
