"""What follows when a followed log's stream ends. Pure, because every row of it is a test.

A stream cannot tell a finished container from a rotated log or a restarted kubelet: all of them end it cleanly.
The pod's status knows, and may come later or earlier. Called by the log follower.
"""

from __future__ import annotations

from enum import Enum

END_GRACE_SECONDS = 15.0
"""How long the pod's status may lag behind the end of its log, and the log behind the pod's end."""
STATUS_SECONDS = 3.0
"""How long it usually lags behind: a stream that was open for a while and is closed before ended with its kubelet or a
proxy, and what is printed meanwhile can be rotated away."""
SILENCE_SECONDS = 600.0
"""A stream without a byte for so long is opened anew: a connection can die without anybody's knowing."""
_PATIENCE_AFTER_END = 30.0
_PATIENCE_WITH_GONE = 60.0
_EARLY_SECONDS = 1.0
_FIRST_DELAY, _LAST_DELAY = 0.5, 30.0
_SOON = 5.0


class Outcome(Enum):
    """How one stream ended."""

    CLEAN = "the server closed it in order"
    COMPLAINED = "the kubelet gave it up, with a complaint at its end"
    CUT = "it broke, or could not be opened"
    NOT_STARTED = "the container has no log yet"
    GONE = "there is no such pod; or its kubelet has just started and does not know it yet"


class Next(Enum):
    """What to do then."""

    ENDED = "the log is complete"
    AWAIT_END = "wait whether the pod ends, then ask again"
    RECONNECT = "open it anew from the last line on"


def after_stream(
    outcome: Outcome,
    *,
    ended_for: float | None,
    tries_after_end: int = 0,
    early_by: float | None = None,
    gone_for: float = 0.0,
) -> Next:
    """The next step.

    `ended_for`: seconds since the container's end is known, None while it runs; `tries_after_end`: streams
    opened since then; `early_by`: seconds from the end of this stream to that of the container, where known;
    `gone_for`: seconds in which there was no answer but GONE.
    """
    if outcome is Outcome.GONE:
        return Next.RECONNECT if ended_for is None and gone_for < _PATIENCE_WITH_GONE else Next.ENDED
    if ended_for is None:
        closed = outcome in (Outcome.CLEAN, Outcome.COMPLAINED)
        return Next.AWAIT_END if closed else Next.RECONNECT
    if outcome is Outcome.COMPLAINED:
        # NB: one that is out of inotify instances says so at once, and what was printed after that is to be read.
        return Next.ENDED if tries_after_end else Next.RECONNECT
    if outcome is Outcome.CLEAN:
        # NB: a proxy that goes down closes streams in order too; what came after that is still to be read.
        early = early_by is not None and early_by > _EARLY_SECONDS
        return Next.RECONNECT if early and not tries_after_end else Next.ENDED
    if outcome is Outcome.NOT_STARTED and tries_after_end:
        return Next.ENDED
    return Next.RECONNECT if not tries_after_end or ended_for < _PATIENCE_AFTER_END else Next.ENDED


def delay(
    outcome: Outcome, *, failures: int, jitter: float, asked: float = 0.0, ended: bool = False
) -> float:
    """Seconds to wait before the next stream.

    `failures` in a row without a line, `jitter` in [0, 1), `asked`: the server's Retry-After, `ended`: the container
    has, and a verdict waits for the rest of its log.
    """
    limit = _SOON if ended or outcome in (Outcome.NOT_STARTED, Outcome.GONE) else _LAST_DELAY
    pause = min(limit, _FIRST_DELAY * 2.0 ** min(failures, 10)) * (0.75 + jitter / 2)
    return max(pause, min(limit, asked))
