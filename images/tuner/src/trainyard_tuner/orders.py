"""Reads an order: base64 of zlib of JSON, because an environment variable has room for 128 KiB only.

Separate because everything that can be wrong with an order is found here, before a minute is spent on it. Called by
the command. docs/automl.md tells what it is for.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from trainyard_tuner.problems import OrderError
from trainyard_tuner.space import EXACT, Choice, Dimension, Point, Range, Space, Steps

#: Bytes of an order when it is unpacked: ten times what 2,000 trials of 64 parameters need.
_LARGEST = 64 << 20
_MOST = 1000


@dataclass(frozen=True)
class Ended:
    """A trial that has ended; without a value it failed."""

    point: Point
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be proposed: `count` points, of which the first is trial number `first`."""

    space: Space
    minimize: bool
    seed: int
    first: int
    count: int
    history: tuple[Ended, ...]
    pending: tuple[Point, ...]


def read(text: str) -> Order:
    """Raises OrderError."""
    found = _json(text)
    space = _space(_list(found, "space"))
    history = tuple(_ended(space, entry) for entry in _list(found, "history"))
    pending = tuple(_point(space, entry) for entry in _list(found, "pending"))
    if not isinstance(minimize := found.get("minimize"), bool):
        raise OrderError('must have "minimize": true or false.')
    return Order(
        space=space,
        minimize=minimize,
        seed=_number(found, "seed", most=2**64 - 1),
        first=_number(found, "first", most=2**31),
        count=_number(found, "count", least=1, most=_MOST),
        history=history,
        pending=pending,
    )


def _json(text: str) -> dict[str, Any]:
    if not text:
        raise OrderError("is not set: it must be base64 of zlib of a JSON object.")
    try:
        packed = base64.b64decode(text, validate=True)
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(packed, _LARGEST)
    except (binascii.Error, zlib.error) as error:
        raise OrderError(f"is not base64 of zlib of a JSON object: {error}.") from None
    if unpacking.unconsumed_tail:
        raise OrderError(f"is larger than {_LARGEST >> 20} MiB.")
    if not unpacking.eof:
        raise OrderError("is cut off.")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise OrderError("must be a JSON object.")
    return found


def _space(entries: list[Any]) -> Space:
    dimensions = tuple(_dimension(entry) for entry in entries)
    if not dimensions:
        raise OrderError("has an empty space: there is nothing to propose.")
    if len({one.name for one in dimensions}) < len(dimensions):
        raise OrderError("has a space with two dimensions of one name.")
    return Space(dimensions)


def _dimension(entry: Any) -> Dimension:
    if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str) or not name:
        raise OrderError("has a dimension without a name.")
    kind = entry.get("type")
    if kind == "bool":
        return Choice(name, ("false", "true"))
    if kind == "categorical":
        values = entry.get("values")
        if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
            raise OrderError(f"has no values for the categorical {name}.")
        return Choice(name, tuple(dict.fromkeys(values)))
    if kind not in {"float", "int"}:
        raise OrderError(f"has the unknown type {kind!r} for {name}.")
    low, high = _bound(entry, "low"), _bound(entry, "high")
    step = _bound(entry, "step") if entry.get("step") is not None else None
    log = bool(entry.get("log"))
    # NB: floats have an end at both sides; what lies beyond would be infinite, or 0 on a log scale.
    too_wide = not math.isfinite(float(high) - float(low)) or (log and float(low) <= 0)
    if low > high or too_wide or (step is not None and step <= 0) or (log and step is not None):
        raise OrderError(
            f"has a range for {name} that cannot be: low {low}, high {high}, step {step}, log {log}."
        )
    if kind == "int":
        step = step or Decimal(1)
        if any(one != one.to_integral_value() for one in (low, high, step)):
            raise OrderError(f"has a range for the int {name} that is not of whole numbers.")
    if low == high:
        step = step or Decimal(1)
    if step is None:
        return Range(name, low, high, log=log)
    return Steps(
        name, low, step, int(EXACT.divide_int(EXACT.subtract(high, low), step)), log=log and kind == "int"
    )


def _bound(entry: Mapping[str, Any], key: str) -> Decimal:
    text = entry.get(key)
    try:
        number = Decimal(text) if isinstance(text, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise OrderError(f'has no number, as a string, for "{key}" of {entry["name"]}.')
    return number


def _ended(space: Space, entry: Any) -> Ended:
    if not isinstance(entry, list) or len(entry) != 2:
        raise OrderError('has an entry of "history" that is not [[values], value or null].')
    point, value = entry
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise OrderError('has a value in "history" that is neither a number nor null.')
    return Ended(_point(space, point), _finite(value))


def _finite(value: float | None) -> float | None:
    """NB: what is not finite is no value: it says that a training diverged, and not how far."""
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _point(space: Space, entry: Any) -> Point:
    if not isinstance(entry, list) or not all(isinstance(one, str) for one in entry):
        raise OrderError("has a point that is not a list of strings.")
    # As this package writes it, so that equal points are equal strings.
    return space.point(space.values(entry))


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(value := found.get(key), list):
        raise OrderError(f'must have the list "{key}".')
    return value


def _number(found: Mapping[str, Any], key: str, *, least: int = 0, most: int) -> int:
    value = found.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise OrderError(f'must have "{key}", a whole number from {least} to {most}.')
    return value
