"""Writes that nobody waits for: Events, and our finalizer off pods whose verdict stands in status.

Separate because in a burst they are three of seven writes of a job, and would hold up pods and verdicts: a few tasks do
them behind the workers that reconcile. What was not done when the operator ends is done by the next one (a pod that is
still held is seen by its reconcile) or is no loss (an Event says what status says). Called by `execute`; `app` runs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

import aiohttp

from trainyard import metrics
from trainyard.cluster.client import ApiError

logger = logging.getLogger(__name__)

AT_ONCE = 4
#: As long as there is other work to do they go one at a time, unless more than this wait already.
MOST_HELD_BACK = 2_000
_BUSY_SECONDS = 0.05
_FIRST_PAUSE = 0.5
#: While the API server is away, and when it refuses.
_LONGEST_AWAY, _LONGEST_REFUSED = 15.0, 300.0

Write = Callable[[], Awaitable[object]]


class Afterwards:
    """At most AT_ONCE of these writes at a time, in the order in which they came; one while `busy` says that there is
    other work. For one event loop.
    """

    def __init__(self, *, busy: Callable[[], bool] = lambda: False) -> None:
        self._busy = busy
        self._waiting: deque[tuple[Hashable, Write]] = deque()
        self._ready = asyncio.Semaphore(0)
        self._known: dict[Hashable, Write] = {}
        self._failures: dict[Hashable, int] = {}
        self._pauses: dict[Hashable, asyncio.TimerHandle] = {}
        metrics.DEFERRED_WRITES.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, name: Hashable, write: Write) -> None:
        """Do `write` soon, and again until it succeeds; at once if it waits after a failure.

        One of this name that is not done yet is as good. `write` raises ApiError or aiohttp.ClientError.
        """
        pause = self._pauses.pop(name, None)
        if pause is not None:
            pause.cancel()
        elif name in self._known:
            return
        self._known[name] = write
        self._push(name, write)

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
            logger.warning("%d writes are left to the next operator", len(self._waiting))

    def _push(self, name: Hashable, write: Write) -> None:
        self._waiting.append((name, write))
        self._ready.release()

    async def _work(self, *, steps_back: bool) -> None:
        while True:
            await self._ready.acquire()
            if steps_back and self._busy() and len(self._waiting) <= MOST_HELD_BACK:
                self._ready.release()
                await asyncio.sleep(_BUSY_SECONDS)
                continue
            await self._do(*self._waiting.popleft())

    async def _work_off(self) -> None:
        while self._waiting:
            await self._do(*self._waiting.popleft())

    async def _do(self, name: Hashable, write: Write) -> None:
        try:
            await write()
        except asyncio.CancelledError:
            self._push(name, write)  # for `close`
            raise
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            self._again(name, write, error)
        except Exception:
            logger.exception("%s is not done", name)
            self._forget(name)
        else:
            self._forget(name)

    def _again(self, name: Hashable, write: Write, error: Exception) -> None:
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        refused = isinstance(error, ApiError) and not error.passing
        pause = min(_FIRST_PAUSE * 2 ** min(failures, 16), _LONGEST_REFUSED if refused else _LONGEST_AWAY)
        logger.warning("%s failed, again in %.1f s: %s", name, pause, str(error) or type(error).__name__)
        self._pauses[name] = asyncio.get_running_loop().call_later(pause, self._due, name, write)

    def _due(self, name: Hashable, write: Write) -> None:
        del self._pauses[name]
        self._push(name, write)

    def _forget(self, name: Hashable) -> None:
        self._known.pop(name, None)
        self._failures.pop(name, None)
