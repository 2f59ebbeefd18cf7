"""Whose delivery goes next."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard.callbacks.dispatch import Dispatcher, Lane


class Works:
    """Works that run until they are let go."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Event] = {}
        self.started: list[str] = []

    def submit(
        self,
        dispatcher: Dispatcher,
        name: str,
        *,
        host: str,
        namespace: str = "team-a",
        progress: bool = False,
    ) -> None:
        async def work() -> None:
            self.started.append(name)
            self.running[name] = asyncio.Event()
            await self.running[name].wait()
            del self.running[name]

        dispatcher.submit(Lane(namespace=namespace, host=host, progress=progress), work)

    async def end(self, *names: str) -> None:
        for name in names:
            self.running[name].set()
        await _settle()


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_host_that_hangs_does_not_hold_up_others() -> None:
    works, dispatcher = Works(), Dispatcher(total=16)
    for number in range(50):
        works.submit(dispatcher, f"slow-{number}", host="slow")
    works.submit(dispatcher, "quick", host="quick")
    await _settle()
    assert works.started == ["slow-0", "slow-1", "quick"]
    await dispatcher.close()


async def test_a_namespace_full_of_hosts_that_hang_does_not_hold_up_others() -> None:
    works, dispatcher = Works(), Dispatcher(total=16)
    for number in range(50):
        works.submit(dispatcher, f"slow-{number}", host=f"host-{number}", namespace="bad")
    works.submit(dispatcher, "other", host="host-0", namespace="good")
    await _settle()
    assert len(works.running) == 9
    assert works.started[-1] == "other"
    await dispatcher.close()


async def test_hosts_take_turns_and_a_host_keeps_its_order() -> None:
    works, dispatcher = Works(), Dispatcher(total=1)
    for name in ("a1", "a2", "a3", "b1", "b2"):
        works.submit(dispatcher, name, host=name[0])
    for name in ("a1", "a2", "b1", "a3", "b2"):
        await _settle()
        assert list(works.running) == [name]
        await works.end(name)
    assert works.running == {}


async def test_an_end_does_not_queue_behind_the_reports_of_many_jobs() -> None:
    works, dispatcher = Works(), Dispatcher(total=1)
    for number in range(50):
        works.submit(dispatcher, f"report-{number}", host="a", progress=True)
    works.submit(dispatcher, "end", host="a")
    for _ in range(2):
        await _settle()
        await works.end(*works.running)
    await _settle()
    assert "end" in works.started
    await dispatcher.close()


async def test_closing_drops_what_waits_and_breaks_off_what_runs() -> None:
    works, dispatcher = Works(), Dispatcher(total=1)
    works.submit(dispatcher, "runs", host="a")
    works.submit(dispatcher, "waits", host="b")
    await _settle()
    await asyncio.wait_for(dispatcher.close(), timeout=1)
    await _settle()
    assert works.started == ["runs"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.booleans()), max_size=60))
def test_the_bounds_hold_and_everything_gets_its_turn(steps: list[tuple[str, str, bool]]) -> None:
    async def play() -> None:
        works, dispatcher = Works(), Dispatcher(total=8)
        lanes: dict[str, tuple[str, str]] = {}
        for number, (namespace, host, end_one) in enumerate(steps):
            lanes[str(number)] = (namespace, host)
            works.submit(dispatcher, str(number), host=host, namespace=namespace)
            await _settle()
            running = [lanes[name] for name in works.running]
            assert len(running) <= 8
            assert max(Counter(host for _, host in running).values()) <= 1
            assert max(Counter(namespace for namespace, _ in running).values()) <= 4
            if end_one and works.running:
                await works.end(next(iter(works.running)))
        while works.running:
            await works.end(*works.running)
        assert sorted(works.started) == sorted(lanes)

    asyncio.run(play())
