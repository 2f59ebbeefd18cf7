"""When the pod ends: SIGTERM, the preStop hook's file, and how much time that leaves.

Separate because the two come at different moments: the hook when the grace period begins, SIGTERM when the trainer has
ended. Called by `__main__`, asked by everything that waits.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType


class Ending:
    """`came` is set by SIGTERM and never unset. NB: installed before the slow imports; process 1 has no default."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self._at = math.inf
        self._then: Callable[[], object] = lambda: None

    def install(self, then: Callable[[], object] = lambda: None) -> None:
        """Takes over SIGTERM and SIGINT; `then` is called in the handler."""
        self._then = then
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def left(self, *, upload_seconds: float, grace_seconds: float, begun: Path) -> float:
        """Seconds until the agent must have said its last word; infinite before SIGTERM.

        `begun` is the file that the preStop hook makes. A pod that is deleted has its trainer's grace period and ours
        together, counted from then; of what the trainer does not use, nothing is ours.
        """
        if not self.came.is_set():
            return math.inf
        left = self._at + upload_seconds - time.monotonic()
        try:
            since = time.time() - begun.stat().st_mtime
        except OSError:
            since = 0.0
        return min(left, grace_seconds + upload_seconds - since) - margin(upload_seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.came.is_set():
            self._at = time.monotonic()
        self.came.set()
        self._then()


def margin(upload_seconds: float) -> float:
    """Kept for the last word itself: the kubelet rounds down, and a request may hang for a moment."""
    return min(5.0, max(1.0, upload_seconds / 20))
