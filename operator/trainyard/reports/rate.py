"""How often one pod may ask, and one address be wrong: a token bucket for each.

Separate because it is pure (the clock is an argument). Called by `reports.requests` and `reports.tokens`.
"""

from __future__ import annotations

_SWEEP_AT = 4096


class Buckets:
    """`rate` requests a second for each key, `burst` of them at once."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, key: str, *, now: float) -> float:
        """0 and one request less is left, or the seconds until there is one."""
        left = self._of(key, now)
        if left < 1.0:
            self._left[key] = left, now
            return (1.0 - left) / self._rate
        self._left[key] = left - 1.0, now
        if len(self._left) > _SWEEP_AT:
            self._sweep(now)
        return 0.0

    def is_empty(self, key: str, *, now: float) -> bool:
        """Whether `wait` would have to, of which nothing is taken."""
        return self._of(key, now) < 1.0

    def _of(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self._burst, now))
        return min(self._burst, left + (now - at) * self._rate)

    def _sweep(self, now: float) -> None:
        full_again = self._burst / self._rate
        kept = {key: held for key, held in self._left.items() if now - held[1] < full_again}
        # NB: where all are in use, those that come next sweep no sooner than after as many again.
        self._left = dict(list(kept.items())[-_SWEEP_AT // 2 :])
