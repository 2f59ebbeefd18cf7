"""Trying again: with growing pauses, for as long as there is time.

Separate because how long that is differs: for ever while the trainer runs, until the pod is killed once it has ended.
Called around every request to a store.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trainyard_agent import troubles
from trainyard_agent.log import say
from trainyard_agent.troubles import Final, Trouble

T = TypeVar("T")

FIRST_SECONDS = 0.3
LONGEST_SECONDS = 30.0
#: Once time is short: pauses, and how long what only people can mend is tried.
LONGEST_AT_THE_END = 5.0
LASTING_SECONDS = 20.0
#: Between two lines in the log about the same trouble.
_SAID_SECONDS = 60.0


class Patience:
    """`left` gives the seconds that are left (infinite while there is no hurry); `hurry` is set when that changes.

    `tolerance` is how long one trouble is borne, however much time is left.
    """

    def __init__(
        self,
        *,
        left: Callable[[], float] = lambda: math.inf,
        hurry: threading.Event | None = None,
        tolerance: float = math.inf,
    ) -> None:
        self.left = left
        self._hurry = hurry or threading.Event()
        self._tolerance = tolerance
        #: What is wrong at present, whichever request has met it; None since one has succeeded.
        self.present: Trouble | None = None
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(
        self,
        action: Callable[[], T],
        *,
        place: str,
        refused: Callable[[], None] | None = None,
        needed: bool = True,
    ) -> T:
        """What `action` gives. Raises Trouble when time is up.

        `refused` is called before another try after the store has refused us. What is not `needed` is not waited for
        where only people can help.
        """
        delay, since = FIRST_SECONDS, math.inf
        while True:
            try:
                done = action()
                self.present = None
                return done
            except Final:
                raise
            except Exception as error:
                trouble = self.present = troubles.of(error, place=place)
            now = time.monotonic()
            since = min(since, now)
            if not needed and trouble.kind in troubles.LASTING:
                self.present = None
                raise trouble
            if self._is_over(trouble, lasting=now - since, delay=delay):
                raise trouble
            self._say(trouble, now)
            if trouble.kind == "forbidden" and refused is not None:
                refused()
            self._wait(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_AT_THE_END if self._is_hurried() else LONGEST_SECONDS)

    def _is_hurried(self) -> bool:
        return math.isfinite(self._tolerance) or math.isfinite(self.left())

    def _is_over(self, trouble: Trouble, *, lasting: float, delay: float) -> bool:
        if self._is_hurried() and trouble.kind in troubles.LASTING and lasting > LASTING_SECONDS:
            return True
        return lasting > self._tolerance or self.left() <= delay

    def _wait(self, seconds: float) -> None:
        if math.isinf(self.left()):
            self._hurry.wait(seconds)
        else:
            time.sleep(max(0.0, min(seconds, self.left())))

    def _say(self, trouble: Trouble, now: float) -> None:
        sentence = str(trouble)
        with self._lock:
            if now - self._said.get(sentence, -math.inf) < _SAID_SECONDS:
                return
            self._said = {one: when for one, when in self._said.items() if now - when < _SAID_SECONDS}
            self._said[sentence] = now
        say(f"{sentence} Trying again.")
