"""When a key is looked at again."""

from __future__ import annotations

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
