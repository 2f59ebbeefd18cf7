"""Kubernetes timestamps to seconds since the epoch and back.

Separate because planning has no clock: `now` and every stamp are plain seconds (UTC).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


# NB: remembered, as one moment is read again and again: of each pod at each of its events, of all pods of a burst.
@lru_cache(maxsize=1024)
def seconds(stamp: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 stamp; None for none or for one that is no stamp."""
    if not stamp:
        return None
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None


def stamp(now: float) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time writes it."""
    return _stamp(int(now))


@lru_cache(maxsize=256)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sooner(one: float | None, other: float) -> float:
    """The earlier of two delays, of which the first may be none."""
    return other if one is None else min(one, other)
