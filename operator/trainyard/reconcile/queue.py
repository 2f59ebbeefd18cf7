"""A queue of keys: each at most once in the queue and at most once in work.

Separate because its few rules carry the whole concurrency of the operator: one writer a key, other keys beside it,
a key that rings while it is in work is looked at again, failures back off by themselves, and what is urgent (an end
that somebody waits for) goes first.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
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


#: So many urgent keys may go first; then one of the others has its turn.
URGENT_IN_A_ROW = 4


class _Again:
    """Why a key that is in work is to be looked at once more."""

    __slots__ = ("because", "soon", "urgent")

    def __init__(self) -> None:
        self.because: set[object] = set()
        self.soon: float | None = None
        self.urgent = False


class KeyedQueue:
    """For one event loop. `get` and `done` come in pairs; `add` may come any time."""

    def __init__(self) -> None:
        self._urgent: OrderedDict[Key, float] = OrderedDict()
        self._others: OrderedDict[Key, float] = OrderedDict()
        self._urgent_in_a_row = 0
        self._working: set[Key] = set()
        self._again: dict[Key, _Again] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, dict[Backoff, int]] = {}
        self._ready = asyncio.Semaphore(0)  # NB: wakes one worker for each key, and not all of them
        metrics.QUEUE_DEPTH.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def add(self, key: Key, *, urgent: bool = False, because: object = None) -> None:
        """Look at `key` as soon as a worker is free; once, however often it is added before that.

        `because` names what has happened, for `not_because`.
        """
        self._cancel_timer(key)
        if key in self._working:
            again = self._again.setdefault(key, _Again())
            again.because.add(because)
            again.urgent = again.urgent or urgent
        elif key in self._others:
            if urgent:
                self._urgent[key] = self._others.pop(key)
        elif key not in self._urgent:
            (self._urgent if urgent else self._others)[key] = time.perf_counter()
            self._ready.release()

    def not_because(self, key: Key, because: object) -> None:
        """What was added under this name was the doing of the work that goes on: it asks for no other look."""
        again = self._again.get(key)
        if again is not None:
            again.because.discard(because)

    def add_soon(self, key: Key, delay: float) -> None:
        """Look at `key` within `delay` seconds: more may happen to it at once, and one look serves for all."""
        if key in self._urgent or key in self._others:
            return
        if key in self._working:
            self._again.setdefault(key, _Again()).soon = delay
            return
        loop, timer = asyncio.get_running_loop(), self._timers.get(key)
        if timer is None or timer.when() > loop.time() + delay:
            self.add_after(key, delay)

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
        """The key that has waited longest, of the urgent ones if there are any; it is in work until `done`."""
        await self._ready.acquire()
        urgent = bool(self._urgent) and (self._urgent_in_a_row < URGENT_IN_A_ROW or not self._others)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if urgent else 0
        key, since = (self._urgent if urgent else self._others).popitem(last=False)
        metrics.QUEUE_SECONDS.observe(time.perf_counter() - since)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """The work on `key` has ended; if it was added meanwhile it waits again."""
        self._working.discard(key)
        again = self._again.pop(key, None)
        if again is None:
            return
        if again.because:
            self.add(key, urgent=again.urgent)
        elif again.soon is not None:
            self.add_soon(key, again.soon)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
