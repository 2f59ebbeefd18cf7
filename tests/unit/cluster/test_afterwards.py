"""Writes that nobody waits for are done once each, again when they fail, and keep out of the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from trainyard.cluster import afterwards
from trainyard.cluster.afterwards import AT_ONCE, Afterwards
from trainyard.cluster.client import ApiError

AWAY = ApiError(status=503, reason="Unavailable", message="away")
REFUSED = ApiError(status=403, reason="Forbidden", message="no")


@asynccontextmanager
async def running(*, busy: Callable[[], bool] = lambda: False) -> AsyncIterator[Afterwards]:
    deferred = Afterwards(busy=busy)
    work = asyncio.create_task(deferred.run())
    try:
        yield deferred
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def a_write(done: list[str], name: str, *failures: Exception) -> Callable[[], Awaitable[None]]:
    """Fails in each of these ways first."""
    left = list(failures)

    async def write() -> None:
        done.append(name)
        if left:
            raise left.pop(0)

    return write


async def settled(deferred: Afterwards) -> None:
    async with asyncio.timeout(5):
        while len(deferred):  # noqa: ASYNC110  (it says nothing when it is done)
            await asyncio.sleep(0.01)


async def test_each_is_done_once_in_the_order_in_which_they_came() -> None:
    done: list[str] = []
    async with running() as deferred:
        for name in "abcdef":
            deferred.add(name, a_write(done, name))
            deferred.add(name, a_write(done, name))
        await settled(deferred)
        deferred.add("a", a_write(done, "a, later"))
        await settled(deferred)
    assert done == [*"abcdef", "a, later"]


async def test_only_a_few_go_at_a_time() -> None:
    going, most, gate = 0, 0, asyncio.Event()

    async def write() -> None:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await gate.wait()
        going -= 1

    async with running() as deferred:
        for number in range(20):
            deferred.add(number, write)
        await asyncio.sleep(0.05)
        assert going == AT_ONCE
        gate.set()
        await settled(deferred)
    assert most == AT_ONCE


async def test_while_there_is_other_work_they_go_one_at_a_time() -> None:
    going, gate, busy = 0, asyncio.Event(), True

    async def write() -> None:
        nonlocal going
        going += 1
        await gate.wait()
        going -= 1

    async with running(busy=lambda: busy) as deferred:
        for number in range(10):
            deferred.add(number, write)
        await asyncio.sleep(0.2)
        assert going == 1
        busy = False
        await asyncio.sleep(0.2)
        assert going == AT_ONCE
        gate.set()
        await settled(deferred)


async def test_one_that_hangs_holds_up_the_others_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "HELD_BACK_SECONDS", 0.2)
    done: list[str] = []
    async with running(busy=lambda: True) as deferred:
        deferred.add("hangs", asyncio.Event().wait)
        await asyncio.sleep(0.05)
        deferred.add("next", a_write(done, "next"))
        await asyncio.sleep(0.1)
        assert done == []
        await asyncio.sleep(0.3)
        assert done == ["next"]


async def test_what_others_wait_for_goes_first() -> None:
    done: list[str] = []
    deferred = Afterwards()
    for name in ("event", "another event"):
        deferred.add(name, a_write(done, name))
    deferred.add("release", a_write(done, "release"), first=True)
    await deferred.close(seconds=1)
    assert done == ["release", "event", "another event"]


@pytest.mark.parametrize("failure", [AWAY, REFUSED, TimeoutError()])
async def test_what_fails_is_done_again_and_holds_up_nothing(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afterwards, "_FIRST_PAUSE", 0.05)
    done: list[str] = []
    async with running() as deferred:
        deferred.add("fails", a_write(done, "fails", failure, failure))
        deferred.add("works", a_write(done, "works"))
        await settled(deferred)
    assert done == ["fails", "works", "fails", "fails"]


async def test_what_waits_after_a_failure_is_done_at_once_when_it_is_asked_for_again() -> None:
    done: list[str] = []
    async with running() as deferred:
        deferred.add("release", a_write(done, "release", REFUSED))
        await asyncio.sleep(0.05)
        assert (done, len(deferred)) == (["release"], 1)
        deferred.add("release", a_write(done, "release"))
        await asyncio.sleep(0.05)
        assert (done, len(deferred)) == (["release"] * 2, 0)


async def test_a_bug_is_logged_and_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    async with running() as deferred:
        deferred.add("broken", a_write(done, "broken", KeyError("bug")))
        deferred.add("fine", a_write(done, "fine"))
        await settled(deferred)
    assert done == ["broken", "fine"]
    assert "broken is not done" in caplog.text


async def test_what_was_under_way_or_waiting_when_the_operator_ends_is_done_before_it_has_ended() -> None:
    done: list[str] = []
    hang = asyncio.Event()

    async def interrupted() -> None:
        done.append("begun")
        await hang.wait()
        done.append("finished")

    async with running() as deferred:
        for number in range(AT_ONCE):
            deferred.add(number, interrupted)
        deferred.add("last", a_write(done, "last"))
        await asyncio.sleep(0.05)
    hang.set()
    await deferred.close(seconds=5)
    assert done.count("finished") == AT_ONCE
    assert "last" in done


async def test_the_end_waits_for_nothing_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    deferred = Afterwards()
    for number in range(AT_ONCE + 3):
        deferred.add(number, asyncio.Event().wait)
    await deferred.close(seconds=0.05)
    assert f"{AT_ONCE + 3} writes are left to the next operator" in caplog.text
