"""How one metric goes over the epochs, in bounded space.

Separate from `planning.progress`, which knows the latest value of every metric and hands over what lines tell of this
one: a job of an Experiment is compared by its best value, and a hopeless one is stopped by how it comes on. What a
status says of it is in `planning.reportedobjective`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: An epoch and the value that it ended with.
Point = tuple[float, float]

#: What a status has room for.
MOST = 64
#: In memory it grows to twice that before it is thinned, which so costs little a line.
_HELD = 2 * MOST


class Curve(NamedTuple):
    """One metric of one log. `low` and `high` are the least and the greatest of the points before the last, which is
    of an epoch that may go on, and of those that were thinned out.
    """

    metric: str
    points: tuple[Point, ...] = ()
    low: Point | None = None
    high: Point | None = None

    def best(self, *, minimize: bool) -> Point | None:
        """The best point that there was; of equal ones the first."""
        closed = self.low if minimize else self.high
        return best([p for p in (closed, *self.points[-1:]) if p is not None], minimize=minimize)


def extended(curve: Curve, told: Iterable[Point]) -> Curve:
    """`curve` with values as they were told, each with its epoch: of one epoch the last counts, and none of one below
    0, which is how an epoch is told that is not known.
    """
    points, low, high = list(curve.points), curve.low, curve.high
    for epoch, value in told:
        if epoch < 0:
            continue
        if not points:
            points.append((epoch, value))
            continue
        last = points[-1]
        if epoch > last[0]:
            low = last if low is None or last[1] < low[1] else low
            high = last if high is None or last[1] > high[1] else high
            points.append((epoch, value))
            if len(points) > _HELD:
                points = even(points)
        elif epoch == last[0]:
            points[-1] = (epoch, value)
        else:
            low, high = _late(points, (epoch, value), low, high)
    return Curve(metric=curve.metric, points=tuple(points), low=low, high=high)


def merged(one: Curve | None, other: Curve | None) -> Curve | None:
    """What was told in two ways; of an epoch that both have told, `other` counts."""
    if one is None or other is None or one.metric != other.metric or not one.points:
        return one if other is None else other
    points = sorted({**dict(one.points), **dict(other.points)}.items())
    closed = [*points[:-1], *(p for p in (one.low, other.low, one.high, other.high) if p is not None)]
    return Curve(
        metric=other.metric,
        points=tuple(points if len(points) <= _HELD else even(points)),
        low=best(closed, minimize=True),
        high=best(closed, minimize=False),
    )


def even(points: Sequence[Point]) -> list[Point]:
    """At most MOST of these points, the first and the last among them: in each stretch of epochs the first.

    A stretch is a power of two wide, by the whole span. So it makes no difference whether points were thinned before:
    what a status has can be put together with what a log tells, again and again.
    """
    if len(points) < 3:
        return list(points)
    # NB: three less, as the first and the last stretch may be parts, and the last point comes on top.
    width = 2.0 ** math.ceil(math.log2((points[-1][0] - points[0][0]) / (MOST - 3)))
    kept: dict[int, Point] = {}
    for point in points[:-1]:
        kept.setdefault(math.floor(point[0] / width), point)
    return [*kept.values(), points[-1]]


def best(points: Sequence[Point], *, minimize: bool) -> Point | None:
    """The best of these; of equal ones the first."""
    sign = 1 if minimize else -1
    return min(points, key=lambda point: (sign * point[1], point[0]), default=None)


def _late(
    points: list[Point], point: Point, low: Point | None, high: Point | None
) -> tuple[Point | None, Point | None]:
    """Put in its place what a trainer tells of an epoch before the last, as it has gone back or was slow, and give the
    least and the greatest anew: what it has said of that epoch before does not count.
    """
    place = bisect_left(points, (point[0], -math.inf))
    points[place : place + (points[place][0] == point[0])] = [point]
    closed = [*points[:-1], *(p for p in (low, high) if p is not None and p[0] != point[0])]
    return best(closed, minimize=True), best(closed, minimize=False)
