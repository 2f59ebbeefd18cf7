"""Values from elsewhere that are read as they stand: most are, and a thousand trials of 64 parameters are many."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.search import space as spaces
from trainyard.search.draws import random_point
from trainyard.search.space import Dimension, Space, SpaceError

SPACE = Space(
    (
        Dimension("rate", "float", Decimal("1e-8"), Decimal("0.1"), log=True),
        Dimension("momentum", "float", Decimal("-0.5"), Decimal("0.99")),
        Dimension("units", "int", Decimal(-3), Decimal(128)),
        Dimension("activation", "categorical", values=("relu", "tanh")),
        Dimension("bias", "bool"),
    )
)


def slowly(dimension: Dimension, value: str) -> str | None:
    """What decimals say, whatever is done for speed."""
    try:
        return spaces.exactly(dimension, value)
    except SpaceError:
        return None


def accepted(dimension: Dimension, value: str) -> str | None:
    """NB: beside others, as a value that is odd may spoil the look at all."""
    other = Dimension("other", "float", Decimal(0), Decimal(1))
    try:
        (found, one) = Space((dimension, other)).accepted([value, "0.5"])
        assert one == "0.5"
        return found
    except SpaceError:
        return None


def test_points_that_were_drawn_are_hardly_looked_at_as_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    """NB: those of the whole numbers that there are, once each; another copy of the space is looked at anew."""
    space = Space(tuple(replace(dimension) for dimension in SPACE.dimensions))
    points = [random_point(space, 7, number) for number in range(500)]
    asked: list[str] = []
    exactly = spaces.exactly
    monkeypatch.setattr(
        spaces, "exactly", lambda one, value: (asked.append(one.name), exactly(one, value))[1]
    )
    assert [space.accepted(point) for point in points] == points
    assert asked.count("units") == len({point[2] for point in points}) < 132
    assert len(asked) == asked.count("units")


WRITTEN = st.one_of(
    st.decimals(Decimal(-4), Decimal(130), allow_nan=False).map(str),
    st.floats(-1, 1, allow_nan=False).map(lambda number: f"{number:.6g}"),
    st.integers(-5, 130).map(str),
    st.sampled_from(
        [
            "-0",
            "0",
            "+1",
            "00.5",
            "0.10",
            "1_0",
            " 1",
            ".5",
            "5.",
            "nan",
            "inf",
            "1e400",
            "٣",
            "",
            "-",
            "1\n2",
            "1\n",
        ]
    ),
    st.sampled_from(
        ["0.00000001", "0.000000009999999999999999999999", "0.1", "0.100000000000000000000000001"]
    ),
    st.sampled_from(["-3", "128", "129", "-3.0", "127.5", "9" * 300, "0." + "1" * 254, "0." + "1" * 255]),
    st.text(st.sampled_from("0123456789.-+e_ "), max_size=12),
)


@given(st.sampled_from(SPACE.dimensions[:3]), WRITTEN)
def test_a_number_is_read_as_exact_decimals_would_read_it(dimension: Dimension, value: str) -> None:
    assert accepted(dimension, value) == slowly(dimension, value)


@given(WRITTEN)
def test_a_float_with_a_step_too(value: str) -> None:
    stepped = Dimension("rate", "float", Decimal("0.1"), Decimal("2.3"), step=Decimal("0.2"))
    assert accepted(stepped, value) == slowly(stepped, value)
