"""The log store on real files."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.cluster.log_content import replay
from trainyard.logs import store as module
from trainyard.logs.configured import kept_logs
from trainyard.logs.splice import Line, is_gap
from trainyard.logs.store import LogFile, LogStore
from trainyard.planning.curve import Curve
from trainyard.settings import Logs, SettingsError

UID = "0e6ad5a1-6a5f-4b5d-9d8e-7f5a3c2b1d00"


def line(second: int, text: str) -> Line:
    return f"2025-03-09T07:05:{second:02d}.000000001Z".encode(), text.encode()


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path.joinpath("logs").as_uri())


def a_file(store: LogStore, *, attempt: int = 0) -> LogFile:
    return store.file(namespace="team", uid=UID, attempt=attempt, rank=0)


async def test_keeps_lines_under_namespace_uid_attempt_and_rank(store: LogStore, tmp_path: Path) -> None:
    file = a_file(store, attempt=2)
    file.append([line(1, "first"), line(2, "")])
    assert await store.flush([file]) == []
    stored = tmp_path / "logs" / "team" / UID / "2-0.log"
    assert stored.read_bytes() == b"2025-03-09T07:05:01.000000001Z first\n2025-03-09T07:05:02.000000001Z \n"
    assert list(file.lines()) == [line(1, "first"), line(2, "")]


async def test_appends_to_what_is_there(store: LogStore) -> None:
    for second in (1, 2):
        file = a_file(store)
        file.append([line(second, "x")])
        await store.flush([file])
    assert [stamp for stamp, _ in a_file(store).lines()] == [line(1, "")[0], line(2, "")[0]]


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/logs",
        "/var/lib/trainyard/logs",
        "file://host/logs",
        "file:logs",
        "file:///a/../b",
        "file:///a?b",
    ],
)
def test_refuses_a_store_that_is_no_local_folder(url: str) -> None:
    with pytest.raises(SettingsError, match=r"logs\.store is "):
        LogStore(url)


@pytest.mark.parametrize(
    ("namespace", "uid", "attempt", "rank"),
    [
        pytest.param("..", UID, 0, 0, id="a namespace that climbs"),
        pytest.param("a/b", UID, 0, 0, id="a namespace with a slash"),
        pytest.param("", UID, 0, 0, id="no namespace"),
        pytest.param("team", "../other", 0, 0, id="a UID that climbs"),
        pytest.param("team", ".", 0, 0, id="a UID that is the folder itself"),
        pytest.param("team", UID + "\n", 0, 0, id="a UID with a newline"),
        pytest.param("team", UID, -1, 0, id="a negative attempt"),
        pytest.param("team", UID, 0, 10**9, id="a rank that no job has"),
    ],
)
def test_refuses_names_that_are_no_part_of_a_path(
    store: LogStore, namespace: str, uid: str, attempt: int, rank: int
) -> None:
    with pytest.raises(ValueError, match=r"is not|cannot"):
        store.file(namespace=namespace, uid=uid, attempt=attempt, rank=rank)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        pytest.param(
            b"2025-03-09T07:05:01Z a\n2025-03-09T07:0", b"2025-03-09T07:05:01Z a\n", id="a torn stamp"
        ),
        pytest.param(b"2025-03-09T07:05:01Z a\n", b"2025-03-09T07:05:01Z a\n", id="nothing torn"),
        pytest.param(b"2025-03-09T07:05:01Z a", b"", id="only a torn line"),
        pytest.param(b"", b"", id="an empty file"),
        pytest.param(
            b"2025-03-09T07:05:01Z a\n2025-03-09T07:05:02Z " + b"x" * 300_000,
            b"2025-03-09T07:05:01Z a\n",
            id="a torn line of many blocks",
        ),
    ],
)
def test_takes_off_a_torn_last_line(store: LogStore, content: bytes, left: bytes) -> None:
    file = a_file(store)
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(content)
    file.repair()
    assert file.path.read_bytes() == left


def test_a_log_that_does_not_exist_is_empty(store: LogStore) -> None:
    file = a_file(store)
    file.repair()
    assert list(file.lines()) == []
    assert file.last_lines() == ([], True)


async def test_reads_only_the_end_of_a_large_log_for_its_last_lines(store: LogStore) -> None:
    file = a_file(store)
    file.append([line(n % 60, "x" * 1000) for n in range(3000)])
    await store.flush([file])
    last, complete = file.last_lines()
    assert not complete
    assert 900 < len(last) < 1100
    assert last[-1] == line(59, "x" * 1000)


async def test_what_cannot_be_written_is_written_later(store: LogStore, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    file = a_file(store)
    file.append([line(1, "a")])
    assert len(await store.flush([file])) == 1
    file.append([line(2, "b")])
    (tmp_path / "logs").unlink()
    assert await store.flush([file]) == []
    assert list(file.lines()) == [line(1, "a"), line(2, "b")]


async def test_what_cannot_be_written_for_long_becomes_a_marked_gap(
    store: LogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_BUFFER", 100)
    (tmp_path / "logs").write_text("a file where the folder should be")
    file = a_file(store)
    for second in range(50):
        file.append([line(second, "x")])
        await store.flush([file])
    assert file.pending < 300
    (tmp_path / "logs").unlink()
    assert await store.flush([file]) == []
    first, *others = file.lines()
    assert is_gap(first)
    assert first[1].startswith(b"[trainyard] gap: lines between 2025-03-09T07:05:00.000000001Z and ")
    assert others[-1] == line(49, "x")


async def test_a_restart_finds_the_report_and_the_tail_in_the_stored_log(store: LogStore) -> None:
    file = a_file(store)
    file.append([line(n, f"step {n}") for n in range(30)])
    file.append([line(30, '{"epoch": 3, "max_epoch": 4, "status": "RUNNING"}'), line(31, "é" * 1000)])
    await store.flush([file])
    with file.path.open("ab") as torn:
        torn.write(b'2025-03-09T07:05:32.000000001Z {"epoch": 4')
    content = replay(file)
    assert content.report is not None
    assert (content.report.epoch, content.report.at) == (3, "2025-03-09T07:05:30.000000001Z")
    assert len(content.tail_text()) == 20
    assert content.tail_text()[-1] == "é" * 400
    assert content.splicer.since == "2025-03-09T07:05:31Z"


async def test_a_restart_finds_the_whole_curve_of_a_metric_in_the_stored_log(store: LogStore) -> None:
    file = a_file(store)
    file.append([line(n, f'{{"epoch": {n}, "kpi": {{"loss": {1 / n}}}}}') for n in range(1, 40)])
    await store.flush([file])
    report = replay(file, curve=Curve(metric="loss")).report
    assert report is not None
    assert report.curve is not None
    assert [epoch for epoch, _ in report.curve.points] == list(range(1, 40))
    unwatched = replay(file).report
    assert unwatched is not None
    assert unwatched.curve is None


@contextlib.contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond it: a write takes what fits, and the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_is_full_leaves_no_half_line_and_loses_nothing_that_it_can_hold(
    store: LogStore,
) -> None:
    file = a_file(store)
    file.append([line(1, "x" * 1000)])
    await store.flush([file])
    file.append([line(2, "y" * 1000)])
    with full_at(1500):
        assert len(await store.flush([file])) == 1
        assert file.path.stat().st_size == file.written == 1032
        assert not file.wants_flush, "a full disk is not tried with each chunk"
    assert await store.flush([file]) == []
    assert list(file.lines()) == [line(1, "x" * 1000), line(2, "y" * 1000)]
    assert file.written == 2064


async def test_all_logs_together_hold_back_only_so_much(
    store: LogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_BUFFER", 10_000)
    monkeypatch.setattr(module, "_MAX_ALL_BUFFERS", 100_000)
    (tmp_path / "logs").write_text("a file where the folder should be")
    files = [a_file(store, attempt=number) for number in range(100)]
    for second in range(50):
        for file in files:
            file.append([line(second, "x" * 100)])
        await store.flush(files)
    assert sum(file.pending for file in files) < 150_000
    (tmp_path / "logs").unlink()
    assert await store.flush(files) == []
    assert all(is_gap(next(file.lines())) for file in files)
    more = a_file(store, attempt=1000)
    assert more._unwritten.limit == 10_000, "those that are written again hold nothing back"


async def test_a_volume_that_hangs_holds_streams_back_long_before_memory_is_full(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()
    monkeypatch.setattr(module, "_MAX_ALL_BUFFERS", 100_000)

    def stuck(batch: list[object]) -> list[None]:
        hang.wait(10)
        return [None for _ in batch]

    monkeypatch.setattr(module, "_write_all", stuck)
    files = [a_file(store, attempt=number) for number in range(100)]
    store.follows(len(files))
    writing = None
    for second in range(60):
        for file in files:
            if not file.wants_flush:
                file.append([line(second, "x" * 100)])
        if second == 3:
            writing = asyncio.create_task(store.flush(files))
            await asyncio.sleep(0.05)
    assert all(file.wants_flush for file in files), "what is on its way to the disk counts too"
    assert sum(file.pending for file in files) < 100_000
    hang.set()
    assert writing is not None
    assert await writing == []
    assert not files[0].wants_flush
    store.follows(1)
    assert not a_file(store).wants_flush
    assert files[0]._unwritten.enough == 100_000, "one alone has all of it"


async def test_what_is_written_leaves_some_of_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LogStore(tmp_path.as_uri(), room=100_000)
    old = tmp_path / "team" / "gone" / "0-0.log"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"2025-03-09T07:05:01Z x\n" * 2000)
    first, second = a_file(store), a_file(store, attempt=1)
    first.append([line(1, "x" * 40_000)])
    assert await store.flush([first]) == []
    second.append([line(1, "y" * 10_000)])
    (refused,) = await store.flush([second])
    assert refused.errno == errno.ENOSPC
    assert "logs.maxSize" in str(refused)
    assert second.pending
    assert not second.path.exists()
    old.unlink()
    assert len(await store.flush([second])) == 1, "the folder is not measured with each write"
    monkeypatch.setattr(store._room, "_next_measure", 0.0)
    assert await store.flush([second]) == []
    assert list(second.lines()) == [line(1, "y" * 10_000)]


def test_a_bad_folder_is_told_by_the_setting_that_names_it() -> None:
    with pytest.raises(SettingsError, match=r"^logs\.spool is file:///a/\.\./b"):
        kept_logs(Logs(store="memory://logs", spool="/a/../b"))


def test_a_spool_lies_apart_from_the_logs_that_the_default_folder_keeps(tmp_path: Path) -> None:
    spool, folder = kept_logs(Logs(store="memory://logs")).folder.root, kept_logs(Logs()).folder.root
    assert spool.parent == folder
    lies = tmp_path / spool.name / "team" / UID
    lies.mkdir(parents=True)
    (lies / "0-0.log").write_bytes(b"2025-03-09T07:05:01Z x\n")
    assert list(LogStore(tmp_path.as_uri()).stored_logs()) == [], "the sweep of the folder takes none of it"


async def test_logs_that_end_at_once_are_written_together(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    write = module._write_all

    def counted(batch: list[tuple[LogFile, bytes]]) -> list[OSError | None]:
        batches.append(len(batch))
        return write(batch)

    monkeypatch.setattr(module, "_write_all", counted)
    files = [a_file(store, attempt=number) for number in range(100)]
    for file in files:
        file.append([line(1, "x")])
    found = await asyncio.gather(*(store.flush([file]) for file in files))
    assert found == [[]] * 100
    assert sum(batches) == 100
    assert len(batches) < 10
    assert all(list(file.lines()) == [line(1, "x")] for file in files)


async def test_whoever_has_a_log_written_by_another_is_told_its_failure(
    store: LogStore, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    files = [a_file(store, attempt=number) for number in range(3)]
    for file in files:
        file.append([line(1, "x")])
    found = await asyncio.gather(*(store.flush([file]) for file in files))
    assert [len(errors) for errors in found] == [1, 1, 1]
