"""A log on its way from a file to an object store, whatever the two hold. The store is fsspec's own in memory."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from trainyard.logs import spooled as module
from trainyard.logs.bucket import Bucket, Part
from trainyard.logs.names import JobName, LogName
from trainyard.logs.spooled import Spooled
from trainyard.logs.store import LogFile, LogStore
from trainyard.settings import SettingsError

NAME = LogName(job=JobName(namespace="team", uid="0e6ad5a1"), attempt=1, rank=0)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 100)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(f"memory://{uuid.uuid4().hex}", {})


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path.joinpath("spool").as_uri())


def a_line(number: int) -> bytes:
    return b"2025-03-09T07:05:%02dZ line %02d\n" % (number, number)


def write(file: LogFile, *numbers: int) -> None:
    for number in numbers:
        file.write(a_line(number))


def stored(bucket: Bucket) -> bytes:
    return b"".join(bucket.read(NAME, part) for part in bucket.parts(NAME))


def restarted(store: LogStore, bucket: Bucket) -> Spooled:
    """As after a restart of the operator: what is known is in the folder and in the store."""
    file = store.of(NAME)
    spooled = Spooled(file, bucket)
    if spooled.join():
        spooled.take_over(spooled.fetch())
    file.repair()
    return spooled


def test_a_log_becomes_a_row_of_parts_that_end_with_lines(store: LogStore, bucket: Bucket) -> None:
    spooled = restarted(store, bucket)
    write(spooled.file, *range(10))
    spooled.send()
    assert stored(bucket) == b"".join(map(a_line, range(10)))
    assert bucket.parts(NAME) == [
        Part(start=0, size=87),
        Part(start=87, size=87),
        Part(start=174, size=87),
        Part(start=261, size=29),
    ]
    assert not spooled.unsent


def test_only_the_last_part_is_sent_again_as_it_grows(store: LogStore, bucket: Bucket) -> None:
    spooled = restarted(store, bucket)
    write(spooled.file, 0, 1, 2, 3)
    spooled.send()
    bucket.put(NAME, 0, b"x" * 87)
    write(spooled.file, 4)
    spooled.send()
    assert stored(bucket) == b"x" * 87 + a_line(3) + a_line(4)


def test_a_restart_goes_on_after_what_was_sent(store: LogStore, bucket: Bucket) -> None:
    first = restarted(store, bucket)
    write(first.file, *range(5))
    first.send()
    second = restarted(store, bucket)
    assert not second.unsent
    write(second.file, 5, 6)
    second.send()
    assert stored(bucket) == b"".join(map(a_line, range(7)))


def test_a_restart_sends_what_was_written_and_not_sent(store: LogStore, bucket: Bucket) -> None:
    first = restarted(store, bucket)
    write(first.file, 0, 1)
    first.send()
    write(first.file, 2)
    second = restarted(store, bucket)
    assert second.unsent
    second.send()
    assert stored(bucket) == b"".join(map(a_line, range(3)))


def test_a_folder_that_was_lost_is_made_again_from_the_store(store: LogStore, bucket: Bucket) -> None:
    first = restarted(store, bucket)
    write(first.file, *range(5))
    first.send()
    first.remove()
    second = restarted(store, bucket)
    assert second.file.path.read_bytes() == b"".join(map(a_line, range(5)))
    assert not second.unsent
    write(second.file, 5)
    second.send()
    assert stored(bucket) == b"".join(map(a_line, range(6)))


def test_a_folder_that_lags_behind_the_store_is_made_again_too(store: LogStore, bucket: Bucket) -> None:
    first = restarted(store, bucket)
    write(first.file, *range(5))
    first.send()
    with first.file.path.open("r+b") as file:
        file.truncate(35)
    assert restarted(store, bucket).file.path.read_bytes() == b"".join(map(a_line, range(5)))


def test_a_part_that_somebody_took_away_moves_nothing(store: LogStore, bucket: Bucket) -> None:
    first = restarted(store, bucket)
    write(first.file, *range(10))
    first.send()
    bucket._fs.rm(bucket._path(NAME.part(87)))
    first.remove()
    second = restarted(store, bucket)
    write(second.file, 10)
    second.send()
    kept = [*range(3), *range(6, 11)]
    assert stored(bucket) == b"".join(map(a_line, kept))


def test_what_was_begun_anew_while_the_store_was_away_comes_after_what_it_has(
    store: LogStore, bucket: Bucket
) -> None:
    first = restarted(store, bucket)
    write(first.file, *range(5))
    first.send()
    first.remove()
    unjoined = Spooled(store.of(NAME), bucket)
    write(unjoined.file, 3, 4, 5, 6, 7, 8)
    unjoined.send()
    assert stored(bucket) == b"".join(map(a_line, [*range(5), *range(3, 9)]))
    again = restarted(store, bucket)
    write(again.file, 9)
    again.send()
    assert stored(bucket) == b"".join(map(a_line, [*range(5), *range(3, 10)]))


def test_a_log_is_done_when_all_of_it_is_stored(store: LogStore, bucket: Bucket) -> None:
    spooled = restarted(store, bucket)
    write(spooled.file, 0)
    spooled.finished = True
    assert not spooled.done
    spooled.send()
    assert spooled.done
    spooled.file.append([(b"2025-03-09T07:05:09Z", b"not written yet")])
    assert not spooled.done


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("s3://key:hidden@bucket/logs", "holds credentials", id="credentials in the address"),
        pytest.param("s3://", "names no bucket", id="no bucket"),
        pytest.param("s3://bucket/../other", "must be file://", id="a path that climbs"),
        pytest.param("simplecache::s3://bucket/logs", "must be file://", id="a chain of file systems"),
        pytest.param("s3://bucket/logs?x=1", "must be file://", id="a query"),
        pytest.param("carrier-pigeon://coop", "carrier-pigeon", id="a protocol that nobody knows"),
        pytest.param("abfs://logs", "not installed", id="a backend that is not installed"),
    ],
)
def test_refuses_an_address_that_is_no_store(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        Bucket(url, {})
    assert str(refused.value).startswith("logs.store ")
    assert "hidden" not in str(refused.value)
