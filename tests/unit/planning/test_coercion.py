"""Strings become the numbers, booleans and lists that a schema asks for, through every way a schema can say so."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.planning.parameters import Schema, settled, unusable

WHERE_NUMBERS_STAND = {
    "$defs": {
        "Rate": {"type": "number", "exclusiveMinimum": 0},
        "Optimizer": {"type": "object", "properties": {"lr": {"$ref": "#/$defs/Rate"}}},
        "Tree": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
            },
        },
    },
    "type": "object",
    "properties": {
        "referred": {"$ref": "#/$defs/Rate"},
        "optional": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "one_of": {"oneOf": [{"type": "number", "minimum": 0}, {"type": "boolean"}]},
        "all_of": {"allOf": [{"$ref": "#/$defs/Rate"}, {"maximum": 1}]},
        "optimizer": {"anyOf": [{"$ref": "#/$defs/Optimizer"}, {"type": "null"}]},
        "pair": {"prefixItems": [{"type": "string"}, {"type": "number"}], "items": {"type": "integer"}},
        "extra": {"type": "object", "additionalProperties": {"type": "number"}},
        "pattern": {"patternProperties": {"^lr_": {"type": "number"}}, "additionalProperties": False},
        "either": {"type": ["integer", "array"], "items": {"type": "integer"}},
        "list_or_number": {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "number"}]},
        "choice": {"enum": ["auto", 0.1, 5]},
        "text": {"anyOf": [{"type": "string"}, {"type": "number"}]},
        "flag": {"type": "boolean"},
        "seed": {"type": "integer"},
        "tree": {"$ref": "#/$defs/Tree"},
        "solver": {
            "oneOf": [
                {
                    "properties": {"kind": {"const": "sgd"}, "momentum": {"type": "number"}},
                    "required": ["momentum"],
                    "additionalProperties": False,
                },
                {
                    "properties": {"kind": {"const": "adam"}, "beta": {"type": "number"}},
                    "required": ["beta"],
                    "additionalProperties": False,
                },
            ]
        },
        "schedule": {
            "properties": {"kind": {"type": "string"}},
            "if": {"properties": {"kind": {"const": "step"}}},
            "then": {"properties": {"gamma": {"type": "number"}}},
        },
    },
    "dependentSchemas": {"flag": {"properties": {"when_flagged": {"type": "number"}}}},
}


@pytest.mark.parametrize(
    ("given", "got"),
    [
        pytest.param({"referred": "0.1"}, {"referred": 0.1}, id="behind a reference"),
        pytest.param({"optional": "0.1"}, {"optional": 0.1}, id="a number or null, as pydantic writes it"),
        pytest.param({"optional": "null"}, {"optional": None}, id="null as a string"),
        pytest.param({"one_of": "0.1"}, {"one_of": 0.1}, id="one of"),
        pytest.param({"one_of": "true"}, {"one_of": True}, id="one of, a boolean"),
        pytest.param({"all_of": "0.1"}, {"all_of": 0.1}, id="all of"),
        pytest.param({"optimizer": {"lr": "0.1"}}, {"optimizer": {"lr": 0.1}}, id="in an object or null"),
        pytest.param({"pair": ["0.1", "0.1", "7"]}, {"pair": ["0.1", 0.1, 7]}, id="by the place in a list"),
        pytest.param({"extra": {"any": "0.1"}}, {"extra": {"any": 0.1}}, id="under any name"),
        pytest.param({"pattern": {"lr_a": "0.1"}}, {"pattern": {"lr_a": 0.1}}, id="under names like this"),
        pytest.param({"either": "[64, 32]"}, {"either": [64, 32]}, id="a list where a number could stand"),
        pytest.param({"either": "64"}, {"either": 64}, id="a number where a list could stand"),
        pytest.param({"list_or_number": "0.1"}, {"list_or_number": 0.1}, id="a number before a list"),
        pytest.param({"list_or_number": "0.1, 2"}, {"list_or_number": [0.1, 2]}, id="a list with commas"),
        pytest.param({"choice": "0.1"}, {"choice": 0.1}, id="one of values"),
        pytest.param({"choice": "auto"}, {"choice": "auto"}, id="a word among values"),
        pytest.param({"text": "0.1"}, {"text": "0.1"}, id="where a string may stand it stays one"),
        pytest.param({"flag": "true"}, {"flag": True}, id="a boolean"),
        pytest.param({"seed": "9007199254740993"}, {"seed": 9007199254740993}, id="more than a float holds"),
        pytest.param(
            {"solver": {"kind": "adam", "beta": "0.1"}},
            {"solver": {"kind": "adam", "beta": 0.1}},
            id="in the one of several objects that is meant",
        ),
        pytest.param(
            {"schedule": {"kind": "step", "gamma": "0.1"}},
            {"schedule": {"kind": "step", "gamma": 0.1}},
            id="where a condition asks for it",
        ),
        pytest.param(
            {"flag": True, "when_flagged": "0.1"},
            {"flag": True, "when_flagged": 0.1},
            id="where another parameter asks for it",
        ),
        pytest.param(
            {"tree": {"left": {"left": {"value": "0.1"}}}},
            {"tree": {"left": {"left": {"value": 0.1}}}},
            id="in a schema that refers to itself",
        ),
    ],
)
def test_a_string_becomes_what_the_schema_asks_for_wherever_it_says_so(
    given: dict[str, Any], got: dict[str, Any]
) -> None:
    assert unusable(given, schema=Schema(WHERE_NUMBERS_STAND), defaults={}) is None
    assert settled(given, schema=Schema(WHERE_NUMBERS_STAND), defaults={}) == got


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param(
            {"optional": "fast"},
            'parameters.optional must be of type number or null, but is "fast".',
            id="a word for a number or null",
        ),
        pytest.param(
            {"optimizer": {"lr": "-1"}},
            "parameters.optimizer.lr must be above 0, but is -1.",
            id="in an object or null, of what is wrong in the object",
        ),
        pytest.param(
            {"pattern": {"lr_a": 1, "rl": 2}},
            "parameters.pattern.rl is not known: this action takes none; remove it.",
            id="the name that no pattern takes",
        ),
        pytest.param(
            {"either": "[" * 300 + "]" * 300},
            "parameters.either must be of type integer or array, but is",
            id="a list nested too deep to be written again",
        ),
        pytest.param(
            {"list_or_number": "[" + "1," * 20_000 + "1]"},
            "parameters: more than 10000 values.",
            id="a list of too many in a string",
        ),
    ],
)
def test_what_is_said_where_a_schema_gives_a_choice(given: dict[str, Any], sentence: str) -> None:
    assert str(unusable(given, schema=Schema(WHERE_NUMBERS_STAND), defaults={})).startswith(sentence)
