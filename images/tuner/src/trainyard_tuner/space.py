"""The search space: one class for each kind of dimension, between its strings, Optuna's values and the unit interval.

Separate because three sides meet here: the order has canonical strings, Optuna has typed values and distributions, and
the Gaussian process has coordinates: a number's place between its ends from 0 to 1, a choice's index. Called by
`orders` (to read it), `proposing` and `candidates`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trainyard_tuner.problems import OrderError

Array = NDArray[np.float64]
Value = str | int | float
Point = tuple[str, ...]
#: Digits of a number that has no step: more tell no two trainings apart. On a log scale they are significant digits, on
#: a linear one digits of the range.
_DIGITS = 6
_LONGEST_NUMBER = 512
#: Floats tell larger whole numbers apart no longer.
_MOST_EXACT = 2**53
#: Digits enough for sums of any two decimals that the operator sends.
EXACT = Context(prec=600)


@dataclass(frozen=True)
class Choice:
    """A categorical or a bool. Optuna's value is the string, the coordinate its index."""

    name: str
    values: tuple[str, ...]

    @property
    def size(self) -> int | None:
        return len(self.values)

    @property
    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.values)

    def value(self, text: str) -> Value:
        if text not in self.values:
            raise OrderError(f'has "{text}" for {self.name}, which is none of its values.')
        return text

    def text(self, value: Value) -> str:
        return str(value)

    def coordinate(self, value: Value) -> float:
        return float(self.values.index(str(value)))

    def at(self, coordinate: float) -> Value:
        return self.values[int(coordinate)]

    def snap(self, coordinates: Array) -> Array:
        return coordinates

    def every(self) -> Array:
        return np.arange(len(self.values), dtype=np.float64)

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        return rng.integers(len(self.values), size=count).astype(np.float64)


@dataclass(frozen=True)
class Steps:
    """An int, or a float with a step. Optuna's value counts the steps from `low`; on a log scale it is the int."""

    name: str
    low: Decimal
    step: Decimal
    last: int
    log: bool = False

    @property
    def size(self) -> int | None:
        return self.last + 1

    @property
    def _offset(self) -> int:
        """What Optuna's value of the lowest is: its logarithm must exist."""
        return int(self.low) if self.log else 0

    @property
    def distribution(self) -> BaseDistribution:
        return IntDistribution(self._offset, self._offset + self.last, log=self.log)

    def value(self, text: str) -> Value:
        steps, rest = EXACT.divmod(EXACT.subtract(_decimal(text, self.name), self.low), self.step)
        if rest or not 0 <= steps <= self.last:
            raise OrderError(f'has "{text}" for {self.name}, which is none of its values.')
        return self._held(int(steps) + self._offset)

    def text(self, value: Value) -> str:
        return plain(EXACT.fma(Decimal(int(value) - self._offset), self.step, self.low))

    def _held(self, number: int) -> int:
        """The number, or the nearest in the range that a float can hold.

        NB: Optuna keeps ints as floats, and the float next to a large one may lie above the highest.
        """
        low, high = self._offset, self._offset + self.last
        held = float(min(max(number, low), high))
        if not low <= int(held) <= high:
            held = math.nextafter(held, low if int(held) > high else high)
        return int(held)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        low, high = float(self._offset), float(self._offset + self.last)
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def _coordinates(self, values: Array) -> Array:
        low, high = self._scale
        places = np.log(values) if self.log else values
        return (places - low) / (high - low) if high > low else np.zeros_like(places)

    def _values(self, coordinates: Array) -> Array:
        low, high = self._scale
        places = low + coordinates * (high - low)
        values = np.rint(np.exp(places) if self.log else places)
        return np.clip(values, self._offset, self._offset + self.last)

    def coordinate(self, value: Value) -> float:
        return float(self._coordinates(np.array([float(value)]))[0])

    def at(self, coordinate: float) -> Value:
        return self._held(int(self._values(np.array([coordinate]))[0]))

    def snap(self, coordinates: Array) -> Array:
        return self._coordinates(self._values(np.clip(coordinates, 0, 1)))

    def every(self) -> Array:
        return self._coordinates(self._offset + np.arange(self.last + 1, dtype=np.float64))

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        if self.log or self.last > _MOST_EXACT:
            return self.snap(rng.random(count))
        return self._coordinates(rng.integers(self.last, size=count, endpoint=True).astype(np.float64))


@dataclass(frozen=True)
class Range:
    """A float without a step. Optuna's value is the number, of a few digits."""

    name: str
    low: Decimal
    high: Decimal
    log: bool = False

    @property
    def size(self) -> int | None:
        return None

    @property
    def distribution(self) -> BaseDistribution:
        return FloatDistribution(float(self.low), float(self.high), log=self.log)

    def value(self, text: str) -> Value:
        number = _decimal(text, self.name)
        if not self.low <= number <= self.high:
            raise OrderError(f'has "{text}" for {self.name}, which is not within {self.low} and {self.high}.')
        return float(number)

    def text(self, value: Value) -> str:
        return plain(self._rounded(float(value)))

    def _rounded(self, value: float) -> Decimal:
        if self.log:
            number = Decimal(f"{value:.{_DIGITS}g}")
        else:
            unit = Decimal(1).scaleb(EXACT.subtract(self.high, self.low).adjusted() - _DIGITS)
            number = EXACT.quantize(Decimal(value), unit)
        return min(max(number, self.low), self.high)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        low, high = float(self.low), float(self.high)
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def coordinate(self, value: Value) -> float:
        low, high = self._scale
        place = math.log(float(value)) if self.log else float(value)
        return min(1.0, max(0.0, (place - low) / (high - low)))

    def at(self, coordinate: float) -> Value:
        low, high = self._scale
        place = low + coordinate * (high - low)
        return float(self._rounded(math.exp(place) if self.log else place))

    def snap(self, coordinates: Array) -> Array:
        return np.clip(coordinates, 0, 1)

    def every(self) -> Array:
        raise TypeError(f"{self.name} has no end of values.")

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        return rng.random(count)


Dimension = Choice | Steps | Range


@dataclass(frozen=True)
class Space:
    """The dimensions in their order."""

    dimensions: tuple[Dimension, ...]

    @cached_property
    def size(self) -> float:
        """How many points there are; infinite with a float that has no step."""
        return math.prod(math.inf if one.size is None else one.size for one in self.dimensions)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {one.name: one.distribution for one in self.dimensions}

    def values(self, point: Sequence[str]) -> dict[str, Value]:
        """Optuna's values of a point. Raises OrderError."""
        if len(point) != len(self.dimensions):
            raise OrderError(
                f"has a point of {len(point)} values, but the space has {len(self.dimensions)} dimensions."
            )
        return {one.name: one.value(text) for one, text in zip(self.dimensions, point, strict=True)}

    def point(self, values: Mapping[str, Any]) -> Point:
        return tuple(one.text(values[one.name]) for one in self.dimensions)

    def coordinates(self, values: Mapping[str, Any]) -> list[float]:
        return [one.coordinate(values[one.name]) for one in self.dimensions]

    def at(self, coordinates: Array) -> dict[str, Value]:
        return {one.name: one.at(float(x)) for one, x in zip(self.dimensions, coordinates, strict=True)}


def plain(number: Decimal) -> str:
    """A decimal without exponent and without zeros that say nothing, as the operator writes it."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimal(text: str, name: str) -> Decimal:
    try:
        number = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise OrderError(f'has "{text[:_LONGEST_NUMBER]}" for {name}, which is not a number.')
    return number
