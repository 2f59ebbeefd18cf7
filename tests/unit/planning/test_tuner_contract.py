"""What the operator says to the tuner's image, said to it, and its answer read."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal

import pytest

from trainyard.planning import tunerpod
from trainyard.search.draws import random_point
from trainyard.search.space import Dimension, Point, Space
from trainyard_tuner import orders

SPACE = Space(
    (
        Dimension("rate", "float", Decimal("1e-9"), Decimal("1e-1"), log=True),
        Dimension("share", "float", Decimal("999999.5"), Decimal("1000000.5")),
        Dimension("thirds", "float", Decimal("-0.1"), Decimal("1.1"), step=Decimal("0.3")),
        Dimension("units", "int", Decimal(1), Decimal(4096), log=True),
        Dimension("layers", "int", Decimal(-2), Decimal(9), step=Decimal(2)),
        Dimension("seed", "int", Decimal(0), Decimal(2**63 - 1)),
        Dimension("model.sizes", "categorical", values=("[64, 32]", "64", "très grand")),
        Dimension("model.bias", "bool"),
        Dimension("fixed", "float", Decimal("0.5"), Decimal("0.5")),
    )
)


def told(points: list[Point], *, count: int, pending: list[Point] | None = None) -> str:
    """The order of a search of a loss that grows with the rate, in which every fifth trial failed."""
    history = [(point, None if n % 5 == 4 else float(point[0])) for n, point in enumerate(points)]
    return tunerpod.order(
        SPACE, minimize=True, seed=3, first=len(points), count=count, history=history, pending=pending or []
    )


def answered(order: str) -> str:
    environment = {**os.environ, "TRAINYARD_SEARCH": order}
    ended = subprocess.run(
        [sys.executable, "-m", "trainyard_tuner", "propose"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


@pytest.mark.parametrize("trials", [10, 250], ids=["Gaussian process", "TPE"])
def test_its_proposals_are_points_of_the_space_as_the_operator_writes_them(trials: int) -> None:
    drawn = [random_point(SPACE, 3, number) for number in range(trials)]
    line = answered(told(drawn, count=3, pending=[random_point(SPACE, 3, trials)]))
    proposed = tunerpod.proposed(line, SPACE)
    assert proposed is not None
    assert len(set(proposed)) == 3
    for point in proposed:
        assert f'"{point[0]}"' in line
        assert SPACE.accepted(point) == point


def test_every_draw_of_the_operator_is_a_point_of_the_tuners_space() -> None:
    drawn = [random_point(SPACE, 5, number) for number in range(200)]
    order = orders.read(told(drawn, count=1))
    found = [ended.point for ended in order.history]
    for ours, theirs in zip(drawn, found, strict=True):
        # NB: as a float it has 53 bits; an int beyond them is the nearest that there is.
        exact = [n for n, one in enumerate(SPACE.dimensions) if one.name not in ("seed", "share")]
        assert [ours[n] for n in exact] == [theirs[n] for n in exact]
        assert float(theirs[1]) == pytest.approx(float(ours[1]), abs=1e-6)
        assert float(theirs[5]) == pytest.approx(float(ours[5]), rel=1e-15)
