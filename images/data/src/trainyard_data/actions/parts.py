"""Which part each item goes to: by chance, in the shares that are asked for, with classes or groups if wanted.

Separate because rows and images are divided alike, and because this is where the seed decides. The shares hold as well
as whole items allow; what rounding leaves of one class is made up for by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Chosen = npt.NDArray[np.uint8]


def divided(
    count: int,
    shares: Mapping[str, float],
    *,
    seed: int,
    classes: Codes | None = None,
    groups: Codes | None = None,
) -> Chosen:
    """Of each item the place of its part among `shares`, which add up to 1.

    `classes`: each has its share in each part. `groups`: items of one group are in the same part.
    """
    chance = np.random.default_rng(seed)
    wanted = np.array(list(shares.values()))
    if groups is not None:
        return _by_group(groups, wanted, chance)
    chosen: Chosen = np.zeros(count, dtype=np.uint8)
    owed = np.zeros(len(wanted))
    for items in _runs(classes, count):
        owed += wanted * len(items)
        given = _whole(owed, len(items))
        owed -= given
        part = np.repeat(np.arange(len(wanted), dtype=np.uint8), given)
        chance.shuffle(part)
        chosen[items] = part
    return chosen


def _runs(classes: Codes | None, count: int) -> list[Any]:
    """The items of each class, the rarest class first: it must not be left to what rounding leaves."""
    if classes is None:
        return [slice(0, count)] if not count else [np.arange(count)]
    order = np.argsort(classes, kind="stable")
    _, begins = np.unique(classes[order], return_index=True)
    return sorted(np.split(order, begins[1:]), key=len)


def _whole(owed: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Whole numbers that add up to `count`, as near to `owed` as can be; never below 0."""
    given = np.maximum(np.floor(owed + 1e-9), 0).astype(np.int64)
    while (left := count - int(given.sum())) != 0:
        rest = owed - given
        place = int(np.argmax(rest)) if left > 0 else int(np.argmin(np.where(given > 0, rest, np.inf)))
        given[place] += 1 if left > 0 else -1
    return given


def _by_group(groups: Codes, wanted: npt.NDArray[np.float64], chance: np.random.Generator) -> Chosen:
    """Each group to the part that lacks most of its share, in an order of chance, the large ones first."""
    names, sizes = np.unique(groups, return_counts=True)
    order = chance.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    lacking = wanted * len(groups)
    part_of: Chosen = np.zeros(len(names), dtype=np.uint8)
    for place in order.tolist():
        part = int(np.argmax(lacking))
        part_of[place] = part
        lacking[part] -= sizes[place]
    chosen: Chosen = part_of[np.searchsorted(names, groups)]
    return chosen
