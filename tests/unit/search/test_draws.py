"""Random points and grids: repeatable, within their ends, and spread as they should be."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.search.test_space import SPACE, a_choice, a_float, an_int
from trainyard.search.draws import random_point, startup
from trainyard.search.grid import grid_point, grid_size
from trainyard.search.space import Dimension, Space, SpaceError

NUMBERS = range(2000)
FIRST_POINTS = [
    ("0.00151891", "25", "[64, 32]", "true"),
    ("0.00068264", "9", "none", "false"),
    ("0.00373025", "4", "none", "false"),
    ("0.0127253", "26", '"64"', "false"),
]


def drawn(dimension: Dimension, seed: int = 7) -> list[str]:
    space = Space((dimension,))
    return [random_point(space, seed, number)[0] for number in NUMBERS]


def test_the_first_points_of_a_seed_are_what_they_always_were() -> None:
    """NB: a change of these makes another search of every search that is under way."""
    assert [random_point(SPACE, 42, number) for number in range(4)] == FIRST_POINTS


def test_a_point_depends_on_nothing_but_seed_and_number() -> None:
    backwards = [random_point(SPACE, 1, number) for number in reversed(range(50))]
    assert backwards[::-1] == [random_point(SPACE, 1, number) for number in range(50)]
    assert len(set(backwards)) == 50
    assert random_point(SPACE, 2, 0) != random_point(SPACE, 1, 0)
    assert random_point(SPACE, 1, 10) != random_point(SPACE, 11, 0)


def test_a_parameter_keeps_its_values_when_another_is_searched_besides() -> None:
    alone = Space((a_float("a", "0", "1"),))
    together = Space((a_float("0", "0", "1"), a_float("a", "0", "1")))
    assert [random_point(alone, 3, n)[0] for n in range(9)] == [
        random_point(together, 3, n)[1] for n in range(9)
    ]


def test_a_float_is_spread_evenly_and_has_few_digits() -> None:
    values = drawn(a_float(low="0", high="10"))
    quarters = Counter(int(float(value) // 2.5) for value in values)
    assert all(400 < quarters[quarter] < 600 for quarter in range(4))
    assert max(map(len, values)) <= len("0.123456")


def test_a_log_scale_is_spread_evenly_over_its_decades_with_six_digits() -> None:
    values = drawn(a_float(low="1e-5", high="1e-1", log=True))
    decades = Counter(math.floor(math.log10(float(value))) for value in values)
    assert all(400 < decades[decade] < 600 for decade in range(-5, -1))
    assert all(len(Decimal(value).as_tuple().digits) <= 6 for value in values)


def test_an_int_has_each_of_its_values_both_ends_included() -> None:
    counts = Counter(map(int, drawn(an_int(low="1", high="5"))))
    assert sorted(counts) == [1, 2, 3, 4, 5]
    assert min(counts.values()) > 300


def test_the_ints_of_a_log_scale_are_less_frequent_the_greater_they_are() -> None:
    counts = Counter(map(int, drawn(an_int(low="1", high="16", log=True))))
    assert sorted(counts) == list(range(1, 17))
    assert counts[1] > 2 * counts[3] > counts[16] * 4


def test_steps_are_exact_and_counted_from_the_least_value() -> None:
    assert set(drawn(a_float(low="0.05", high="0.4", step=Decimal("0.1")))) == {
        "0.05",
        "0.15",
        "0.25",
        "0.35",
    }
    assert set(drawn(an_int(low="8", high="64", step=Decimal(8)))) == {str(8 * n) for n in range(1, 9)}


def test_choices_are_equally_likely() -> None:
    assert all(600 < count < 740 for count in Counter(drawn(a_choice("c", "a", "b", "c"))).values())
    assert set(drawn(Dimension("bias", "bool"))) == {"true", "false"}


decimals = st.decimals(min_value=Decimal("-1e12"), max_value=Decimal("1e12"), places=6)


@given(decimals, decimals, st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_no_value_of_a_float_is_beyond_its_ends(one: Decimal, other: Decimal, seed: int, number: int) -> None:
    low, high = sorted((one, other))
    space = Space((Dimension("x", "float", low, high),))
    (value,) = random_point(space, seed, number)
    assert low <= Decimal(value) <= high
    assert space.accepted([value]) == (value,)


@given(
    st.decimals(min_value=Decimal("1e-30"), max_value=Decimal("1e30"), allow_nan=False),
    st.decimals(min_value=Decimal("1e-30"), max_value=Decimal("1e30"), allow_nan=False),
    st.integers(0, 2**32 - 1),
)
def test_no_value_of_a_log_scale_is_beyond_its_ends(one: Decimal, other: Decimal, seed: int) -> None:
    low, high = sorted((one, other))
    (value,) = random_point(Space((Dimension("x", "float", low, high, log=True),)), seed, 0)
    assert low <= Decimal(value) <= high


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 99))
def test_no_value_of_an_int_is_beyond_its_ends(one: int, other: int, number: int) -> None:
    low, high = sorted((one, other))
    space = Space((Dimension("x", "int", Decimal(low), Decimal(high)),))
    point = random_point(space, 5, number)
    assert low <= int(point[0]) <= high
    assert isinstance(space.parameters(point)["x"], int)


@pytest.mark.parametrize(("dimensions", "first"), [(1, 3), (3, 3), (5, 5), (10, 10), (40, 10)])
def test_a_bayesian_search_begins_with_random_draws(dimensions: int, first: int) -> None:
    assert startup(Space(tuple(a_float(f"p{n}") for n in range(dimensions)))) == first


GRID = Space(
    (
        an_int("depth", "1", "3"),
        a_float("rate", "0", "0.25", step=Decimal("0.1")),
        a_choice("kind", "x", "y"),
        Dimension("bias", "bool"),
    )
)


def test_a_grid_has_every_combination_once_and_the_last_parameter_changes_fastest() -> None:
    every = itertools.product(("1", "2", "3"), ("0", "0.1", "0.2"), ("x", "y"), ("false", "true"))
    assert grid_size(GRID) == 36
    assert [grid_point(GRID, number) for number in range(36)] == list(every)


def test_a_grid_has_no_points_beyond_its_end() -> None:
    with pytest.raises(SpaceError, match="the grid has 36 points, so there is none of number 36"):
        grid_point(GRID, 36)


def test_a_float_without_a_step_has_no_grid() -> None:
    for ask in (lambda: grid_size(SPACE), lambda: grid_point(SPACE, 0)):
        with pytest.raises(SpaceError, match=r"train\.optim\.lr: grid search needs a step"):
            ask()


def test_a_grid_that_nobody_could_walk_is_counted_all_the_same() -> None:
    space = Space((a_float("x", "0", "1e9", step=Decimal("1e-9")), an_int("n", "1", str(2**63 - 1))))
    assert grid_size(space) == (10**18 + 1) * (2**63 - 1)
    assert grid_point(space, 1) == ("0", "2")


def test_an_int_on_a_log_scale_can_be_walked() -> None:
    assert grid_size(Space((an_int(low="2", high="5", log=True),))) == 4
