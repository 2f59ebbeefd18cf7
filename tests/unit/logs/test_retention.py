"""Which stored logs go, and that nothing else does: on real files, and on fsspec's store in memory."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from trainyard.cluster.client import Client
from trainyard.logs.bucket import Bucket
from trainyard.logs.names import JobName, LogName
from trainyard.logs.retention import Retention, StoredJob, for_room, too_old
from trainyard.logs.store import LogStore
from trainyard.logs.sweep import seconds_between, sweep
from trainyard.reconcile.logs import FollowedLogs
from trainyard.reconcile.queue import KeyedQueue
from trainyard.settings import Logs

DAY = 86400.0
NOW = 1_000 * DAY
MONTH = Retention(seconds=30 * DAY)


def a_job(uid: str, *, days_ago: float, size: int = 100) -> StoredJob:
    name = JobName(namespace="team", uid=uid)
    return StoredJob(name=name, newest=NOW - days_ago * DAY, size=size, paths=(f"team/{uid}/0-0.log",))


def uids(jobs: list[StoredJob]) -> list[str]:
    return [job.name.uid for job in jobs]


def test_logs_of_jobs_that_ended_long_ago_go() -> None:
    jobs = [a_job("new", days_ago=29), a_job("old", days_ago=31), a_job("paused", days_ago=90)]
    assert uids(too_old(jobs, MONTH, unfinished={"paused"}, now=NOW)) == ["old"]
    assert too_old(jobs, Retention(), unfinished=set(), now=NOW) == []


def test_the_oldest_go_when_there_is_no_room() -> None:
    jobs = [a_job(name, days_ago=days) for name, days in (("c", 1), ("a", 9), ("b", 5), ("runs", 20))]
    room = Retention(size=400)
    assert uids(for_room(jobs, room, unfinished={"runs"})) == ["a"]
    assert for_room(jobs, Retention(size=445), unfinished={"runs"}) == [], "not before nine tenths are taken"
    assert uids(for_room(jobs, Retention(size=1), unfinished={"runs"})) == ["a", "b", "c"]
    assert for_room(jobs, MONTH, unfinished=set()) == []


def test_an_object_store_is_listed_once_a_day_and_a_disk_looked_at_more_often() -> None:
    assert seconds_between(MONTH, objects=True) == DAY
    assert seconds_between(MONTH, objects=False) < DAY
    assert seconds_between(Retention(size=1), objects=False) <= 900


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def aged(root: Path) -> Callable[..., Path]:
    """Makes a file so many days old."""

    def make(path: str, *, days: float, text: str = "x\n") -> Path:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        then = time.time() - days * DAY
        os.utime(file, (then, then))
        return file

    return make


async def test_a_folder_is_swept_of_what_is_old(root: Path, aged: Callable[..., Path]) -> None:
    gone = [aged("team/old/0-0.log", days=40), aged("team/old/1-3.log", days=35)]
    gone.append(aged("left/over/0-0.log", days=400))
    kept = [
        aged("team/attempts/0-0.log", days=99),
        aged("team/attempts/1-0.log", days=1),
        aged("team/runs/0-0.log", days=99),
    ]
    removed = await sweep(LogStore(root.as_uri()), MONTH, unfinished=lambda: {"runs"})
    assert removed == 2
    assert not any(file.exists() for file in gone)
    assert all(file.exists() for file in kept)
    assert not (root / "left").exists(), "a folder that is empty then goes with it"


async def test_what_is_not_ours_stays(root: Path, aged: Callable[..., Path], tmp_path: Path) -> None:
    theirs = [
        aged("lost+found/x/0-0.log", days=99),
        aged("team/uid/notes.txt", days=99),
        aged("team/uid/0-0.log.gz", days=99),
        aged("team/uid/00-0.log", days=99),
        aged("team/uid/0-0.log/deeper.log", days=99),
        aged("team/0-0.log", days=99),
        aged("0-0.log", days=99),
        aged("team/u_id/0-0.log", days=99),
    ]
    elsewhere = tmp_path / "elsewhere" / "uid"
    elsewhere.mkdir(parents=True)
    (elsewhere / "0-0.log").write_text("x")
    os.utime(elsewhere / "0-0.log", (0, 0))
    (root / "linked").symlink_to(elsewhere.parent)
    (root / "team" / "linked").symlink_to(elsewhere)
    (root / "team" / "uid" / "1-0.log").symlink_to(elsewhere / "0-0.log")
    assert await sweep(LogStore(root.as_uri()), MONTH, unfinished=set) == 0
    assert all(file.exists() for file in theirs)
    assert (elsewhere / "0-0.log").exists()
    assert (root / "team" / "uid" / "1-0.log").is_symlink()


async def test_a_folder_is_kept_below_its_size(root: Path, aged: Callable[..., Path]) -> None:
    text = "x" * 100_000
    for number in range(10):
        aged(f"team/job-{number}/0-0.log", days=number, text=text)
    await sweep(LogStore(root.as_uri()), Retention(size=1_000_000), unfinished=lambda: {"job-9"})
    assert set(os.listdir(root / "team")) == {f"job-{n}" for n in (0, 1, 2, 3, 4, 5, 9)}


async def test_a_job_that_goes_on_while_it_is_swept_loses_nothing(
    root: Path, aged: Callable[..., Path]
) -> None:
    file = aged("team/resumed/0-0.log", days=99)
    answers = iter([set[str](), {"resumed"}, {"resumed"}])
    assert await sweep(LogStore(root.as_uri()), MONTH, unfinished=lambda: next(answers)) == 0
    assert file.exists()


async def test_objects_are_swept_of_what_is_old_and_ours() -> None:
    bucket = Bucket(f"memory://{uuid.uuid4().hex}/logs", {})
    for uid in ("old", "runs"):
        for start in (0, 4096):
            name = LogName(job=JobName(namespace="team", uid=uid), attempt=0, rank=0)
            bucket.put(name, start, b"x\n")
    theirs = ["team/old/notes.txt", "team/old/0-0/1.log", "team/old/0-0/deep/000000000000.log", "mine.txt"]
    for path in theirs:
        bucket._fs.pipe_file(bucket._path(path), b"x")
    soon = Retention(seconds=0.01)
    await asyncio.sleep(0.05)
    assert await sweep(bucket, soon, unfinished=lambda: {"runs"}) == 1
    left = [path.removeprefix(bucket._path("")) for path in bucket._fs.find(bucket._root)]
    assert sorted(left) == sorted(
        [*theirs, "team/runs/0-0/000000000000.log", "team/runs/0-0/000000004096.log"]
    )


@pytest.mark.parametrize(("store", "size"), [("memory://logs", None), ("file:///logs", 1 << 30)])
def test_the_size_of_a_spool_is_no_reason_to_remove_objects(store: str, size: int | None) -> None:
    logs = FollowedLogs(
        client=cast(Client, None),
        settings=Logs(store=store, max_size="1Gi"),  # type: ignore[arg-type]  # as in YAML
        queue=cast(KeyedQueue, None),
        interval=1.0,
    )
    assert logs._retention.size == size
    assert logs._kept.folder._room is not None
