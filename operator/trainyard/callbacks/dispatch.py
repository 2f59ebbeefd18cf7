"""Which delivery goes next: bounded in all, for each host and for each namespace, hosts taking turns.

Separate because it knows neither HTTP nor jobs: a receiver that hangs, or a namespace full of them, must not hold up
the rest. Called by `reconcile.callbacks`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from trainyard import metrics

Work = Callable[[], Awaitable[None]]


class Lane(NamedTuple):
    """Deliveries of one namespace to one host; in turn among themselves.

    Reports of `progress` have lanes of their own: the end of a job does not wait for those of a thousand others.
    """

    namespace: str
    host: str
    progress: bool = False


class Dispatcher:
    """Runs works as tasks of its own, at most `total` at once. For one event loop; works must not raise."""

    def __init__(self, *, total: int) -> None:
        self._total = total
        self._per_namespace = max(1, total // 2)
        self._per_host = max(1, total // 8)
        self._lanes: OrderedDict[Lane, deque[Work]] = OrderedDict()
        self._running: dict[asyncio.Task[None], Lane] = {}
        self._hosts: Counter[str] = Counter()
        self._namespaces: Counter[str] = Counter()

    def submit(self, lane: Lane, work: Work) -> None:
        """Start `work` as soon as its turn comes; returns at once."""
        self._lanes.setdefault(lane, deque()).append(work)
        metrics.CALLBACKS_WAITING.inc()
        self._start()

    async def close(self) -> None:
        """Drop what waits and break off what runs."""
        metrics.CALLBACKS_WAITING.dec(sum(map(len, self._lanes.values())))
        self._lanes.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self) -> None:
        while len(self._running) < self._total and (lane := self._next()) is not None:
            works = self._lanes[lane]
            task = asyncio.ensure_future(works.popleft()())
            metrics.CALLBACKS_WAITING.dec()
            self._running[task] = lane
            self._hosts[lane.host] += 1
            self._namespaces[lane.namespace] += 1
            task.add_done_callback(self._done)
            if works:
                self._lanes.move_to_end(lane)
            else:
                del self._lanes[lane]

    def _next(self) -> Lane | None:
        return next(
            (
                lane
                for lane in self._lanes
                if self._hosts[lane.host] < self._per_host
                and self._namespaces[lane.namespace] < self._per_namespace
            ),
            None,
        )

    def _done(self, task: asyncio.Task[None]) -> None:
        lane = self._running.pop(task)
        for counter, key in ((self._hosts, lane.host), (self._namespaces, lane.namespace)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        self._start()
