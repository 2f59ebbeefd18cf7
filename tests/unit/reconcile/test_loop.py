"""What a failed reconcile leads to: when the key is looked at again, and what is logged and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp
import pytest
from prometheus_client import REGISTRY

from trainyard.cluster.cache import TRAINING_JOB, Key
from trainyard.cluster.client import ApiError
from trainyard.cluster.execute import StaleError
from trainyard.reconcile.loop import Loop
from trainyard.reconcile.queue import Backoff, KeyedQueue

JOB = Key(TRAINING_JOB, "team", "resnet")


class RecordingQueue(KeyedQueue):
    def __init__(self) -> None:
        super().__init__()
        self.retried: asyncio.Future[tuple[Backoff, float]] = asyncio.Future()

    def retry(self, key: Key, backoff: Backoff, *, at_least: float = 0.0) -> float:
        delay = super().retry(key, backoff, at_least=at_least)
        self.retried.set_result((backoff, delay))
        self.add_after(key, 3600)
        return delay


async def fail_once(error: Exception) -> tuple[Backoff, float]:
    """How a reconcile that raises `error` is tried again."""

    async def reconcile(_: Key) -> float | None:
        raise error

    queue = RecordingQueue()
    queue.add(JOB)
    running = asyncio.create_task(Loop(queue=queue, kinds={TRAINING_JOB: reconcile}, workers=1).run())
    try:
        return await asyncio.wait_for(queue.retried, 5)
    finally:
        await asyncio.sleep(0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        queue.add(JOB)


def errors() -> float:
    labels = {"kind": TRAINING_JOB}
    return REGISTRY.get_sample_value("trainyard_reconcile_errors_total", labels) or 0.0


def api_error(status: int, *, retry_after: int | None = None) -> ApiError:
    body = {"details": {"retryAfterSeconds": retry_after}} if retry_after else {}
    return ApiError(status=status, reason="Why", message="because", body=body)


@pytest.mark.parametrize(
    ("error", "backoff", "delay", "said"),
    [
        pytest.param(aiohttp.ClientError("cut"), Backoff.AWAY, 0.5, "cut", id="a connection is cut"),
        pytest.param(TimeoutError(), Backoff.AWAY, 0.5, "TimeoutError", id="no answer comes"),
        pytest.param(api_error(503), Backoff.AWAY, 0.5, "503 Why: because", id="the server is away"),
        pytest.param(api_error(429), Backoff.AWAY, 0.5, "429 Why: because", id="the server is overloaded"),
        pytest.param(
            api_error(429, retry_after=20),
            Backoff.AWAY,
            20.0,
            "429 Why: because",
            id="the server asks for time",
        ),
        pytest.param(api_error(403), Backoff.FAILED, 0.5, "403 Why: because", id="the server refuses"),
    ],
)
async def test_trouble_with_the_server_is_one_line(
    error: Exception, backoff: Backoff, delay: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = errors()
    assert await fail_once(error) == (backoff, delay)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert not record.exc_info
    expected = f"TrainingJob team/resnet could not be reconciled, again in {delay:.1f} s: {said}"
    assert record.getMessage() == expected
    assert errors() == before + 1


async def test_a_bug_shows_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    before = errors()
    assert await fail_once(KeyError("spec")) == (Backoff.FAILED, 0.5)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert errors() == before + 1


async def test_an_object_that_changed_meanwhile_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    before = errors()
    assert await fail_once(StaleError("conflict")) == (Backoff.STALE, 0.1)
    assert not caplog.records
    assert errors() == before
