"""How one metric goes over the epochs, in bounded space: which points stay, and that the best is never lost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.planning.curve import MOST, Curve, Point, best, even, extended, merged

EMPTY = Curve(metric="loss")


def told(*lines: Point) -> Curve:
    return extended(EMPTY, lines)


def one_by_one(lines: Sequence[Point]) -> Curve:
    curve = EMPTY
    for line in lines:
        curve = extended(curve, [line])
    return curve


def ends(curve: Curve) -> tuple[Point | None, Point | None]:
    return curve.best(minimize=True), curve.best(minimize=False)


@pytest.mark.parametrize(
    ("lines", "points"),
    [
        pytest.param([(1, 0.5), (2, 0.4)], [(1, 0.5), (2, 0.4)], id="an epoch after the other"),
        pytest.param([(1, 0.5), (1, 0.4), (2, 0.3)], [(1, 0.4), (2, 0.3)], id="of one epoch the last"),
        pytest.param([(-1, 0.5), (0, 0.4)], [(0, 0.4)], id="no epoch that is not known"),
        pytest.param([(2, 0.5), (3, 0.4), (2, 0.6)], [(2, 0.6), (3, 0.4)], id="an epoch that is done again"),
        pytest.param([(1, 0.5), (3, 0.4), (2, 0.6)], [(1, 0.5), (2, 0.6), (3, 0.4)], id="one that is told late"),
        pytest.param([(0.5, 1.0), (1.25, 0.5)], [(0.5, 1.0), (1.25, 0.5)], id="parts of epochs"),
    ],
)  # fmt: skip
def test_points(lines: list[Point], points: list[Point]) -> None:
    assert list(told(*lines).points) == points
    assert list(one_by_one(lines).points) == points


def test_what_an_epoch_had_before_its_end_is_no_best_of_it() -> None:
    assert ends(told((1, 0.5), (2, 0.1), (2, 0.4))) == ((2, 0.4), (1, 0.5))


def test_of_equal_ones_the_first_is_the_best() -> None:
    assert ends(told((1, 0.5), (2, 0.5), (3, 0.5))) == ((1, 0.5), (1, 0.5))


def test_the_best_of_an_epoch_that_is_done_again_does_not_count() -> None:
    assert ends(told((1, 0.5), (2, 0.1), (3, 0.4), (2, 0.6)))[0] == (3, 0.4)


@pytest.mark.parametrize("count", [2, 3, 62, 63, 64, 65, 128, 129, 1000, 100_000])
def test_many_are_thinned_evenly_with_the_first_and_the_last(count: int) -> None:
    points = even([(float(epoch), 0.0) for epoch in range(1, count + 1)])
    assert len(points) <= MOST
    assert (points[0][0], points[-1][0]) == (1, count)
    steps = {after[0] - before[0] for before, after in itertools.pairwise(points[1:-1])}
    assert len(steps) <= 1
    assert len(points) == count or len(points) > MOST / 3


EPOCHS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 400), st.floats(0, 400, allow_nan=False)),
        st.floats(-1e6, 1e6, allow_nan=False),
    ),
    max_size=400,
)


@given(lines=EPOCHS)
def test_the_best_is_that_of_all_epochs_however_many_were_thinned_out(lines: list[Point]) -> None:
    lines = sorted(lines, key=lambda line: line[0])
    curve = one_by_one(lines)
    last = list(dict(lines).items())
    assert ends(curve) == (best(last, minimize=True), best(last, minimize=False))
    assert len(curve.points) <= 2 * MOST
    assert list(curve.points) == sorted(curve.points)


@given(lines=EPOCHS, cut=st.integers(0, 400))
def test_it_makes_no_difference_when_points_were_thinned(lines: list[Point], cut: int) -> None:
    points = sorted(dict(lines).items())
    cut = min(cut, len(points))
    if points[cut:]:
        assert even([*even(points[:cut])[:-1], *points[max(0, cut - 1) :]]) == even(points)
    assert even(even(points)) == even(points)


@given(one=EPOCHS, other=EPOCHS)
def test_what_was_told_in_two_ways_is_bounded_and_has_the_best_of_both(
    one: list[Point], other: list[Point]
) -> None:
    first, second = told(*sorted(one)), told(*sorted(other))
    both = merged(first, second)
    assert both is not None
    assert len(both.points) <= 2 * MOST
    found = [curve.best(minimize=True) for curve in (first, second)]
    least = best([point for point in found if point is not None], minimize=True)
    # NB: an epoch that both have told has two values, of which one counts.
    if least is not None and not {e for e, _ in one} & {e for e, _ in other}:
        assert both.best(minimize=True) == least


def test_one_way_alone_stands_as_it_is() -> None:
    only = told((1, 0.5))
    assert merged(only, None) is only
    assert merged(None, only) is only
    assert merged(Curve(metric="accuracy"), only) is only
    assert merged(None, None) is None


def test_epochs_far_apart_or_close_together_cost_nothing() -> None:
    huge = even([(float(i) * 1e15, 0.0) for i in range(500)])
    tiny = even([(i * 1e-9, 0.0) for i in range(500)])
    assert len(huge) <= MOST
    assert len(tiny) <= MOST
    assert all(math.isfinite(epoch) for epoch, _ in (*huge, *tiny))
