"""How long a trainer has been silent, of the time in which somebody listened.

Separate and pure because trainers are stopped by it: silence that nobody listened to must never be claimed. Called by
the follower of a log. All times are of one monotonic clock.
"""

from __future__ import annotations

SETTLE_SECONDS = 5.0
"""After a stream is opened anew, what was printed meanwhile is on its way for as long."""
_LEAST_CHECK_SECONDS = 2 * SETTLE_SECONDS
_CHECK_SHARE = 0.6


class Silence:
    """Of one log: begins with the first stream, ends with each new byte, and stands still while no stream is open."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._known_from: float | None = None
        self._closed_at = 0.0
        self._checked = False

    def opened(self, *, now: float) -> None:
        """A stream is open: the first one begins to listen, a later one has to catch up."""
        if self._since is None:
            self._since = self._known_from = now
            return
        self._since += now - self._closed_at
        self._known_from = now + SETTLE_SECONDS
        self._checked = True

    def broken(self, *, now: float) -> None:
        """Something new came."""
        self._since = self._known_from = now
        self._checked = False

    def closed(self, *, now: float) -> None:
        """No stream is open."""
        if self._known_from is not None:
            self._known_from, self._closed_at = None, now

    def lasted(self, *, now: float, checked: bool = False) -> float | None:
        """Seconds of silence; None while that is not known.

        With `checked` only one that a stream has heard which was opened after it had begun.
        """
        if self._since is None or self._known_from is None or now < self._known_from:
            return None
        return now - self._since if self._checked or not checked else None


def check_seconds(progress_timeout: float, *, at_most: float) -> float:
    """After how long a silent stream is opened anew, so that no dead connection is taken for a silent trainer.

    NB: more than half of the time after which a trainer is stopped for its silence, since at that time a stream must be
    open. Where that is less than a new stream takes to catch up, silence counts when it is `checked`. 0 means never.
    """
    if not progress_timeout:
        return at_most
    return min(at_most, max(_LEAST_CHECK_SECONDS, progress_timeout * _CHECK_SHARE))
