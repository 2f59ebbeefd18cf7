"""The space that is searched: what a point is, how it reads, and which spaces cannot be."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.search.space import Dimension, Space, SpaceError, canonical


def a_float(name: str = "lr", low: str = "0.001", high: str = "1", **fields: Any) -> Dimension:
    return Dimension(name, "float", Decimal(low), Decimal(high), **fields)


def an_int(name: str = "depth", low: str = "1", high: str = "9", **fields: Any) -> Dimension:
    return Dimension(name, "int", Decimal(low), Decimal(high), **fields)


def a_choice(name: str = "kind", *values: str) -> Dimension:
    return Dimension(name, "categorical", values=values or ("a", "b"))


SPACE = Space(
    (
        a_float("train.optim.lr", "1e-5", "1e-1", log=True),
        an_int("train.depth", "2", "32"),
        a_choice("layers", "[64, 32]", "none", "64", '"64"'),
        Dimension("bias", "bool"),
    )
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1e-7", "0.0000001"),
        ("1E+3", "1000"),
        ("0.10", "0.1"),
        ("10", "10"),
        ("100.0", "100"),
        ("-0", "0"),
        ("0E-7", "0"),
        ("-2.50", "-2.5"),
        ("1e-99", "0." + "0" * 98 + "1"),
    ],
)
def test_a_number_is_written_without_exponent_and_without_zeros_that_say_nothing(
    number: str, text: str
) -> None:
    assert canonical(Decimal(number)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_a_canonical_number_is_the_same_number(number: Decimal) -> None:
    assert Decimal(canonical(number)) == number
    assert canonical(Decimal(canonical(number))) == canonical(number)


def test_a_point_as_parameters_is_nested_and_typed() -> None:
    assert SPACE.parameters(("0.0003", "12", "[64, 32]", "true")) == {
        "train": {"optim": {"lr": 0.0003}, "depth": 12},
        "layers": [64, 32],
        "bias": True,
    }


@pytest.mark.parametrize(
    ("value", "read"), [("none", "none"), ("64", 64), ('"64"', "64"), ("[64, 32]", [64, 32])]
)
def test_a_choice_that_reads_as_json_is_handed_on_as_that(value: str, read: object) -> None:
    assert SPACE.parameters(("0.1", "2", value, "false"))["layers"] == read


def test_a_float_stays_a_float_where_its_value_is_whole() -> None:
    value = Space((a_float(),)).parameters(("1",))["lr"]
    assert isinstance(value, float)
    assert json.dumps(value) == "1.0"


def test_a_point_by_names() -> None:
    point = ("0.1", "2", "64", "false")
    assert SPACE.as_mapping(point) == {
        "train.optim.lr": "0.1",
        "train.depth": "2",
        "layers": "64",
        "bias": "false",
    }


def test_a_digest_is_of_the_names_and_the_values() -> None:
    point = ("0.1", "2", "64", "false")
    # NB: digests stand in the status of experiments.
    assert SPACE.digest(point) == "2b44ebfc96c2dcb4"
    assert SPACE.digest(point) != SPACE.digest(("0.1", "2", "64", "true"))
    assert Space((a_float("a"),)).digest(("0.1",)) != Space((a_float("b"),)).digest(("0.1",))


def test_a_space_survives_its_way_through_json() -> None:
    space = Space((*SPACE.dimensions, a_float("momentum", "0", "0.9", step=Decimal("0.1"))))
    text = json.dumps(space.as_json())
    assert Space.from_json(json.loads(text)) == space
    assert json.loads(text)[0] == {
        "name": "train.optim.lr",
        "type": "float",
        "low": "0.00001",
        "high": "0.1",
        "step": None,
        "log": True,
        "values": [],
    }


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(
            lambda: a_float(low="2"), "lr: min 2 is more than max 1", id="the ends the wrong way round"
        ),
        pytest.param(
            lambda: Dimension("lr", "float", Decimal(1)), "lr: a float or an int needs min", id="no end"
        ),
        pytest.param(lambda: a_float(high="Infinity"), "needs min and max", id="an endless one"),
        pytest.param(
            lambda: a_float(low="0", log=True), "a log scale needs a min of more than 0", id="the log of 0"
        ),
        pytest.param(lambda: a_float(log=True, step=Decimal(1)), "and no step", id="steps on a log scale"),
        pytest.param(lambda: a_float(step=Decimal(0)), "step must be more than 0", id="steps of nothing"),
        pytest.param(lambda: an_int(high="2.5"), "whole numbers", id="an int that is none"),
        pytest.param(
            lambda: an_int(high="1e30"), "at most 9223372036854775807", id="an int that JSON does not hold"
        ),
        pytest.param(lambda: Dimension("c", "categorical"), "needs values", id="a choice of nothing"),
        pytest.param(lambda: a_float("train..lr"), "letters before and after each dot", id="an empty key"),
        pytest.param(lambda: Space((a_float(), a_float())), "lr is there twice", id="the same name twice"),
        pytest.param(
            lambda: Space((a_choice("optim"), a_float("lr"), a_float("optim.lr"))),
            "optim.lr is a part of optim",
            id="a parameter and a part of it",
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused_with_the_reason(make: Any, said: str) -> None:
    with pytest.raises(SpaceError, match=said.replace("(", r"\(")):
        make()


def test_names_that_only_begin_alike_are_no_parts_of_each_other() -> None:
    Space((a_float("optim"), a_float("optimizer.lr"), a_float("optim_lr")))


@pytest.mark.parametrize(
    ("dimension", "value", "canonical_value"),
    [
        (a_float(), "1e-2", "0.01"),
        (a_float(), "+0.50", "0.5"),
        (a_float(low="0", step=Decimal("0.1")), "0.3", "0.3"),
        (an_int(), "4.0", "4"),
        (an_int(step=Decimal(4)), "5", "5"),
        (a_choice(), "b", "b"),
        (Dimension("bias", "bool"), "true", "true"),
    ],
)
def test_a_value_from_elsewhere_is_taken_in_its_canonical_form(
    dimension: Dimension, value: str, canonical_value: str
) -> None:
    assert Space((dimension,)).accepted([value]) == (canonical_value,)


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        pytest.param(a_float(), "2", id="too much"),
        pytest.param(a_float(), "0.0001", id="too little"),
        pytest.param(a_float(), "nan", id="not a number"),
        pytest.param(a_float(), "1e999999999", id="an exponent without end"),
        pytest.param(a_float(), 0.5, id="a float"),
        pytest.param(a_float(), None, id="nothing"),
        pytest.param(a_float(low="0", step=Decimal("0.1")), "0.35", id="between the steps"),
        pytest.param(an_int(), "2.5", id="half an int"),
        pytest.param(an_int(step=Decimal(4)), "4", id="between the steps of an int"),
        pytest.param(a_choice(), "c", id="another choice"),
        pytest.param(Dimension("bias", "bool"), "True", id="a bool of another language"),
    ],
)
def test_a_value_from_elsewhere_that_is_not_in_the_space_is_refused(
    dimension: Dimension, value: object
) -> None:
    with pytest.raises(SpaceError, match=f"^{dimension.name}: "):
        Space((dimension,)).accepted([value])


def test_a_point_of_another_length_is_refused() -> None:
    with pytest.raises(SpaceError, match="a point has 4 values, not 1"):
        SPACE.accepted(["0.1"])
