"""How long a trainer has been silent, of the time in which somebody listened.

Separate and pure because trainers are stopped by it: silence that nobody listened to must never be claimed. Called by
the follower of a log. All times are of one monotonic clock.
"""

from __future__ import annotations

SETTLE_SECONDS = 5.0
"""After a stream is opened anew, what was printed meanwhile is on its way for as long."""
_LEAST_CHECK_SECONDS = 15.0


class Silence:
    """Of one log: begins with the first stream and ends with each byte that is new."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._known_from: float | None = None

    def opened(self, *, now: float) -> None:
        """A stream is open: the first one begins to listen, a later one has to catch up."""
        first = self._since is None
        self._known_from = now if first else now + SETTLE_SECONDS
        if first:
            self._since = now

    def broken(self, *, now: float) -> None:
        """Something new came."""
        self._since = self._known_from = now

    def closed(self) -> None:
        """No stream is open."""
        self._known_from = None

    def lasted(self, *, now: float) -> float | None:
        """Seconds of silence; None while that is not known."""
        if self._since is None or self._known_from is None or now < self._known_from:
            return None
        return now - self._since


def check_seconds(progress_timeout: float, *, at_most: float) -> float:
    """After how long a silent stream is opened anew, so that no dead connection is taken for a silent trainer.

    Half of the time after which a trainer is stopped for its silence; 0 means never.
    """
    if not progress_timeout:
        return at_most
    return min(at_most, max(_LEAST_CHECK_SECONDS, progress_timeout / 2))
