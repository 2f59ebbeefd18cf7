"""What an order must be."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from searches import KIND, LAYERS, UNITS, X, as_json, pack

from trainyard_tuner import orders
from trainyard_tuner.problems import OrderError


def test_an_order_is_read() -> None:
    found = orders.read(
        pack(as_json([X, KIND], [[["0.50", "relu"], 3], [["1", "tanh"], None]], pending=[["0.1", "relu"]]))
    )
    assert [(one.point, one.value) for one in found.history] == [
        (("0.5", "relu"), 3.0),
        (("1", "tanh"), None),
    ]
    assert found.pending == (("0.1", "relu"),)
    assert (found.first, found.count, found.minimize) == (2, 1, True)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_a_value_that_is_not_finite_is_a_failure(value: str) -> None:
    text = json.dumps(as_json([X], [[["0.5"], 123456]])).replace("123456", value)
    found = orders.read(base64.b64encode(zlib.compress(text.encode())).decode())
    assert found.history[0].value is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not set"),
        ("!", "is not base64"),
        ("aaaa", "is not base64 of zlib"),
        (base64.b64encode(zlib.compress(b"{}" * 9)[:-6]).decode(), "is cut off"),
        (base64.b64encode(zlib.compress(b"[1")).decode(), "is not JSON"),
        (pack([1]), "must be a JSON object"),
        (base64.b64encode(zlib.compress(b"[" * 100_000)).decode(), "is not JSON"),
    ],
)
def test_what_is_no_order_is_told(text: str, sentence: str) -> None:
    with pytest.raises(OrderError, match=sentence):
        orders.read(text)


def test_an_order_that_would_fill_the_memory_is_refused() -> None:
    packed = base64.b64encode(zlib.compress(b" " * (80 << 20), 1)).decode()
    with pytest.raises(OrderError, match="larger than 64 MiB"):
        orders.read(packed)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"space": []}, "empty space"),
        ({"space": None}, 'must have the list "space"'),
        ({"space": [X, X]}, "two dimensions of one name"),
        ({"space": [{"type": "float"}]}, "without a name"),
        ({"space": [{**X, "type": "complex"}]}, "unknown type 'complex' for x"),
        ({"space": [{**X, "low": 0}]}, 'no number, as a string, for "low" of x'),
        ({"space": [{**X, "low": "2"}]}, "range for x that cannot be"),
        ({"space": [{**X, "log": True}]}, "range for x that cannot be"),
        ({"space": [{**X, "high": "1e400"}]}, "range for x that cannot be"),
        ({"space": [{**X, "low": "-1.7e308", "high": "1.7e308"}]}, "range for x that cannot be"),
        ({"space": [{**X, "low": "1e-400", "log": True}]}, "range for x that cannot be"),
        ({"space": [{**X, "step": "0"}]}, "range for x that cannot be"),
        ({"space": [{**UNITS, "high": "1.5"}]}, "not of whole numbers"),
        ({"space": [{**KIND, "values": []}]}, "no values for the categorical kind"),
        ({"minimize": "yes"}, '"minimize": true or false'),
        ({"seed": -1}, '"seed", a whole number'),
        ({"first": 1.5}, '"first", a whole number'),
        ({"count": 0}, '"count", a whole number from 1'),
        ({"history": [[["0.5"]]]}, 'entry of "history"'),
        ({"history": [[["0.5"], "3"]]}, "neither a number nor null"),
        ({"history": [[["0.5", "1"], 3]]}, "point of 2 values, but the space has 1 dimensions"),
        ({"history": [[["2"], 3]]}, '"2" for x, which is not within 0 and 1'),
        ({"pending": [["high"]]}, '"high" for x, which is not a number'),
        ({"pending": [[0.5]]}, "not a list of strings"),
    ],
)
def test_what_is_wrong_in_an_order_is_told(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OrderError) as told:
        orders.read(pack(as_json([X]) | changes))
    assert sentence in str(told.value)


def test_a_range_of_one_value_is_that_value() -> None:
    space = orders.read(pack(as_json([{**X, "low": "1"}, {**LAYERS, "high": "2"}]))).space
    assert space.size == 1
    assert space.point(space.at([0.0, 0.0])) == ("1", "1")
