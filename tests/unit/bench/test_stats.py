"""Percentiles, and the interval that holds a median."""

from __future__ import annotations

import pytest

from tests.bench import stats


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(50, 50), (99, 99), (99.5, 100), (100, 100), (1, 1), (0, 1)],
)
def test_a_percentile_is_the_value_of_the_nearest_rank(percent: float, expected: float) -> None:
    assert stats.percentile(reversed(range(1, 101)), percent) == expected


def test_the_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        stats.percentile([], 50)


@pytest.mark.parametrize(
    ("count", "outside"),
    # The ranks of the tables of the sign test at 5 %, two-sided (Conover, table A3).
    [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5), (25, 7)],
)
def test_the_interval_of_the_median_has_the_ranks_of_the_sign_test(count: int, outside: int) -> None:
    assert stats.median_rank(count) == outside


def test_a_summary_of_few_values_has_their_range_as_its_interval() -> None:
    found = stats.summary([3.0, 1.0, 2.0])
    assert (found.median, found.low, found.high, found.count) == (2.0, 1.0, 3.0, 3)


def test_a_summary_of_many_values_leaves_the_outermost_out_of_its_interval() -> None:
    found = stats.summary([float(n) for n in range(1, 13)])
    assert (found.low, found.high) == (3.0, 10.0)
    assert (found.lowest, found.highest) == (1.0, 12.0)


def test_ratios_are_those_of_pairs() -> None:
    assert stats.ratios([2.0, 9.0], [4.0, 3.0]) == [0.5, 3.0]


def test_ratios_of_different_numbers_of_rounds_are_an_error() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        stats.ratios([1.0], [1.0, 2.0])


def test_a_slope_is_what_the_second_value_grows_by() -> None:
    assert stats.slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == pytest.approx(2.0)
    assert stats.slope([(1.0, 1.0)]) == 0.0
