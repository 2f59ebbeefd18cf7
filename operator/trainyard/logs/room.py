"""The room that a folder of logs may take.

Separate from `logs.sweep`, which makes room of what is old: this keeps what is being written from taking more than
there is, since a kubelet evicts a pod whose emptyDir is larger than its limit, the operator's with all it holds. Called
by the log store, in the one thread that writes.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

_FULL = 0.95
_MEASURE_SECONDS = 15.0
_MEASURED_SHARE = 0.02


class Room:
    """`size` bytes. What is taken is measured now and then (`measure`), and counted in between."""

    def __init__(self, size: int, *, measure: Callable[[], int]) -> None:
        self._size = size
        self._measure = measure
        self._taken = 0
        self._next_measure = 0.0

    def take(self, wanted: int) -> None:
        """Raises OSError, as a full disk does, where that would leave hardly any."""
        began = time.monotonic()
        if began >= self._next_measure:
            self._taken = self._measure()
            now = time.monotonic()
            self._next_measure = now + max(_MEASURE_SECONDS, (now - began) / _MEASURED_SHARE)
        if self._taken + wanted > self._size * _FULL:
            raise OSError(errno.ENOSPC, f"there is no room left of the {self._size} bytes of logs.maxSize")
        self._taken += wanted
