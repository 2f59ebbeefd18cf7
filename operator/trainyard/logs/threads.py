"""Calls in threads that nobody waits for when the process ends.

Separate because the interpreter joins the threads of its own pools at exit, so that one call to an object store that
hangs would hold up the operator's end for as long. Called by the archive and the sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class DaemonThreads:
    """At most `limit` calls at once, those that were given up included."""

    def __init__(self, limit: int, *, name: str) -> None:
        self._room = asyncio.Semaphore(limit)
        self._name = name

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises. Cancelling gives it up, and does not end it."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            self._room.release()
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

        def work() -> None:
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, result, failure)

        thread = threading.Thread(target=work, name=self._name, daemon=True)
        await self._room.acquire()
        try:
            thread.start()
        except RuntimeError:  # there can be no more threads
            self._room.release()
            raise
        found: _T = await outcome
        return found
