"""Random points of a space.

Separate because a search must be repeatable: draw `number` of `seed` is the same point in whatever order, process or
release of Python it is drawn. So every value is a hash of seed, number and name, and the scales are decimal arithmetic,
which rounds alike everywhere.
"""

from __future__ import annotations

import hashlib
from decimal import Context, Decimal

from trainyard.search.space import EXACT, Dimension, Point, Space, canonical

_BITS = 128
_MOST = (1 << _BITS) - 1
_SMOOTH = Context(prec=34)
#: Digits of what is drawn: more would be noise to every trainer, and in every table.
_DIGITS = Context(prec=6)
_HALF = Decimal("0.5")
_LEAST_STARTUP, _MOST_STARTUP = 3, 10


def random_point(space: Space, seed: int, number: int) -> Point:
    """Point `number` (from 0) of the sequence that belongs to `seed`."""
    return tuple(_drawn(dimension, _hash(seed, number, dimension.name)) for dimension in space.dimensions)


def startup(space: Space) -> int:
    """How many trials of a bayesian search are random draws, before there is anything to learn from.

    One for each parameter, but at least 3 and at most 10: a model of fewer says nothing, and of the 20 trials that are
    the default half shall be proposed.
    """
    return min(max(_LEAST_STARTUP, len(space.dimensions)), _MOST_STARTUP)


def _hash(seed: int, number: int, name: str) -> int:
    text = f"{seed}/{number}/{name}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[: _BITS // 8], "big")


def _drawn(dimension: Dimension, bits: int) -> str:
    if dimension.log:
        return _on_a_log_scale(dimension, bits)
    count = dimension.count
    if count is not None:
        return dimension.at(bits * count >> _BITS)
    low, high = dimension.bounds
    span = EXACT.subtract(high, low)
    if not span:
        return canonical(low)
    value = EXACT.add(low, _SMOOTH.multiply(span, _share(bits)))
    return canonical(_within(dimension, EXACT.quantize(value, Decimal(1).scaleb(span.adjusted() - 6))))


def _on_a_log_scale(dimension: Dimension, bits: int) -> str:
    low, high = dimension.bounds
    if dimension.type == "int":
        # Each whole number has the share of the scale that is nearer to it than to its neighbours.
        value = _geometric(EXACT.subtract(low, _HALF), EXACT.add(high, _HALF), bits)
        return canonical(_within(dimension, value.to_integral_value()))
    return canonical(_within(dimension, _DIGITS.plus(_geometric(low, high, bits))))


def _geometric(low: Decimal, high: Decimal, bits: int) -> Decimal:
    start, end = _SMOOTH.ln(low), _SMOOTH.ln(high)
    return _SMOOTH.exp(_SMOOTH.add(start, _SMOOTH.multiply(_SMOOTH.subtract(end, start), _share(bits))))


def _share(bits: int) -> Decimal:
    """From 0 to 1, both included."""
    return _SMOOTH.divide(Decimal(bits), Decimal(_MOST))


def _within(dimension: Dimension, value: Decimal) -> Decimal:
    low, high = dimension.bounds
    return min(max(value, low), high)
