"""When a key is looked at again."""

from __future__ import annotations

import asyncio

import pytest

from trainyard.cluster.cache import TRAINING_JOB, Key
from trainyard.reconcile.queue import Backoff, KeyedQueue

JOB = Key(TRAINING_JOB, "team", "resnet")


@pytest.mark.parametrize(
    ("backoff", "first", "last"),
    [
        pytest.param(Backoff.STALE, 0.1, 5.0, id="at once after a change of the object"),
        pytest.param(Backoff.AWAY, 0.5, 15.0, id="soon while the API server is away"),
        pytest.param(Backoff.FAILED, 0.5, 300.0, id="later and later after a refusal or a bug"),
    ],
)
async def test_back_off_doubles_up_to_its_limit(backoff: Backoff, first: float, last: float) -> None:
    queue = KeyedQueue()
    delays = [queue.retry(JOB, backoff) for _ in range(30)]
    assert delays[:3] == [first, 2 * first, 4 * first]
    assert delays[-1] == last
    queue.add(JOB)


async def test_a_server_that_asks_for_more_time_gets_it() -> None:
    queue = KeyedQueue()
    assert queue.retry(JOB, Backoff.AWAY, at_least=40.0) == 40.0
    assert queue.retry(JOB, Backoff.AWAY, at_least=0.2) == 1.0
    queue.add(JOB)


async def test_sorts_of_failures_do_not_slow_each_other_down() -> None:
    queue = KeyedQueue()
    for _ in range(20):
        queue.retry(JOB, Backoff.STALE)
    assert queue.retry(JOB, Backoff.FAILED) == 0.5
    queue.add(JOB)


async def test_success_forgets_all_failures() -> None:
    queue = KeyedQueue()
    for backoff in Backoff:
        queue.retry(JOB, backoff)
    queue.succeeded(JOB)
    assert [queue.retry(JOB, backoff) for backoff in Backoff] == [0.1, 0.5, 0.5]
    queue.add(JOB)


def a_key(number: int) -> Key:
    return Key(TRAINING_JOB, "team", f"job-{number}")


async def test_what_is_urgent_goes_first_and_keeps_nobody_waiting_for_ever() -> None:
    queue = KeyedQueue()
    for number in range(10):
        queue.add(a_key(number))
    for number in range(100, 110):
        queue.add(a_key(number), urgent=True)
    order = [int((await queue.get()).name.removeprefix("job-")) for _ in range(20)]
    in_a_row = [100, 101, 102, 103, 0, 104, 105, 106, 107, 1, 108, 109]
    assert order == [*in_a_row, *range(2, 10)]


async def test_a_key_that_waits_and_becomes_urgent_is_taken_once() -> None:
    queue = KeyedQueue()
    for number in range(3):
        queue.add(a_key(number))
    queue.add(a_key(2), urgent=True)
    queue.add(a_key(2))
    assert [await queue.get() for _ in range(3)] == [a_key(2), a_key(0), a_key(1)]
    assert len(queue) == 0


async def test_a_key_that_becomes_urgent_while_it_is_in_work_goes_first_afterwards() -> None:
    queue = KeyedQueue()
    queue.add(JOB)
    await queue.get()
    queue.add(a_key(0))
    queue.add(JOB, urgent=True)
    queue.add(JOB)
    queue.done(JOB)
    assert await queue.get() == JOB


async def test_a_worker_that_is_cancelled_takes_no_key_with_it() -> None:
    queue = KeyedQueue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add(JOB)
    waiting[0].cancel()
    assert await asyncio.wait_for(waiting[1], 5) == JOB


async def test_what_the_work_has_done_itself_asks_for_no_other_look() -> None:
    queue = KeyedQueue()
    queue.add(JOB)
    await queue.get()
    queue.add(JOB, because="our write")
    queue.not_because(JOB, "our write")
    queue.done(JOB)
    assert len(queue) == 0
    queue.add(JOB, because="our write")
    assert len(queue) == 1


async def test_a_look_that_may_come_soon_puts_off_none_that_is_due_before() -> None:
    queue = KeyedQueue()
    queue.add_after(JOB, 0.01)
    queue.add_soon(JOB, 3600)
    assert await asyncio.wait_for(queue.get(), 5) == JOB
    queue.add_soon(JOB, 0.01)
    queue.add_after(JOB, 3600)
    queue.done(JOB)
    assert await asyncio.wait_for(queue.get(), 5) == JOB
