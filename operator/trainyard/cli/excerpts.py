"""A part of a log: its last lines, or what is younger than some time.

Separate because a pod's log is cut by the API server, and a stored one here, with the same meaning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainyard.logs.splice import Line, nanoseconds

_SECOND = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Which lines are wanted: at most `tail` of the last, not older than `since` seconds; None: all."""

    tail: int | None = None
    since: int | None = None

    def params(self) -> dict[str, str]:
        """As the API server's log of a pod takes it."""
        found = {"tailLines": self.tail, "sinceSeconds": self.since}
        return {key: str(value) for key, value in found.items() if value is not None}

    def reader(self, *, now: float) -> Reader:
        """For lines that come from elsewhere; `now` in seconds since the epoch."""
        return Reader(
            tail=self.tail, oldest=None if self.since is None else int((now - self.since) * _SECOND)
        )


class Reader:
    """Cuts lines as they come; the last ones are known at the end only."""

    def __init__(self, *, tail: int | None, oldest: int | None) -> None:
        self._oldest = oldest
        self._last: deque[Line] | None = None if tail is None else deque(maxlen=tail)

    def take(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Those that can be printed at once."""
        for line in lines:
            if self._oldest is not None and (nanoseconds(line[0]) or 0) < self._oldest:
                continue
            if self._last is None:
                yield line
            else:
                self._last.append(line)

    def rest(self) -> Iterator[Line]:
        """Those that can be printed now that there are no more."""
        yield from self._last or ()
