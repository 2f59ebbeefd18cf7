"""Logs in a real S3 server: written, interrupted, read back, swept."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import s3
from tests.harness.s3 import S3
from trainyard.logs import archive as archives
from trainyard.logs import spooled
from trainyard.logs.archive import Archive
from trainyard.logs.bucket import Bucket
from trainyard.logs.configured import kept_logs
from trainyard.logs.retention import Retention
from trainyard.logs.splice import Line
from trainyard.logs.store import LogFile, LogStore
from trainyard.logs.sweep import sweep
from trainyard.settings import Logs

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
UID = "0e6ad5a1-6a5f-4b5d-9d8e-7f5a3c2b1d00"
URL = "s3://logs/trainyard"
KEY = f"trainyard/team/{UID}/0-0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3.running(tmp_path_factory.mktemp("s3"), "logs") as server:
        yield server


def options(server: S3) -> dict[str, Any]:
    """As `storeOptions` of the settings can have them."""
    return {
        "endpoint_url": server.endpoint,
        "client_kwargs": {"region_name": "us-east-1"},
    }


@pytest.fixture(autouse=True)
def credentials(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield
    bucket = Bucket(URL, options(server))
    for job in list(bucket.stored_jobs()):
        bucket.remove(job)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(archives, "_FIRST_RETRY", 0.1)
    monkeypatch.setattr(spooled, "PART_BYTES", 64 << 10)


def lines(count: int, *, start: int = 0) -> list[Line]:
    begin = datetime(2025, 3, 9, tzinfo=UTC)
    stamps = (begin + timedelta(seconds=number) for number in range(start, start + count))
    return [(f"{stamp:%Y-%m-%dT%H:%M:%S}.000000001Z".encode(), b"x" * 1000) for stamp in stamps]


class Kept:
    """A folder with an archive that works."""

    def __init__(self, folder: Path) -> None:
        self.store = LogStore(folder.as_uri())
        self.archive = Archive(Bucket(URL, {}), upload_seconds=0.2)

    async def open(self) -> LogFile:
        file = self.store.file(namespace="team", uid=UID, attempt=0, rank=0)
        await self.archive.restore(file)
        file.repair()
        return file

    async def write(self, file: LogFile, what: list[Line]) -> None:
        file.append(what)
        assert await self.store.flush([file]) == []


@asynccontextmanager
async def working(folder: Path) -> AsyncIterator[Kept]:
    kept = Kept(folder)
    task = asyncio.create_task(kept.archive.run())
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await kept.archive.close()


async def until(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.02)


def stored(server: S3) -> bytes:
    return b"".join(data for key, data in server.objects("logs").items() if key.startswith(f"{KEY}/"))


def text(what: list[Line]) -> bytes:
    return b"".join(b"%b %b\n" % line for line in what)


def read(tmp_path: Path, *, spool: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """`trainyard stored-log`, as it runs in the operator's pod."""
    config = tmp_path / "settings.yaml"
    config.write_text(yaml.safe_dump({"logs": {"store": URL, "spool": str(spool or tmp_path / "none")}}))
    words = ["--namespace", "team", "--uid", UID, "--attempt", "0", "--rank", "0", "--config", str(config)]
    argv = [sys.executable, "-m", "trainyard", "stored-log", *words]
    return subprocess.run(argv, env=environment(), capture_output=True, check=False)


def environment() -> dict[str, str]:
    """With the modules of the project."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}


async def test_a_log_is_stored_while_it_grows_and_leaves_the_folder_when_it_is_complete(
    server: S3, tmp_path: Path
) -> None:
    async with working(tmp_path / "spool") as kept:
        file = await kept.open()
        await kept.write(file, lines(100))
        await until(lambda: stored(server) == text(lines(100)))
        await kept.write(file, lines(100, start=100))
        await until(lambda: stored(server) == text(lines(200)))
        assert file.path.exists()
        kept.archive.finish(file)
        await until(lambda: not file.path.exists())
    assert [key for key in server.objects("logs") if key.startswith(KEY)] == [
        f"{KEY}/{start:012d}.log" for start in (0, 65016, 130032, 195048)
    ]
    result = await asyncio.to_thread(read, tmp_path)
    assert (result.returncode, result.stdout) == (0, text(lines(200)))


async def test_a_log_that_is_still_in_the_folder_is_read_from_there(server: S3, tmp_path: Path) -> None:
    async with working(tmp_path / "spool") as kept:
        kept.archive._upload_seconds = 1000.0
        file = await kept.open()
        await kept.write(file, lines(10))
        result = await asyncio.to_thread(read, tmp_path, spool=tmp_path / "spool")
    assert result.stdout == text(lines(10))


def test_a_log_that_is_not_kept_says_so(tmp_path: Path) -> None:
    result = read(tmp_path)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"No log of attempt 0, rank 0 is kept" in result.stderr


def test_a_store_that_does_not_answer_is_told_in_a_sentence(server: S3, tmp_path: Path) -> None:
    server.stop()
    try:
        result = read(tmp_path)
    finally:
        server.start()
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"The log store cannot be read" in result.stderr
    assert b"Traceback" not in result.stderr


async def test_the_end_of_the_operator_sends_what_is_not_sent_yet(server: S3, tmp_path: Path) -> None:
    async with working(tmp_path / "spool") as kept:
        kept.archive._upload_seconds = 1000.0
        file = await kept.open()
        await kept.write(file, lines(10))
    assert stored(server) == text(lines(10))


async def test_a_store_that_is_away_holds_nothing_up_and_gets_all_of_it_later(
    server: S3, tmp_path: Path
) -> None:
    async with working(tmp_path / "spool") as kept:
        file = await kept.open()
        await kept.write(file, lines(50))
        await until(lambda: stored(server) == text(lines(50)))
        server.stop()
        try:
            began = time.monotonic()
            for start in range(50, 500, 50):
                await kept.write(file, lines(50, start=start))
                await asyncio.sleep(0.05)
            kept.archive.finish(file)
            assert time.monotonic() - began < 5
            await asyncio.sleep(1)
            assert file.path.exists()
        finally:
            server.start()
        await until(lambda: not file.path.exists(), seconds=60)
    assert stored(server) == text(lines(500))


async def test_a_new_operator_without_the_folder_goes_on_where_the_old_one_was(
    server: S3, tmp_path: Path
) -> None:
    async with working(tmp_path / "first") as kept:
        await kept.write(await kept.open(), lines(150))
    async with working(tmp_path / "second") as kept:
        file = await kept.open()
        assert list(file.lines()) == lines(150)
        await kept.write(file, lines(50, start=150))
        kept.archive.finish(file)
        await until(lambda: not file.path.exists())
    assert stored(server) == text(lines(200))


async def test_what_an_operator_left_in_the_folder_is_taken_in(
    server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = LogStore((tmp_path / "spool").as_uri()).file(namespace="team", uid=UID, attempt=0, rank=0)
    left.write(text(lines(20)) + b"2025-03-09T07:05:0")
    monkeypatch.setattr(archives, "_LEFT_OVER_SECONDS", -1.0)
    async with working(tmp_path / "spool") as kept:
        await kept.archive.adopt(kept.store)
        await until(lambda: not left.path.exists())
    assert stored(server) == text(lines(20))


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.integration import test_logs_in_s3 as here
from trainyard.logs import archive, spooled
archive._LOOK_SECONDS, spooled.PART_BYTES = 0.02, 64 << 10

async def main():
    async with here.working(Path(sys.argv[1])) as kept:
        file = await kept.open()
        have = sum(1 for _ in file.lines())
        for number in range(have, 1000):
            await kept.write(file, here.lines(1, start=number))
            await asyncio.sleep(0.005)
        kept.archive.finish(file)
        while file.path.exists():
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


@pytest.mark.parametrize("folder", ["survives", "is lost"])
def test_an_operator_that_is_killed_again_and_again_loses_and_doubles_no_line(
    server: S3, tmp_path: Path, folder: str
) -> None:
    chance = random.Random(5)
    spool, kills, done = tmp_path / "spool-0", 0, None
    while done is None:
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(spool)], env=environment(), cwd=ROOT)
        try:
            done = process.wait(timeout=chance.uniform(1.5, 3) if kills < 4 else 60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            if folder == "is lost":
                spool = tmp_path / f"spool-{kills}"
    assert done == 0
    assert kills >= 2
    assert stored(server) == text(lines(1000))


async def test_objects_of_jobs_that_ended_long_ago_are_swept(server: S3, tmp_path: Path) -> None:
    async with working(tmp_path / "spool") as kept:
        file = await kept.open()
        await kept.write(file, lines(200))
        kept.archive.finish(file)
        await until(lambda: not file.path.exists())
        theirs = server.folder / "buckets" / "logs" / "theirs.txt"
        kept.archive.bucket._fs.pipe_file("logs/theirs.txt", b"x")
        assert await sweep(kept.archive.bucket, Retention(seconds=3600.0), unfinished=set) == 0
        old = Retention(seconds=-3600.0)
        assert await sweep(kept.archive.bucket, old, unfinished=lambda: {UID}) == 0
        assert await sweep(kept.archive.bucket, old, unfinished=set) == 1
    assert stored(server) == b""
    assert theirs.exists()


def test_the_settings_name_the_store_and_its_options(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in server.environment:
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
    kept = kept_logs(Logs(store=URL, store_options=options(server)))
    assert kept.bucket is not None
    assert list(kept.bucket.stored_jobs()) == []
