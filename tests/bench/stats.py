"""Percentiles, medians and intervals of what was measured.

Separate because it is pure, and the tests know its answers from elsewhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A median with what is around it: the range, and an interval that holds the true median with 95 % or more.

    With fewer than six values no order statistic gives such an interval, and it is the range.
    """

    median: float
    low: float
    high: float
    lowest: float
    highest: float
    count: int


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank). Raises ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def summary(values: Sequence[float]) -> Summary:
    """Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    outside = median_rank(len(ordered))
    return Summary(
        median=statistics.median(ordered),
        low=ordered[outside],
        high=ordered[-1 - outside],
        lowest=ordered[0],
        highest=ordered[-1],
        count=len(ordered),
    )


def median_rank(count: int, *, coverage: float = 0.95) -> int:
    """How many of the smallest, and of the largest, values are outside the interval of the median.

    The sign test's: the median is below the k+1st smallest with the probability that a fair coin falls heads at most
    k times of `count` (Conover, Practical Nonparametric Statistics, section 3.2).
    """
    outside, tail = 0, 0.0
    for below in range(count):
        tail += math.comb(count, below) / 2**count
        if tail > (1 - coverage) / 2:
            break
        outside = below
    return outside


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Of pairs that were measured in the same round, so that what else the machine did falls on both."""
    return [a / b for a, b in zip(one, other, strict=True)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much the second value grows for each unit of the first (least squares); 0 for fewer than two points."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
