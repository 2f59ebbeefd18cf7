"""How often a log may ring for its job.

Separate because every follower has one and the set of followers makes it: it knows the clock and nothing of logs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Throttle:
    """Calls at once the first time, and then at most every `interval` seconds, the last call included."""

    def __init__(self, *, interval: float, call: Callable[[], None]) -> None:
        self._interval = interval
        self._call = call
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0

    def ring(self, *, now: bool = False) -> None:
        loop = asyncio.get_running_loop()
        wait = 0.0 if now else self._quiet_until - loop.time()
        if wait > 0:
            self._timer = self._timer or loop.call_later(wait, self._fire)
            return
        self._fire()

    def _fire(self) -> None:
        self.close()
        self._quiet_until = asyncio.get_running_loop().time() + self._interval
        try:
            self._call()
        except Exception:
            _log.exception("A change of a log could not be passed on")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
