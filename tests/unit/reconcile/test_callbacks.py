"""Deliveries on their way: one after the other to each callback, and none lost or repeated in between."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest

from tests.receiver import Receiver, Say, listening
from trainyard.cluster.cache import EXPERIMENT, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import Client
from trainyard.planning.observed import Answer
from trainyard.planning.plan import Delivery
from trainyard.reconcile.callbacks import Deliveries
from trainyard.reconcile.queue import KeyedQueue
from trainyard.settings import Callbacks

JOB = Key(TRAINING_JOB, "team", "resnet")
UID = "job-uid"
SETTINGS = Callbacks(allowed_cidrs=(ipaddress.ip_network("127.0.0.0/8"),))


class Delivering:
    """Deliveries of one job, and what its status says of them."""

    def __init__(self) -> None:
        self.cache, self.queue = Cache(), KeyedQueue()
        self.deliveries = Deliveries(
            client=cast(Client, None), cache=self.cache, queue=self.queue, settings=SETTINGS
        )
        self.version = 1

    def job(self, *callbacks: dict[str, Any], entries: list[dict[str, Any]]) -> None:
        """The job as it is now."""
        self.version += 1
        metadata = {
            "namespace": "team",
            "name": "resnet",
            "uid": UID,
            "resourceVersion": str(self.version),
        }
        job = {"metadata": metadata, "spec": {"callbacks": list(callbacks)}, "status": {"callbacks": entries}}
        self.cache.store(TRAINING_JOB, job)

    def send(self, url: str, *ids: str, callback: str = "chat") -> None:
        self.deliveries.send(JOB, UID, Delivery(callback=callback, url=url, ids=ids))

    async def rung(self) -> dict[str, Answer]:
        """The answers once the job is rung for."""
        assert await asyncio.wait_for(self.queue.get(), 5) == JOB
        self.queue.done(JOB)
        return dict(self.deliveries.answers(UID))


def an_entry(id: str, name: str = "chat") -> dict[str, Any]:
    return {
        "id": id,
        "name": name,
        "state": "Pending",
        "event": "Completed",
        "sequence": 1,
        "time": "2999-01-01T00:00:00Z",
    }


@pytest.fixture
async def one() -> AsyncIterator[Delivering]:
    found = Delivering()
    yield found
    await found.deliveries.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


async def test_several_to_one_callback_go_in_order_and_are_one_write(
    one: Delivering, receiver: Receiver
) -> None:
    ids = ["a", "b", "c", "d"]
    one.job({"name": "chat", "url": receiver.url()}, entries=[an_entry(id) for id in ids])
    receiver.script["/"] = [Say(delay=0.1)]
    one.send(receiver.url(), *ids)
    one.send(receiver.url(), *ids)
    answers = await one.rung()
    assert [request.id for request in receiver.requests] == ids
    assert list(answers) == ids
    assert all(answer.delivered for answer in answers.values())
    one.send(receiver.url(), "d")
    await asyncio.sleep(0.3)
    assert len(receiver.requests) == 4, "its answer is not written yet"


async def test_the_first_that_fails_ends_it(one: Delivering, receiver: Receiver) -> None:
    one.job({"name": "chat", "url": receiver.url()}, entries=[an_entry(id) for id in "abc"])
    receiver.script["/"] = [Say(), Say(status=500), Say()]
    one.send(receiver.url(), "a", "b", "c")
    answers = await one.rung()
    assert {id: answer.delivered for id, answer in answers.items()} == {"a": True, "b": False}
    await asyncio.sleep(0.2)
    assert [request.id for request in receiver.requests] == ["a", "b"]


async def test_progress_and_other_events_are_told_apart_for_their_turns(
    one: Delivering, receiver: Receiver
) -> None:
    names = [f"hook-{number}" for number in range(40)]
    callbacks = [{"name": name, "url": receiver.url()} for name in [*names, "chat"]]
    reports = [{**an_entry(name, name), "event": "Progress"} for name in names]
    one.job(*callbacks, entries=[*reports, an_entry("end")])
    receiver.script["/"] = [Say(delay=0.2)]
    for name in names:
        one.send(receiver.url(), name, callback=name)
    one.send(receiver.url(), "end")
    await one.rung()
    assert "end" in [request.id for request in receiver.requests[:16]], "four at once for one host"


async def test_what_is_wanted_no_more_is_passed_over(one: Delivering, receiver: Receiver) -> None:
    one.job({"name": "chat", "url": receiver.url()}, entries=[an_entry("b")])
    one.send(receiver.url(), "a", "b")
    assert list(await one.rung()) == ["b"]
    assert [request.id for request in receiver.requests] == ["b"]


async def test_a_callback_that_hangs_does_not_keep_the_answer_of_another(
    one: Delivering, receiver: Receiver
) -> None:
    callbacks = [{"name": "chat", "url": receiver.url("/slow")}, {"name": "quick", "url": receiver.url("/q")}]
    one.job(*callbacks, entries=[an_entry("a"), an_entry("b", "quick")])
    receiver.script["/slow"] = [Say(delay=4)]
    one.send(receiver.url("/slow"), "a")
    one.send(receiver.url("/q"), "b", callback="quick")
    assert list(await one.rung()) == ["b"]


async def test_a_callback_that_cannot_be_read_is_answered_and_not_sent_for_ever(one: Delivering) -> None:
    one.job({"name": "chat", "url": 7}, entries=[an_entry("a")])
    one.send("https://example.com", "a")
    (answer,) = (await one.rung()).values()
    assert not answer.delivered
    assert not answer.waiting
    assert answer.message == "Not sent: spec.callbacks cannot be read: Input should be a valid string."


async def test_an_experiment_is_told_of_by_its_own_events_and_rung_for(
    one: Delivering, receiver: Receiver
) -> None:
    key = Key(EXPERIMENT, "team", "search")
    one.cache.store(
        EXPERIMENT,
        {
            "metadata": {"namespace": "team", "name": "search", "uid": "e-1", "resourceVersion": "1"},
            "spec": {"callbacks": [{"name": "chat", "url": receiver.url()}]},
            "status": {"phase": "Done", "callbacks": [an_entry("a")]},
        },
    )
    delivery = Delivery(callback="chat", url=receiver.url(), ids=("a",))
    one.deliveries.send(key, "e-1", delivery)
    assert await asyncio.wait_for(one.queue.get(), 5) == key
    assert one.deliveries.answers("e-1")["a"].delivered
    (request,) = receiver.requests
    assert request.event["type"] == "dev.trainyard.experiment.completed"
    assert request.event["subject"] == "search"
