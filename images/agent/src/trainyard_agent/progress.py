"""How far a pull is: one JSON line a second on stdout, which the operator reads.

Separate because many threads count and one tells. Made by `pulling`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Between two lines.
_SECONDS = 1.0
#: The speed is that of so many of the last seconds.
_WINDOW = 30


class Progress:
    """Counts from all threads. `pulled` is what came over the network in this run and was kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total_bytes = self._total_files = self._files = self._had = 0
        self.pulled = 0
        self._begun = False
        self._last = ""
        self._seen: deque[tuple[float, int]] = deque(maxlen=_WINDOW)

    def begin(self, *, total_bytes: int, total_files: int) -> None:
        with self._lock:
            self._total_bytes, self._total_files, self._begun = total_bytes, total_files, True
            self._seen.append((time.monotonic(), 0))

    def came(self, size: int) -> None:
        with self._lock:
            self.pulled += size

    def lost(self, size: int) -> None:
        """What came is of no use, and comes again."""
        with self._lock:
            now = min(size, self.pulled)
            self.pulled -= now
            self._had -= size - now

    def had(self, size: int) -> None:
        """What an earlier run has brought."""
        with self._lock:
            self._had += size

    def finished(self) -> None:
        """One more file is whole."""
        with self._lock:
            self._files += 1

    def told_while(self, work: Callable[[], T]) -> T:
        """What `work` gives, which runs in another thread while this one tells.

        NB: a signal's handler runs in the main thread alone, and there only between two steps of Python.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_SECONDS)
            self.tell()
        for error in errors:
            raise error
        return results[0]

    def tell(self) -> None:
        """Prints the line, where it says something new."""
        with self._lock:
            if not self._begun:
                return
            line = json.dumps({"pull": self._said(time.monotonic())})
        if line != self._last:
            self._last = line
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def _said(self, now: float) -> dict[str, object]:
        done = min(self._had + self.pulled, self._total_bytes)
        self._seen.append((now, self.pulled))
        since, before = self._seen[0]
        speed = (self.pulled - before) / (now - since) if now > since else 0.0
        left = (self._total_bytes - done) / speed if speed > 0 else None
        share = done / self._total_bytes if self._total_bytes else self._files / max(1, self._total_files)
        return {
            "bytes": done,
            "totalBytes": self._total_bytes,
            "files": self._files,
            "totalFiles": self._total_files,
            "percent": int(100 * share),
            "eta": None if left is None else _clock(left),
        }


def _clock(seconds: float) -> str:
    whole = int(seconds + 0.5)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
