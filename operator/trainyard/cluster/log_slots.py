"""Turns to follow a log: a bounded number at once, in the order of asking.

Separate because it decides what more jobs than streams cost: those that wait are read at their end, in one go, and an
end never waits for a log that is being followed. Called by the followers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from trainyard import metrics

_log = logging.getLogger(__name__)

_ENDS_AT_ONCE = 32


class LogSlots:
    """`limit` turns; and, apart from them, room for ends."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit
        self._waiting: OrderedDict[Hashable, asyncio.Future[bool]] = OrderedDict()
        self._ends = asyncio.Semaphore(_ENDS_AT_ONCE)

    @contextmanager
    def turn(self, who: Hashable) -> Iterator[asyncio.Future[bool]]:
        """Gets in line, and holds a turn once its future says True; False says that `leave` called it off."""
        turn = self._asked(who)
        try:
            yield turn
        finally:
            self.leave(who)
            if not turn.cancelled() and turn.result():
                self._give_back()

    def leave(self, who: Hashable) -> None:
        """`who` need not wait any longer. No harm where nobody waits."""
        if (turn := self._waiting.pop(who, None)) is not None:
            self._count()
            if not turn.done():
                turn.set_result(False)

    def end(self) -> asyncio.Semaphore:
        """To be held while a log is read whose container has ended without a turn."""
        return self._ends

    def _asked(self, who: Hashable) -> asyncio.Future[bool]:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._free > 0:
            self._free -= 1
            turn.set_result(True)
            return turn
        if not self._waiting:
            _log.warning(
                "All %d streams of logs.maxStreams are taken; other logs are read when one is free, or at their end",
                self._limit,
            )
        self._waiting[who] = turn
        self._count()
        return turn

    def _give_back(self) -> None:
        while self._waiting:
            _, turn = self._waiting.popitem(last=False)
            self._count()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1

    def _count(self) -> None:
        metrics.LOG_STREAMS_WAITING.set(len(self._waiting))
