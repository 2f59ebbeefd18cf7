"""The space that is searched and the points in it.

Separate because the operator draws in it, the tuner's image is sent it as JSON, and trials are recorded by their
points. A point is one value for each dimension, in their order, as canonical strings: what is compared and digested is
text, and no float's last digit can make two points of one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property
from typing import Any, Literal

import orjson

Point = tuple[str, ...]
Json = dict[str, Any]
DimensionType = Literal["float", "int", "categorical", "bool"]

#: Enough digits for sums of any two decimals that the API takes.
EXACT = Context(prec=300)
BOOLS = ("false", "true")
#: What an integer in JSON may be to be read everywhere.
_LARGEST = 2**63 - 1
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")
_TEXT_LIMIT = 256
#: Numbers, one a line; those that end in no 0 are as `canonical` writes them.
_NUMBER = r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,100})?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\n{_NUMBER})*")


class SpaceError(ValueError):
    """There is no such space or point; the message is for the user."""


@dataclass(frozen=True)
class Dimension:
    """One parameter and its range, both ends included; `values` are those of a categorical."""

    name: str
    type: DimensionType
    low: Decimal | None = None
    high: Decimal | None = None
    step: Decimal | None = None
    log: bool = False
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise SpaceError(f"{self.name}: {problem}")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a categorical or a bool; none of a number."""
        return BOOLS if self.type == "bool" else self.values

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """The ends of a number's range."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    @property
    def count(self) -> int | None:
        """How many values there are; None where they are not countable: a float without a step."""
        if self.type in ("categorical", "bool"):
            return len(self.choices)
        if self.spacing is None:
            return None
        low, high = self.bounds
        return int(EXACT.divide_int(EXACT.subtract(high, low), self.spacing)) + 1

    def at(self, index: int) -> str:
        """The value with this index, from 0, of those that can be counted."""
        if self.type in ("categorical", "bool"):
            return self.choices[index]
        assert self.spacing is not None
        return canonical(EXACT.add(self.bounds[0], EXACT.multiply(self.spacing, Decimal(index))))

    def accepted(self, value: object) -> str:
        """A value from elsewhere in its canonical form. Raises SpaceError for one that is not in the range."""
        if not isinstance(value, str):
            raise SpaceError(f"{self.name}: {str(value)[:40]!r} is not a string")
        if self.type in ("categorical", "bool"):
            if value not in self.choices:
                raise SpaceError(f"{self.name}: {value[:40]!r} is none of {', '.join(self.choices)[:200]}")
            return value
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = exactly(self, value)
        return known

    @cached_property
    def _known(self) -> dict[str, str]:
        """Values that were looked at before, by how they were written: where they can be counted, most come again."""
        return {}

    def json(self, value: str) -> Any:
        """A value as the trainer gets it."""
        if self.type == "float":
            return float(value)
        if self.type == "int":
            return int(value)
        if self.type == "bool":
            return value == "true"
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value

    @property
    def spacing(self) -> Decimal | None:
        """How far values are apart; None where they are not countable."""
        return self.step if self.step is not None or self.type == "float" else Decimal(1)

    def _problem(self) -> str | None:
        if not self.name or not all(self.name.split(".")):
            return "a parameter's name has letters before and after each dot"
        if self.type == "categorical":
            return None if self.values else "a categorical needs values, at least one"
        if self.type == "bool":
            return None
        if self.low is None or self.high is None or not (self.low.is_finite() and self.high.is_finite()):
            return "a float or an int needs min and max"
        if self.low > self.high:
            return f"min {self.low} is more than max {self.high}"
        if self.step is not None and not (self.step.is_finite() and self.step > 0):
            return "step must be more than 0"
        if self.log and (self.low <= 0 or self.step is not None):
            return "a log scale needs a min of more than 0, and no step"
        if self.type == "int":
            numbers = (self.low, self.high, self.step)
            if any(number is not None and number != number.to_integral_value() for number in numbers):
                return "min, max and step of an int are whole numbers"
            if max(abs(self.low), abs(self.high)) > _LARGEST:
                return f"an int is at most {_LARGEST}"
        return None


@dataclass(frozen=True)
class Space:
    """The dimensions in order. Raises SpaceError for two that cannot be set both."""

    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        names = {dimension.name for dimension in self.dimensions}
        if len(names) < len(self.dimensions):
            double = next(name for name in names if sum(d.name == name for d in self.dimensions) > 1)
            raise SpaceError(f"{double} is there twice")
        for name in sorted(names):
            above = [name[:end] for end, letter in enumerate(name) if letter == "." and name[:end] in names]
            if above:
                raise SpaceError(f"{name} is a part of {above[0]}, so that only one of them can be searched")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(dimension.name for dimension in self.dimensions)

    def digest(self, point: Point) -> str:
        """16 hexadecimal digits that tell one point from another."""
        pairs = [[d.name, value] for d, value in zip(self.dimensions, point, strict=True)]
        return hashlib.sha256(orjson.dumps(pairs)).hexdigest()[:16]

    def as_mapping(self, point: Point) -> dict[str, str]:
        """The point's values by the names of their parameters."""
        return {d.name: value for d, value in zip(self.dimensions, point, strict=True)}

    def parameters(self, point: Point) -> Json:
        """The point as a trainer's parameters; a dot in a name leads into a nested object."""
        found: Json = {}
        for dimension, value in zip(self.dimensions, point, strict=True):
            *path, last = dimension.name.split(".")
            inner = found
            for key in path:
                inner = inner.setdefault(key, {})
            inner[last] = dimension.json(value)
        return found

    def accepted(self, values: Sequence[object]) -> Point:
        """A point from elsewhere, such as the tuner, in canonical form. Raises SpaceError, naming the parameter."""
        if len(values) != len(self.dimensions):
            raise SpaceError(f"a point has {len(self.dimensions)} values, not {len(values)}")
        found: list[Any] = list(values)
        for place in self._unclear(found):
            found[place] = self.dimensions[place].accepted(found[place])
        return tuple(found)

    def _unclear(self, values: list[Any]) -> Sequence[int]:
        """Places of all but the floats that are canonical and in their range beyond doubt. NB: a look at a search asks
        for the values of a thousand trials, and exact decimals take several times as long.
        """
        ranges, others = self._ranges
        given = [values[place] for place, _, _ in ranges]
        try:
            if not _NUMBERS.fullmatch("\n".join(given)):
                return range(len(values))
            numbers = list(map(float, given))
        except (TypeError, ValueError):
            return range(len(values))
        # NB: what is between the ends as a float is between them as a decimal, as rounding keeps the order.
        return others + [
            place
            for (place, low, high), text, number in zip(ranges, given, numbers, strict=True)
            if not low < number < high or text[-1] == "0"
        ]

    @cached_property
    def _ranges(self) -> tuple[list[tuple[int, float, float]], list[int]]:
        """Of each float without a step its place and its ends; the places of all else."""
        found, others = [], []
        for place, one in enumerate(self.dimensions):
            if one.type == "float" and one.spacing is None:
                low, high = one.bounds
                found.append((place, float(low), float(high)))
            else:
                others.append(place)
        return found, others

    def as_json(self) -> list[Json]:
        """The space as the tuner's image gets it: decimals as strings, null for what there is not."""
        return [
            {
                "name": d.name,
                "type": d.type,
                "low": _text(d.low),
                "high": _text(d.high),
                "step": _text(d.step),
                "log": d.log,
                "values": list(d.values),
            }
            for d in self.dimensions
        ]

    @classmethod
    def from_json(cls, raw: Sequence[Mapping[str, Any]]) -> Space:
        """The inverse of `as_json`. Raises SpaceError, KeyError or TypeError for what is no space."""
        return cls(
            tuple(
                Dimension(
                    name=one["name"],
                    type=one["type"],
                    low=_decimal(one.get("low")),
                    high=_decimal(one.get("high")),
                    step=_decimal(one.get("step")),
                    log=bool(one.get("log")),
                    values=tuple(one.get("values") or ()),
                )
                for one in raw
            )
        )


def exactly(dimension: Dimension, value: str) -> str:
    """A number from elsewhere in its canonical form. Raises SpaceError for one that is not in the range."""
    if not _DECIMAL.fullmatch(value) or len(value) > _TEXT_LIMIT:
        raise SpaceError(f"{dimension.name}: {value[:40]!r} is not a decimal number")
    number = Decimal(value)
    low, high = dimension.bounds
    if not low <= number <= high:
        raise SpaceError(f"{dimension.name}: {value[:40]} is not between {low} and {high}")
    spacing = dimension.spacing
    if spacing is not None and EXACT.remainder(EXACT.subtract(number, low), spacing):
        raise SpaceError(f"{dimension.name}: {value[:40]} is not a number of steps of {spacing} from {low}")
    return canonical(number)


def canonical(number: Decimal) -> str:
    """A decimal without exponent and without zeros that say nothing: `0.0001`, `16`, `-2.5`."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(number: Decimal | None) -> str | None:
    return None if number is None else canonical(number)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
