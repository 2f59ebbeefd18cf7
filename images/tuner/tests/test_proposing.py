"""What is proposed: better points than random ones, never one twice, the same for the same order."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from typing import Any

import pytest
from searches import DEEP, KIND, LAYERS, QUARTERS, RATE, UNITS, X, Y, order, propose, search

from trainyard_tuner import proposing
from trainyard_tuner.space import Point

MIXED = [X, RATE, QUARTERS, UNITS, LAYERS, KIND, DEEP]
SMALL = [QUARTERS, LAYERS, DEEP]


def bowl(point: Point) -> float:
    """A valley that is not along an axis; least, 0, at rate 0.01 and x 0.7 of kind tanh."""
    x, rate = float(point[0]), math.log10(float(point[1]))
    return (x - 0.7) ** 2 + 0.3 * (rate + 2 + (x - 0.7)) ** 2 + 0.2 * (point[2] != "tanh")


def random_history(space: list[Any], count: int, *, seed: int = 1) -> list[list[Any]]:
    read = order(space).space
    rng = proposing.np.random.default_rng(seed)
    rows = proposing.candidates.drawn(read, rng, count)
    return [[list(read.point(read.at(row))), float(row.sum())] for row in rows]


@pytest.mark.parametrize("minimize", [True, False], ids=["least", "greatest"])
def test_a_search_finds_what_random_draws_do_not(minimize: bool) -> None:
    sign = 1.0 if minimize else -1.0
    space = [X, RATE, KIND]

    def best(seed: int) -> float:
        found = search(space, lambda point: sign * bowl(point), trials=20, seed=seed, minimize=minimize)
        return min(sign * value for _, value in found if value is not None)

    found = statistics.median(best(seed) for seed in range(3))
    read = order(space).space
    rows = proposing.candidates.drawn(read, proposing.np.random.default_rng(1), 20 * 200)
    drawn = [bowl(read.point(read.at(row))) for row in rows]
    of_twenty = statistics.median(min(drawn[n : n + 20]) for n in range(0, len(drawn), 20))
    assert found < 0.1 * of_twenty


def test_with_many_trials_it_still_finds_the_best() -> None:
    """TPE, in the direction that was asked for."""
    space = [X, Y]
    rng = random.Random(1)
    points = [(f"{rng.random():.4f}", f"{rng.random():.4f}") for _ in range(300)]
    for sign in (1.0, -1.0):
        history = [
            [list(point), sign * ((float(point[0]) - 0.2) ** 2 + (float(point[1]) - 0.6) ** 2)]
            for point in points
        ]
        asked = order(space, history, count=10, minimize=sign > 0)
        assert proposing.method(asked) == "TPE"
        proposed = proposing.proposals(asked)
        assert statistics.median(math.dist(map(float, one), (0.2, 0.6)) for one in proposed) < 0.15


@pytest.mark.parametrize("count", [12, 300], ids=["Gaussian process", "TPE"])
def test_the_same_order_gets_the_same_answer(count: int) -> None:
    history = random_history(MIXED, count)
    first = propose(MIXED, history, count=3)
    assert propose(MIXED, history, count=3) == first
    assert propose(MIXED, history, count=3, seed=8) != first


def test_no_point_is_proposed_twice_while_one_is_left() -> None:
    points = list(itertools.product(("0", "0.25", "0.5", "0.75", "1"), ("1", "5", "9"), ("false", "true")))
    found = search(SMALL, lambda point: float(point[0]) + float(point[1]), trials=len(points))
    assert sorted(point for point, _ in found) == sorted(points)
    (again,) = propose(SMALL, [[list(point), value] for point, value in found])
    assert again in points


def test_tpe_proposes_no_point_twice_either() -> None:
    space = [{**LAYERS, "low": "1", "high": "250", "step": "1"}]
    history = [[[str(n)], float(n)] for n in range(2, 241)]
    proposed = propose(space, history, count=11)
    assert {int(one) for (one,) in proposed} == {1, *range(241, 251)}


def test_proposals_of_one_order_and_pending_ones_differ() -> None:
    history = [[["0.1"], 0.8], [["0.5"], 0.3], [["0.8"], 0.6]]
    proposed = propose([X], history, count=8)
    assert len(set(proposed)) == 8
    more = propose([X], history, count=4, pending=[list(point) for point in proposed])
    assert not set(more) & set(proposed)
    # They are spread out, and not the same place in eight spellings.
    places = sorted(float(one) for (one,) in [*proposed, *more])
    assert places[-1] - places[0] > 0.1


def test_it_keeps_away_from_where_trials_fail() -> None:
    found = search([X], lambda p: None if float(p[0]) > 0.5 else 1 - float(p[0]), trials=20)
    failed = sum(value is None for _, value in found)
    assert failed <= 10
    assert max(float(point[0]) for point, value in found if value is not None) > 0.45


@pytest.mark.parametrize(
    "history",
    [
        [],
        [[["0.5"], None]] * 3,
        [[["0.5"], 1.0]],
        [[["0.1"], 1.0], [["0.9"], 1.0], [["0.5"], 1.0]],
        [[["0.1"], 1e300], [["0.9"], -1e300], [["0.5"], None], [["0.7"], 1.0]],
        [[["0.5"], 1.0], [["0.5"], 2.0], [["0.5"], 3.0]],
    ],
    ids=["no trial", "only failures", "one value", "equal values", "huge values", "one point"],
)
def test_it_proposes_something_new_from_little(history: list[Any]) -> None:
    proposed = propose([X], history, count=2)
    assert len(set(proposed)) == 2
    assert ("0.5",) not in proposed
    assert all(0 <= float(one) <= 1 for (one,) in proposed)


def test_one_diverged_trial_does_not_hide_the_others() -> None:
    history = [[[f"{n / 10}"], (n / 10 - 0.3) ** 2] for n in range(11)]
    history[9][1] = 1e12
    (point,) = propose([X], history)
    assert abs(float(point[0]) - 0.3) < 0.1


def test_a_dimension_of_one_value_has_that_value() -> None:
    only = {"name": "only", "type": "categorical", "values": ["relu"]}
    (point,) = propose(
        [X, only, {**LAYERS, "high": "3"}], random_history([X, only, {**LAYERS, "high": "3"}], 5)
    )
    assert point[1:] == ("relu", "1")


def test_a_range_so_narrow_that_all_of_its_numbers_were_tried_is_no_endless_search() -> None:
    narrow = {**RATE, "low": "0.1", "high": "0.100001"}
    tried = [[["0.1"], 1.0], [["0.100001"], 2.0]]
    assert {*propose([narrow], tried, count=2)} <= {("0.1",), ("0.100001",)}


@pytest.mark.parametrize("more", [{}, {"log": True}], ids=["linear", "log"])
def test_whole_numbers_beyond_what_floats_can_tell_apart_stay_within_their_range(more: Any) -> None:
    high = 10**23
    huge = {**UNITS, "log": False, "high": str(high), **more}
    history = [[["1"], 1.0], [[str(high // 3)], 0.5], [[str(high)], 0.1]]
    proposed = propose([huge], history, count=5)
    assert len(set(proposed)) == 5
    assert all(1 <= int(one) <= high for (one,) in proposed)


@pytest.mark.parametrize(("trials", "count"), [(195, 4), (1000, 4)], ids=["Gaussian process", "TPE"])
def test_it_is_done_in_time(trials: int, count: int) -> None:
    space = [{**X, "name": f"x{n}"} for n in range(12)] + [{**UNITS, "name": f"u{n}"} for n in range(4)]
    space += [{**KIND, "name": f"k{n}"} for n in range(4)]
    history = random_history(space, trials)
    started = time.process_time()
    assert len(propose(space, history, count=count)) == count
    assert time.process_time() - started < 20
