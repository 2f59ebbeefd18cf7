"""Dimensions between their strings, Optuna's values and their coordinates."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from searches import DEEP, KIND, LAYERS, QUARTERS, RATE, UNITS, X, order

from trainyard_tuner import candidates
from trainyard_tuner.problems import OrderError
from trainyard_tuner.space import plain

ALL = [X, RATE, QUARTERS, UNITS, LAYERS, KIND, DEEP]


@pytest.mark.parametrize(
    ("dimension", "text", "coordinate"),
    [
        (X, "0", 0.0),
        (X, "0.25", 0.25),
        (X, "1", 1.0),
        (RATE, "0.0001", 0.0),
        (RATE, "0.01", 0.5),
        (RATE, "1", 1.0),
        (QUARTERS, "0.75", 0.75),
        (UNITS, "1", 0.0),
        (UNITS, "32", 0.5),
        (UNITS, "1024", 1.0),
        (LAYERS, "5", 0.5),
        (LAYERS, "9", 1.0),
        (KIND, "tanh", 1.0),
        (DEEP, "false", 0.0),
        (DEEP, "true", 1.0),
    ],
    ids=lambda one: one["name"] if isinstance(one, dict) else str(one),
)
def test_a_value_is_the_same_on_all_three_sides(dimension: Any, text: str, coordinate: float) -> None:
    (one,) = order([dimension]).space.dimensions
    value = one.value(text)
    assert one.coordinate(value) == pytest.approx(coordinate)
    assert one.at(one.coordinate(value)) == value
    assert one.text(value) == text
    assert one.distribution._contains(one.distribution.to_internal_repr(value))


@pytest.mark.parametrize(
    ("dimension", "text"),
    [
        (X, "1.5"),
        (X, "wide"),
        (X, "NaN"),
        (QUARTERS, "0.3"),
        (QUARTERS, "1.25"),
        (UNITS, "2.5"),
        (KIND, "elu"),
    ],
)
def test_a_value_that_is_not_in_the_space_is_told(dimension: Any, text: str) -> None:
    (one,) = order([dimension]).space.dimensions
    with pytest.raises(OrderError, match=dimension["name"]):
        one.value(text)


def test_draws_and_neighbours_are_points_of_the_space() -> None:
    space, rng = order(ALL).space, np.random.default_rng(1)
    points = candidates.drawn(space, rng, 200)
    for row in np.vstack([points, candidates.near(space, rng, points[:20], count=10, radius=0.1)]):
        values = space.at(row)
        assert space.values(space.point(values)) == values
        assert space.coordinates(values) == pytest.approx(list(row), abs=1e-4)


@pytest.mark.parametrize("dimension", [QUARTERS, LAYERS, KIND, DEEP, {**UNITS, "high": "12"}])
def test_all_values_of_a_finite_dimension_are_drawn_and_listed(dimension: Any) -> None:
    space = order([dimension]).space
    drawn = {space.point(space.at(row)) for row in candidates.drawn(space, np.random.default_rng(1), 500)}
    listed = [space.point(space.at(row)) for row in candidates.every(space)]
    assert len(listed) == len(set(listed)) == space.size
    assert drawn == set(listed)


def test_a_neighbour_is_another_point() -> None:
    space, rng = order([LAYERS, X]).space, np.random.default_rng(1)
    points = candidates.drawn(space, rng, 50)
    near = candidates.near(space, rng, points, count=10, radius=0.05)
    moved = np.any(near != np.repeat(points, 10, axis=0), axis=1)
    # A step that is snapped back, and numbers at an end, may stay.
    assert moved.mean() > 0.7


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.500", "0.5"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("0.00012", "0.00012"),
        ("1.5E-12", "0.0000000000015"),
        ("0E-3", "0"),
        ("-0.25", "-0.25"),
    ],
)
def test_a_decimal_is_written_plainly(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
