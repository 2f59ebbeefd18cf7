"""Deliveries whose job does not say what it should."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from trainyard.cluster.cache import TRAINING_JOB, Cache, Key
from trainyard.cluster.client import Client
from trainyard.planning.plan import Delivery
from trainyard.reconcile.callbacks import Deliveries
from trainyard.reconcile.queue import KeyedQueue
from trainyard.settings import Callbacks

JOB = Key(TRAINING_JOB, "team", "resnet")


async def answer_of(callback: dict[str, Any]) -> str:
    """The message of the answer to one delivery of a job with this callback."""
    cache, queue = Cache(), KeyedQueue()
    entry = {"id": "msg-1", "name": "chat", "state": "Pending", "event": "Completed"}
    metadata = {"namespace": "team", "name": "resnet", "uid": "job-uid", "resourceVersion": "5"}
    cache.store(
        TRAINING_JOB,
        {"metadata": metadata, "spec": {"callbacks": [callback]}, "status": {"callbacks": [entry]}},
    )
    deliveries = Deliveries(client=cast(Client, None), cache=cache, queue=queue, settings=Callbacks())
    try:
        deliveries.send(JOB, "job-uid", Delivery(id="msg-1", url="https://example.com"))
        assert await asyncio.wait_for(queue.get(), 5) == JOB
        (answer,) = deliveries.answers("job-uid").values()
    finally:
        await deliveries.close()
    assert not answer.delivered
    return answer.message


async def test_a_callback_that_cannot_be_read_is_answered_and_not_sent_for_ever() -> None:
    message = await answer_of({"name": "chat", "url": 7})
    assert message == "Not sent: spec.callbacks cannot be read: Input should be a valid string."
