"""Points of the space that a sampler chooses from: at random, near others, and all of a small space.

Separate because it knows the kinds of dimensions and nothing of trials or models. A point is a row of coordinates
(space.py). Called by `sampler` and `proposing`.
"""

from __future__ import annotations

import itertools
from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from trainyard_tuner.space import Array, Choice, Point, Space

#: A space of so many points is gone through from end to end.
SMALL = 4096
#: On average, so many dimensions of a point are changed to get one near it, and at least this share of them.
_CHANGED, _SHARE = 2.0, 0.3
#: So often is a large space drawn from for a point that was not tried; nearly always the first is none.
_DRAWS = 200


def drawn(space: Space, rng: np.random.Generator, count: int) -> Array:
    """Points drawn independently, evenly in each dimension's scale."""
    return np.column_stack([one.draw(rng, count) for one in space.dimensions])


def every(space: Space) -> Array:
    """All points of a space of a finite size."""
    return np.array(list(itertools.product(*(one.every() for one in space.dimensions))), dtype=np.float64)


def near(space: Space, rng: np.random.Generator, points: Array, *, count: int, radius: float) -> Array:
    """`count` neighbours of each point: some of its dimensions changed, numbers by about `radius` of their range."""
    rows = np.repeat(points, count, axis=0)
    dimensions = len(space.dimensions)
    share = min(1.0, max(_SHARE, _CHANGED / dimensions))
    changed = rng.random(rows.shape) < share
    # One at least, or a neighbour would be the point itself.
    changed[np.arange(len(rows)), rng.integers(dimensions, size=len(rows))] = True
    for column, one in enumerate(space.dimensions):
        if isinstance(one, Choice):
            moved = one.draw(rng, len(rows))
        else:
            reach = radius if one.size is None else max(radius, 1.0 / max(1, one.size - 1))
            moved = one.snap(rows[:, column] + rng.normal(0.0, reach, len(rows)))
        rows[:, column] = np.where(changed[:, column], moved, rows[:, column])
    return rows


def untried(space: Space, rng: np.random.Generator, tried: Set[Point]) -> Point:
    """A random point that is not among `tried`; any, where all are."""
    if space.size <= SMALL:
        points = [space.point(space.at(row)) for row in every(space)]
        left = [point for point in points if point not in tried] or points
        return left[int(rng.integers(len(left)))]
    for _ in range(_DRAWS):
        point = space.point(space.at(drawn(space, rng, 1)[0]))
        if point not in tried:
            break
    # NB: a range may be so narrow that its few numbers of so many digits have all been tried.
    return point


def columns(space: Space, points: Array) -> tuple[NDArray[np.intp], Array]:
    """Points as rows in which distances mean something, and which dimension each of their columns is of.

    A choice gets a column for each value, so that any two of its values are at distance 1.
    """
    owners: list[int] = []
    parts: list[Array] = []
    for place, one in enumerate(space.dimensions):
        column = points[:, place]
        if isinstance(one, Choice):
            parts.append((column[:, None] == one.every()[None, :]) / np.sqrt(2.0))
            owners += [place] * len(one.values)
        else:
            parts.append(column[:, None])
            owners.append(place)
    return np.array(owners, dtype=np.intp), np.hstack(parts)
