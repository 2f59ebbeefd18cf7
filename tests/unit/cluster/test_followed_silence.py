"""Since when followed logs have been silent, and what becomes of logs when there are more of them than streams."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from trainyard.cluster import followed_log, silence
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.log_follower import LogFollowers, LogTarget
from trainyard.logs import store
from trainyard.logs.store import LogStore

TARGET = LogTarget(
    namespace="team",
    pod="resnet-0-0",
    pod_uid="pod-0",
    container="trainer",
    job="resnet",
    job_uid="job-0",
    attempt=0,
    rank=0,
)
FIRST = b'2025-03-09T07:05:09Z {"epoch": 1, "max_epoch": 2}\n'
SECOND = b"2025-03-09T07:05:10Z more\n"


class Logs:
    """The kubelet's side of logs that are followed: what is printed comes out of the streams that are open."""

    def __init__(self) -> None:
        self.printed: dict[str, bytes] = {}
        self.open: dict[str, asyncio.Queue[bytes]] = {}
        self.requests: list[str] = []
        self.refuse = False

    def print(self, pod: str, text: bytes) -> None:
        self.printed[pod] = self.printed.get(pod, b"") + text
        if pod in self.open:
            self.open[pod].put_nowait(text)

    def cut(self, pod: str) -> None:
        self.open[pod].put_nowait(b"")

    @asynccontextmanager
    async def stream(
        self, path: str, params: dict[str, str], *, batch_seconds: float = 0.0
    ) -> AsyncIterator[Any]:
        pod = path.split("/")[-2]
        self.requests.append(pod)
        if self.refuse:
            raise ApiError(status=503, reason="ServiceUnavailable", message="no")
        self.open[pod] = queue = asyncio.Queue[bytes]()
        if self.printed.get(pod):
            queue.put_nowait(self.printed[pod])
        stream = type("Stream", (), {"readany": staticmethod(queue.get), "hurry": staticmethod(lambda: None)})
        try:
            yield stream
        finally:
            del self.open[pod]


class Following:
    """Followers of these logs."""

    def __init__(self, logs: Logs, folder: Path, *, max_streams: int = 500) -> None:
        self.logs = logs
        self.rung: list[str] = []
        self.followers = LogFollowers(
            client=cast(Client, logs),
            store=LogStore(folder.as_uri()),
            on_change=lambda target: self.rung.append(target.pod),
            interval=0.0,
            max_streams=max_streams,
        )

    def follow(self, number: int = 0) -> str:
        self.followers.ensure(
            dataclasses.replace(
                TARGET, pod=f"resnet-{number}-0", pod_uid=f"pod-{number}", job_uid=f"job-{number}"
            )
        )
        return f"pod-{number}"

    def silent_for(self, uid: str = "pod-0") -> float | None:
        state = self.followers.state(uid)
        assert state is not None
        return None if state.silent_since is None else time.time() - state.silent_since

    async def begin_and_cut(self) -> None:
        """Follow one that has printed a line, and lose its stream; the server refuses the next."""
        self.follow()
        self.logs.print("resnet-0-0", FIRST)
        await until(lambda: self.logs.open)
        self.logs.refuse = True
        limit = self.followers._followers["pod-0"]._limit
        assert limit is not None
        limit.reschedule(0)
        await until(lambda: not self.logs.open)

    def ended(self, uid: str) -> bool:
        state = self.followers.state(uid)
        return state is not None and state.ended


async def until(condition: Any, *, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_log, "delay", lambda *_, **__: 0.01)
    for module in (followed_log, silence):
        monkeypatch.setattr(module, "SETTLE_SECONDS", 0.3)


async def test_silence_begins_with_the_stream_and_ends_with_each_byte(tmp_path: Path) -> None:
    logs = Logs()
    following = Following(logs, tmp_path)
    following.follow()
    assert following.silent_for() is None, "nobody listens yet"
    await until(lambda: logs.open)
    await asyncio.sleep(0.2)
    assert 0.15 < (following.silent_for() or 0) < 1
    logs.print("resnet-0-0", b"2025-03-09T07:05:09Z begins a line")
    await asyncio.sleep(0.05)
    assert (following.silent_for() or 1) < 0.15
    await following.followers.close()


async def test_nobody_claims_silence_while_the_stream_is_cut(tmp_path: Path) -> None:
    logs = Logs()
    following = Following(logs, tmp_path)
    await following.begin_and_cut()
    assert following.silent_for() is None
    await following.followers.close()


async def test_a_silent_stream_that_is_opened_anew_stays_silent_and_tells_of_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "check_seconds", lambda *_, **__: 1.0)
    logs = Logs()
    following = Following(logs, tmp_path)
    uid = following.follow()
    following.followers.stopped_for_silence_after(uid, 2)
    logs.print("resnet-0-0", FIRST)
    await until(lambda: logs.requests.count("resnet-0-0") == 2, seconds=10)
    await until(lambda: logs.open)
    assert following.silent_for() is None, "what was printed meanwhile is on its way"
    following.rung.clear()
    await until(lambda: following.silent_for() is not None)
    assert 1.2 < (following.silent_for() or 0) < 3, "the last line came again, which is no sign of life"
    await until(lambda: following.rung == ["resnet-0-0"])
    logs.print("resnet-0-0", SECOND * 50)
    await until(lambda: (following.silent_for() or 9) < 0.2)
    assert following.rung == ["resnet-0-0"], "no bell for what is no status line"
    await following.followers.close()


async def test_a_restarted_operator_begins_to_listen_anew(tmp_path: Path) -> None:
    logs = Logs()
    first = Following(logs, tmp_path)
    first.follow()
    logs.print("resnet-0-0", FIRST)
    await until(lambda: first.rung)
    await first.followers.close()
    await asyncio.sleep(0.5)
    second = Following(logs, tmp_path)
    second.follow()
    await until(lambda: logs.open)
    assert (second.silent_for() or 0) < 0.3
    # Whoever looked before it listened looks again.
    await until(lambda: len(second.rung) > 1)
    await second.followers.close()


async def test_more_logs_than_streams_are_followed_in_turn(tmp_path: Path) -> None:
    logs = Logs()
    following = Following(logs, tmp_path, max_streams=2)
    uids = [following.follow(number) for number in range(4)]
    await until(lambda: len(logs.open) == 2)
    await asyncio.sleep(0.1)
    assert sorted(logs.open) == ["resnet-0-0", "resnet-1-0"]
    assert following.silent_for(uids[2]) is None
    following.followers.pod_ended(uids[1])
    logs.cut("resnet-1-0")
    await until(lambda: sorted(logs.open) == ["resnet-0-0", "resnet-2-0"])
    following.followers.forget("job-0")
    await until(lambda: sorted(logs.open) == ["resnet-2-0", "resnet-3-0"])
    await following.followers.close()


async def test_a_log_that_got_no_stream_is_read_at_its_end_in_one_go(tmp_path: Path) -> None:
    logs = Logs()
    following = Following(logs, tmp_path, max_streams=1)
    following.follow(0)
    await until(lambda: logs.open)
    crowd = [following.follow(number) for number in range(1, 101)]
    await asyncio.sleep(0.1)
    assert logs.requests == ["resnet-0-0"]
    for number in range(1, 101):
        logs.print(f"resnet-{number}-0", FIRST + SECOND)

    async def kubelet() -> None:
        while True:
            for pod in list(logs.open):
                if pod != "resnet-0-0":
                    logs.cut(pod)
            await asyncio.sleep(0.01)

    closing = asyncio.create_task(kubelet())
    began = time.monotonic()
    for uid in crowd:
        following.followers.pod_ended(uid)
    await until(lambda: all(map(following.ended, crowd)))
    assert time.monotonic() - began < 5
    assert len(logs.requests) == 101, "one GET a pod"
    for number, uid in enumerate(crowd, start=1):
        state = following.followers.state(uid)
        assert state is not None
        assert state.report is not None
        assert state.tail[-1] == "more"
        stored = tmp_path / "team" / f"job-{number}" / "0-0.log"
        assert stored.read_bytes() == FIRST + SECOND
    assert list(logs.open) == ["resnet-0-0"]
    closing.cancel()
    await following.followers.close()


async def test_the_time_in_which_no_stream_was_open_is_no_silence(tmp_path: Path) -> None:
    logs = Logs()
    following = Following(logs, tmp_path)
    await following.begin_and_cut()
    await asyncio.sleep(1.5)
    logs.refuse = False
    await until(lambda: following.silent_for() is not None)
    assert (following.silent_for() or 0) < 1.0
    await following.followers.close()


async def test_the_time_in_which_what_was_read_cannot_be_written_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()

    def stuck(batch: list[Any]) -> list[None]:
        hang.wait(10)
        return [None for _ in batch]

    monkeypatch.setattr(store, "_write_all", stuck)
    monkeypatch.setattr(store, "FLUSH_BYTES", 100)
    monkeypatch.setattr(followed_log, "_LONG_FLUSH_SECONDS", 0.2)
    logs = Logs()
    following = Following(logs, tmp_path)
    following.follow()
    logs.print("resnet-0-0", FIRST + SECOND * 10)
    await until(lambda: logs.open)
    await asyncio.sleep(0.6)
    assert following.silent_for() is None
    following.rung.clear()
    hang.set()
    await until(lambda: following.silent_for() is not None)
    assert (following.silent_for() or 0) < 0.4
    await until(lambda: following.rung == ["resnet-0-0"])
    await following.followers.close()


async def test_a_short_time_out_counts_from_a_stream_that_was_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "check_seconds", lambda *_, **__: 1.0)
    logs = Logs()
    following = Following(logs, tmp_path)
    following.followers.stopped_for_silence_after(following.follow(), 0.5)
    logs.print("resnet-0-0", FIRST)
    await until(lambda: logs.open)
    await asyncio.sleep(0.7)
    assert following.silent_for() is None, "its connection may be dead"
    await until(lambda: logs.requests.count("resnet-0-0") == 2)
    await until(lambda: following.silent_for() is not None)
    assert 1.0 < (following.silent_for() or 0) < 2.0
    await following.followers.close()
