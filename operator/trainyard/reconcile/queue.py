"""A queue of keys: each at most once in the queue and at most once in work.

Separate because its few rules carry the whole concurrency of the operator: one writer a key, other keys beside it,
a key that rings while it is in work is looked at again, failures back off by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from enum import Enum

from trainyard import metrics
from trainyard.cluster.cache import Key


class Backoff(Enum):
    """Why a key is looked at again: first and longest delay in seconds. It doubles with each failure of its sort."""

    STALE = (0.1, 5.0)  #: the object has changed meanwhile
    AWAY = (0.5, 15.0)  #: the API server is away or overloaded, whatever the object is
    FAILED = (0.5, 300.0)  #: the server has refused it, or we have a bug

    def delay(self, failures: int) -> float:
        """Seconds after so many failures before this one."""
        first, last = self.value
        return float(min(first * 2 ** min(failures, 16), last))


class KeyedQueue:
    """For one event loop. `get` and `done` come in pairs; `add` may come any time."""

    def __init__(self) -> None:
        self._waiting: deque[Key] = deque()
        self._since: dict[Key, float] = {}
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, dict[Backoff, int]] = {}
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Look at `key` as soon as a worker is free; once, however often it is added before that."""
        self._cancel_timer(key)
        if key in self._working:
            self._again.add(key)
        elif key not in self._since:
            self._since[key] = time.perf_counter()
            self._waiting.append(key)
            self._ready.set()
            metrics.QUEUE_DEPTH.set(len(self._waiting))

    def add_after(self, key: Key, delay: float) -> None:
        """Look at `key` after `delay` seconds unless it is added before; a later call takes the place of this one."""
        self._cancel_timer(key)
        if delay <= 0:
            self.add(key)
        else:
            self._timers[key] = asyncio.get_running_loop().call_later(delay, self._due, key)

    def retry(self, key: Key, backoff: Backoff, *, at_least: float = 0.0) -> float:
        """Look at `key` again after a back-off, or `at_least` so many seconds; the delay in seconds."""
        failures = self._failures.setdefault(key, {})
        delay = max(backoff.delay(failures.get(backoff, 0)), at_least)
        failures[backoff] = failures.get(backoff, 0) + 1
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The key that has waited longest; it is in work until `done`."""
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        key = self._waiting.popleft()
        metrics.QUEUE_SECONDS.observe(time.perf_counter() - self._since.pop(key))
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """The work on `key` has ended; if it was added meanwhile it waits again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
