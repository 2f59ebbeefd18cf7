"""How a followed log gets over a kubelet that has just started, and what is held of those that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from trainyard.cluster import followed_log
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.log_follower import LogFollowers, LogTarget
from trainyard.logs.store import LogStore

TARGET = LogTarget(
    namespace="team",
    pod="resnet-0-0",
    pod_uid="pod-uid",
    container="trainer",
    job="resnet",
    job_uid="job-uid",
    attempt=0,
    rank=0,
)


class Stream:
    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    async def readany(self) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""

    def hurry(self) -> None:
        pass


class FakeClient:
    """Gives these streams in order, a 404 for each None, and 404 for ever in the end."""

    def __init__(self, *streams: Stream | None) -> None:
        self._streams = list(streams)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._asked = asyncio.Semaphore(0)

    @asynccontextmanager
    async def stream(
        self, path: str, params: dict[str, str], *, batch_seconds: float = 0.0
    ) -> AsyncIterator[Any]:
        self.requests.append((path, params))
        self._asked.release()
        found = self._streams.pop(0) if self._streams else None
        if found is None:
            raise ApiError(status=404, reason="NotFound", message="the server could not find the resource")
        yield found

    async def was_asked(self, times: int) -> None:
        for _ in range(times):
            await asyncio.wait_for(self._asked.acquire(), 5)


class FlakyClient(FakeClient):
    """Refuses for the API server's own reasons at first."""

    def __init__(self, *, refusals: int, stream: Stream) -> None:
        super().__init__(stream)
        self._refusals = refusals

    @asynccontextmanager
    async def stream(
        self, path: str, params: dict[str, str], *, batch_seconds: float = 0.0
    ) -> AsyncIterator[Any]:
        if self._refusals:
            self._refusals -= 1
            self._asked.release()
            raise ApiError(status=503, reason="ServiceUnavailable", message="no")
        async with super().stream(path, params) as stream:
            yield stream


class Followed:
    """One log that is followed, without pauses between streams."""

    def __init__(self, client: FakeClient, folder: Path) -> None:
        self.changed = asyncio.Event()
        self.followers = LogFollowers(
            client=cast(Client, client),
            store=LogStore(folder.as_uri()),
            on_change=lambda _: self.changed.set(),
            interval=0.0,
        )
        self.followers.ensure(TARGET)

    def ended(self) -> bool:
        state = self.followers.state("pod-uid")
        return state is not None and state.ended


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_log, "delay", lambda *_, **__: 0.001)


async def test_goes_on_when_the_kubelet_knows_the_pod_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "END_GRACE_SECONDS", 0.01)
    before, after = b"2025-03-09T07:05:09Z before\n", b"2025-03-09T07:05:10Z after\n"
    client = FakeClient(Stream(before), None, None, Stream(before, after))
    log = Followed(client, tmp_path)
    await client.was_asked(5)
    log.followers.pod_ended("pod-uid")
    await asyncio.wait_for(log.changed.wait(), 5)
    state = log.followers.state("pod-uid")
    assert state is not None
    assert state.tail == ("before", "after")
    assert client.requests[0][0] == "/api/v1/namespaces/team/pods/resnet-0-0/log"
    assert "sinceTime" in client.requests[1][1]
    await log.followers.close()


async def test_asks_on_while_the_container_is_not_known_to_have_ended(tmp_path: Path) -> None:
    client = FakeClient()
    log = Followed(client, tmp_path)
    await client.was_asked(20)
    assert not log.ended()
    log.followers.pod_ended("pod-uid")
    await asyncio.wait_for(log.changed.wait(), 5)
    assert log.ended()
    await log.followers.close()


async def test_ends_after_a_minute_of_nothing_but_404(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.logs.reconnect._PATIENCE_WITH_GONE", 0.2)
    client = FakeClient()
    log = Followed(client, tmp_path)
    await asyncio.wait_for(log.changed.wait(), 5)
    assert log.ended()
    assert len(client.requests) > 2
    await log.followers.close()


async def test_the_minute_begins_anew_after_any_other_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.logs.reconnect._PATIENCE_WITH_GONE", 0.2)
    monkeypatch.setattr(followed_log, "END_GRACE_SECONDS", 0.3)
    client = FakeClient(None, None, Stream(b"2025-03-09T07:05:09Z here\n"))
    log = Followed(client, tmp_path)
    await asyncio.wait_for(log.changed.wait(), 5)
    assert log.ended()
    assert len(client.requests) > 5
    await log.followers.close()


async def test_an_ended_log_is_held_as_long_as_the_job_has_its_pod(tmp_path: Path) -> None:
    log = Followed(FakeClient(Stream(b"2025-03-09T07:05:09Z here\n")), tmp_path)
    log.followers.forget_ended("job-uid", but=set())
    assert not log.ended(), "one that goes on is not dropped"
    assert log.followers.state("pod-uid") is not None
    log.followers.pod_ended("pod-uid")
    await asyncio.wait_for(log.changed.wait(), 5)
    log.followers.forget_ended("job-uid", but={"pod-uid"})
    assert log.ended()
    log.followers.forget_ended("job-uid", but={"pod-of-the-next-attempt"})
    assert log.followers.state("pod-uid") is None
    log.followers.forget("job-uid")
    await log.followers.close()


async def test_a_kubelet_that_cannot_follow_is_asked_again_at_the_end(tmp_path: Path) -> None:
    first, second = b"2025-03-09T07:05:09Z first\n", b"2025-03-09T07:05:10Z last\n"
    complaint = b"failed to create fsnotify watcher: too many open files"
    client = FakeClient(Stream(first, complaint), Stream(first + second + complaint))
    log = Followed(client, tmp_path)
    await client.was_asked(1)
    log.followers.pod_ended("pod-uid")
    await asyncio.wait_for(log.changed.wait(), 5)
    state = log.followers.state("pod-uid")
    assert state is not None
    assert (state.ended, state.tail) == (True, ("first", "last"))
    assert len(client.requests) == 2
    await log.followers.close()


async def test_the_end_of_the_container_ends_a_pause_between_two_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[tuple[int, bool]] = []

    def delay(_: Any, *, failures: int, ended: bool, **__: Any) -> float:
        pauses.append((failures, ended))
        return 0.001 if ended or len(pauses) < 4 else 60.0

    monkeypatch.setattr(followed_log, "delay", delay)
    client = FlakyClient(refusals=6, stream=Stream(b"2025-03-09T07:05:09Z here\n"))
    log = Followed(client, tmp_path)
    await client.was_asked(4)
    await asyncio.sleep(0.05)
    log.followers.pod_ended("pod-uid")
    await asyncio.wait_for(log.changed.wait(), 5)
    state = log.followers.state("pod-uid")
    assert state is not None
    assert (state.ended, state.tail) == (True, ("here",))
    assert pauses == [(1, False), (2, False), (3, False), (4, False), (1, True), (2, True)]
    await log.followers.close()


async def test_a_log_is_being_read_while_its_bytes_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "_READING_SECONDS", 0.2)
    more: asyncio.Queue[bytes] = asyncio.Queue()
    stream = Stream()
    stream.readany = more.get  # type: ignore[method-assign]  # a stream that waits
    log = Followed(FakeClient(stream), tmp_path)

    def reading() -> bool:
        state = log.followers.state("pod-uid")
        assert state is not None
        return state.reading

    assert reading(), "it has not been asked for yet"
    await asyncio.sleep(0.4)
    assert not reading()
    more.put_nowait(b"2025-03-09T07:05:09Z here\n")
    await asyncio.sleep(0.05)
    assert reading()
    more.put_nowait(b"")
    log.followers.pod_ended("pod-uid")
    await asyncio.wait_for(log.changed.wait(), 5)
    assert log.ended()
    assert not reading()
    await log.followers.close()
