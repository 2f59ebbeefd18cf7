"""Turns are given in the order of asking, and never lost."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from trainyard.cluster.log_slots import LogSlots


class Asking:
    """Somebody who asks for a turn and holds it until `done`."""

    def __init__(self, slots: LogSlots, who: str) -> None:
        self.done = asyncio.Event()
        self.granted: bool | None = None
        self._slots, self._who = slots, who
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        with self._slots.turn(self._who) as turn:
            self.granted = await turn
            await self.done.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def waiting() -> float | None:
    return REGISTRY.get_sample_value("trainyard_log_streams_waiting")


async def test_turns_are_given_in_the_order_of_asking() -> None:
    slots = LogSlots(1)
    first, second, third = (Asking(slots, name) for name in "abc")
    await settled()
    assert [one.granted for one in (first, second, third)] == [True, None, None]
    assert waiting() == 2
    first.done.set()
    await settled()
    assert [second.granted, third.granted, waiting()] == [True, None, 1]
    second.done.set()
    third.done.set()
    await asyncio.gather(first.task, second.task, third.task)
    assert waiting() == 0


async def test_one_that_leaves_holds_nothing() -> None:
    slots = LogSlots(1)
    first, second, third = (Asking(slots, name) for name in "abc")
    await settled()
    slots.leave("b")
    second.done.set()
    await second.task
    assert second.granted is False
    first.done.set()
    await settled()
    assert third.granted is True
    third.task.cancel()
    await asyncio.gather(third.task, return_exceptions=True)
    with slots.turn("d") as turn:
        assert turn.done()


@pytest.mark.parametrize("at", ["while it waits", "in the moment of its turn"])
async def test_a_turn_is_not_lost_with_one_that_is_cancelled(at: str) -> None:
    slots = LogSlots(1)
    first, second = Asking(slots, "a"), Asking(slots, "b")
    await settled()
    if at == "while it waits":
        second.task.cancel()
        await settled()
        first.done.set()
    else:
        first.done.set()
        await first.task
        second.task.cancel()
    await asyncio.gather(first.task, second.task, return_exceptions=True)
    with slots.turn("c") as turn:
        assert turn.done()
    assert waiting() == 0
