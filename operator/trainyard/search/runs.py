"""A run: one trial on one rung.

Separate because everything of a search is decided from these alone, wherever they were recorded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

RunState = Literal["running", "success", "failure", "stopped", "canceled"]


@dataclass(frozen=True)
class Run:
    """What is known of one run. Trials are numbered from 0, rungs from 0.

    `value` is the one that counts, as it was reported; of a run that goes on, the best so far. `curve` has epochs and
    values in order. stopped: ended early because it was hopeless. canceled: by a user, which is no failure.
    """

    number: int
    rung: int
    state: RunState
    value: float | None = None
    curve: tuple[tuple[float, float], ...] = ()

    @property
    def ended(self) -> bool:
        return self.state != "running"

    @property
    def score(self) -> float | None:
        """The value of a run that ended with one; NaN and infinity are none."""
        if self.state in ("success", "stopped") and self.value is not None and math.isfinite(self.value):
            return self.value
        return None

    @property
    def failed(self) -> bool:
        """Whether it ended without a value, though nobody wanted that."""
        return self.state == "failure" or (self.state == "success" and self.score is None)
