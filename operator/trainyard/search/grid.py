"""All points of a space, one after the other.

Separate because it needs what no other algorithm needs: that each dimension can be counted.
"""

from __future__ import annotations

from trainyard.search.space import Point, Space, SpaceError


def grid_size(space: Space) -> int:
    """How many points there are. Raises SpaceError for a float without a step."""
    size = 1
    for count in _counts(space):
        size *= count
    return size


def grid_point(space: Space, number: int) -> Point:
    """Point `number`, from 0; the last dimension changes fastest. Raises SpaceError where there is none."""
    index, indexes = number, []
    for count in reversed(_counts(space)):
        index, rest = divmod(index, count)
        indexes.append(rest)
    if index:
        raise SpaceError(f"the grid has {grid_size(space)} points, so there is none of number {number}")
    return tuple(d.at(i) for d, i in zip(space.dimensions, reversed(indexes), strict=True))


def _counts(space: Space) -> list[int]:
    counts = []
    for dimension in space.dimensions:
        count = dimension.count
        if count is None:
            raise SpaceError(f"{dimension.name}: grid search needs a step for each float")
        counts.append(count)
    return counts
