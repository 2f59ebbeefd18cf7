"""Writes that nobody waits for: Events, and our finalizer off pods whose verdict stands in status.

Separate because in a burst they are three of seven writes of a job, and would hold up pods and verdicts: a few tasks do
them behind the workers that reconcile. What was not done when the operator ends is done by the next one (a pod that is
still held is seen by its reconcile) or is no loss (an Event says what status says). Called by `execute`; `app` runs it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

import aiohttp

from trainyard import metrics
from trainyard.cluster.client import ApiError

logger = logging.getLogger(__name__)

AT_ONCE = 4
#: As long as there is other work to do they go one at a time, unless one has waited for longer than this.
HELD_BACK_SECONDS = 5.0
_BUSY_SECONDS = 0.05
_FIRST_PAUSE = 0.5
#: While the API server is away, and when it refuses.
_LONGEST_AWAY, _LONGEST_REFUSED = 15.0, 300.0

Write = Callable[[], Awaitable[object]]


class _Deferred(NamedTuple):
    write: Write
    first: bool
    since: float


class Afterwards:
    """At most AT_ONCE of these writes at a time, one while `busy` says that there is other work: first what pods wait
    for, else in the order in which they came. For one event loop.
    """

    def __init__(self, *, busy: Callable[[], bool] = lambda: False) -> None:
        self._busy = busy
        self._first: deque[Hashable] = deque()
        self._then: deque[Hashable] = deque()
        self._ready = asyncio.Semaphore(0)
        self._known: dict[Hashable, _Deferred] = {}
        self._failures: dict[Hashable, int] = {}
        self._pauses: dict[Hashable, asyncio.TimerHandle] = {}
        metrics.DEFERRED_WRITES.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, name: Hashable, write: Write, *, first: bool = False) -> None:
        """Do `write` soon, and again until it succeeds; at once if it waits after a failure.

        One of this name that is not done yet is as good. `write` raises ApiError or aiohttp.ClientError.
        """
        pause = self._pauses.pop(name, None)
        if pause is not None:
            pause.cancel()
        elif name in self._known:
            return
        self._known[name] = _Deferred(write, first, time.monotonic())
        self._push(name)

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._work(steps_back=number > 0))

    async def close(self, *, seconds: float) -> None:
        """When `run` has been cancelled: do what waits, for at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._work_off() for _ in range(AT_ONCE)))
        except TimeoutError:
            logger.warning("%d writes are left to the next operator", len(self._first) + len(self._then))

    def _push(self, name: Hashable) -> None:
        (self._first if self._known[name].first else self._then).append(name)
        self._ready.release()

    def _next(self) -> Hashable:
        return (self._first or self._then).popleft()

    def _late(self) -> bool:
        """Whether something has waited too long to step back."""
        oldest = (self._known[waiting[0]].since for waiting in (self._first, self._then) if waiting)
        return min(oldest, default=math.inf) < time.monotonic() - HELD_BACK_SECONDS

    async def _work(self, *, steps_back: bool) -> None:
        while True:
            await self._ready.acquire()
            if steps_back and self._busy() and not self._late():
                self._ready.release()
                await asyncio.sleep(_BUSY_SECONDS)
                continue
            await self._do(self._next())

    async def _work_off(self) -> None:
        while self._first or self._then:
            await self._do(self._next())

    async def _do(self, name: Hashable) -> None:
        try:
            await self._known[name].write()
        except asyncio.CancelledError:
            self._push(name)  # for `close`
            raise
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            self._again(name, error)
        except Exception:
            logger.exception("%s is not done", name)
            self._forget(name)
        else:
            self._forget(name)

    def _again(self, name: Hashable, error: Exception) -> None:
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        refused = isinstance(error, ApiError) and not error.passing
        pause = min(_FIRST_PAUSE * 2 ** min(failures, 16), _LONGEST_REFUSED if refused else _LONGEST_AWAY)
        logger.warning("%s failed, again in %.1f s: %s", name, pause, str(error) or type(error).__name__)
        self._pauses[name] = asyncio.get_running_loop().call_later(pause, self._due, name)

    def _due(self, name: Hashable) -> None:
        del self._pauses[name]
        self._push(name)

    def _forget(self, name: Hashable) -> None:
        self._known.pop(name, None)
        self._failures.pop(name, None)
