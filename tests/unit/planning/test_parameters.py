"""Parameters are checked before a pod is made of them, in a sentence and in bounded time."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.builders import NOW, a_job, plan
from trainyard.planning import parameters
from trainyard.planning.context import Context
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.trainingjob import plan_training_job

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "epochs": {"type": "integer", "minimum": 1, "maximum": 1000},
        "learning_rate": {"type": "number", "exclusiveMinimum": 0, "description": "Step size."},
        "activation": {"enum": ["relu", "tanh"]},
        "layers": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 1,
            "uniqueItems": True,
        },
        "seed": {"type": ["integer", "null"]},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
        "train": {
            "type": "object",
            "required": ["num_epochs"],
            "properties": {
                "num_epochs": {"type": "integer", "description": "How long."},
                "gpu_ids": {"type": "array"},
            },
        },
    },
}
DEFAULTS = {"train": {"num_epochs": 10, "gpu_ids": [0]}}


def complaint(given: dict[str, Any], *, schema: dict[str, Any] | None = SCHEMA) -> str | None:
    return parameters.unusable(given, schema=None if schema is None else Schema(schema), defaults={})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param({"epoch": 3}, "parameters.epoch is not known: did you mean epochs?", id="a typo"),
        pytest.param(
            {"zzz": 3},
            "parameters.zzz is not known: known are activation, epochs, layers, learning_rate, name, seed, train.",
            id="a name like none",
        ),
        pytest.param({"epochs": 0}, "parameters.epochs must be at least 1, but is 0.", id="too small"),
        pytest.param(
            {"epochs": 2000}, "parameters.epochs must be at most 1000, but is 2000.", id="too large"
        ),
        pytest.param(
            {"learning_rate": 0}, "parameters.learning_rate must be above 0, but is 0.", id="at the bound"
        ),
        pytest.param(
            {"epochs": "many"},
            'parameters.epochs must be of type integer, but is "many".',
            id="a word for a number",
        ),
        pytest.param(
            {"epochs": "1.5"}, 'parameters.epochs must be of type integer, but is "1.5".', id="half an epoch"
        ),
        pytest.param(
            {"activation": "relux"},
            'parameters.activation must be one of "relu", "tanh", but is "relux".',
            id="none of those there are",
        ),
        pytest.param(
            {"layers": []}, "parameters.layers must have at least 1 items, but has 0.", id="an empty list"
        ),
        pytest.param(
            {"layers": [5, 0]}, "parameters.layers[1] must be at least 1, but is 0.", id="in a list"
        ),
        pytest.param(
            {"layers": [5, 5]},
            "parameters.layers: two items are the same; each may stand only once.",
            id="an item that stands twice",
        ),
        pytest.param({"name": "A"}, 'parameters.name must match ^[a-z]+$, but is "A".', id="a pattern"),
        pytest.param(
            {"name": "abcdefghi"}, "parameters.name must have at most 8 characters, but has 9.", id="too long"
        ),
        pytest.param(
            {"train": {}}, "parameters.train.num_epochs is missing (How long).", id="missing, in a map"
        ),
        pytest.param(
            {"name": "x" * 99_000},
            "parameters: 99011 bytes of JSON; at most 98304 fit. Put large tables into a dataset.",
            id="too large for the environment",
        ),
        pytest.param(
            {"seed": 2**70},
            "parameters cannot be written as JSON: Integer exceeds 64-bit range",
            id="a giant number",
        ),
    ],
)
def test_what_is_said_of_wrong_parameters(given: dict[str, Any], sentence: str) -> None:
    assert complaint(given) == sentence


def test_a_few_complaints_are_one_sentence_and_the_rest_is_hinted_at() -> None:
    said = complaint({"epochs": 0, "learning_rate": -1, "seed": "x", "activation": "no", "name": "B"})
    assert said == (
        "parameters.epochs must be at least 1, but is 0; parameters.learning_rate must be above 0, but is -1; "
        'parameters.activation must be one of "relu", "tanh", but is "no"; and there is more.'
    )


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="none"),
        pytest.param({"epochs": 5, "learning_rate": 0.5, "layers": [3, 4], "seed": None}, id="numbers"),
        pytest.param({"epochs": "5", "learning_rate": "1e-3", "seed": "null"}, id="numbers as strings"),
        pytest.param({"layers": "3, 4"}, id="a list as a string with commas"),
        pytest.param({"layers": "[3, 4]"}, id="a list as a string of JSON"),
        pytest.param({"layers": 3}, id="one number for a list"),
        pytest.param({"epochs": 5.0}, id="a whole number with a fraction"),
    ],
)
def test_right_parameters_pass(given: dict[str, Any]) -> None:
    assert complaint(given) is None


def test_ten_thousand_numbers_or_nulls_take_a_moment() -> None:
    schema = Schema({"properties": {"many": {"items": {"anyOf": [{"type": "number"}, {"type": "null"}]}}}})
    began = time.process_time()
    assert parameters.unusable({"many": ["0.1"] * 9_900}, schema=schema, defaults={}) is None
    assert time.process_time() - began < 3


def test_the_parameters_of_nested_objects_have_dotted_names() -> None:
    schema = Schema(
        {
            "$defs": {"Rate": {"type": "number", "x-tunable": {"type": "float", "min": 0, "max": 1}}},
            "additionalProperties": False,
            "properties": {
                "train": {
                    "anyOf": [
                        {"properties": {"optim": {"properties": {"lr": {"$ref": "#/$defs/Rate"}}}}},
                        {"type": "null"},
                    ]
                },
                "momentum": {"$ref": "#/$defs/Rate", "x-tunable": {"type": "float", "min": 0, "max": 0.9}},
            },
        }
    )
    assert schema.tunable == {
        "train.optim.lr": {"type": "float", "min": 0, "max": 1},
        "momentum": {"type": "float", "min": 0, "max": 0.9},
    }
    assert schema.knows("train.optim.lr")
    assert schema.knows("train.optim.of_any_name")
    assert not schema.knows("trian")
    assert not schema.knows("momentum.of_a_number")


def test_an_action_without_a_schema_takes_anything_that_fits() -> None:
    assert complaint({"any": [{"thing": 1}] * 5000}, schema=None) is None


def context(**action: Any) -> Context:
    runtime = Runtime(
        name="r", image="r:1", types=frozenset({"neural_network"}), actions={"train": RuntimeAction(**action)}
    )
    return Context(catalog=(runtime,), follow_logs=False)


def handed_over(given: dict[str, Any], **action: Any) -> Any:
    (pod,) = plan_training_job(a_job(parameters=given), now=NOW, context=context(**action)).create
    (text,) = [e["value"] for e in pod["spec"]["containers"][0]["env"] if e["name"] == "TRAINYARD_PARAMETERS"]
    return orjson.loads(text)


def test_the_trainer_gets_the_entrys_defaults_under_what_the_job_says_and_numbers_as_numbers() -> None:
    got = handed_over(
        {"learning_rate": "0.01", "layers": "8", "train": {"num_epochs": "20"}},
        schema=Schema(SCHEMA),
        defaults=DEFAULTS,
    )
    assert got == {"learning_rate": 0.01, "layers": [8], "train": {"num_epochs": 20, "gpu_ids": [0]}}


def test_the_trainer_gets_what_the_job_says_as_it_is_where_there_is_no_schema() -> None:
    assert handed_over({"lr": "0.01", "n": None}) == {"lr": "0.01", "n": None}


def test_wrong_parameters_end_the_job_with_the_sentence() -> None:
    status = plan(a_job(parameters={"epoch": 1}), context=context(schema=Schema(SCHEMA))).status
    assert status is not None
    assert (status["phase"], status["reason"]) == ("Error", "InvalidSpec")
    assert "parameters.epoch is not known: did you mean epochs?" in status["message"]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"layers": [{"x": i} for i in range(9000)]}, id="a large list that cannot be sorted"),
        pytest.param({f"unknown{i}": i for i in range(5000)}, id="thousands of unknown names"),
        pytest.param({"x" * 90_000: 1}, id="a name of 90,000 characters"),
        pytest.param({"layers": [[0]] * 40_000}, id="more values than anyone writes"),
        pytest.param({"activation": "x" * 1_000_000}, id="a megabyte of text"),
        pytest.param({"train": nested(2000)}, id="nested two thousand levels deep"),
    ],
)
def test_nasty_parameters_are_refused_in_a_moment(given: dict[str, Any]) -> None:
    schema = Schema(SCHEMA)
    began = time.process_time()
    said = parameters.unusable(given, schema=schema, defaults={})
    assert time.process_time() - began < 1
    assert said is not None
    assert len(said) < 2000


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        pytest.param({"type": "objekt"}, "schema.type: 'objekt' is not valid", id="a type of none"),
        pytest.param(
            {"properties": {"a": {"minimum": "1"}}}, "schema.properties.a.minimum", id="a wrong keyword"
        ),
        pytest.param(
            {"$ref": "https://example.com/schema.json"}, "points outside of the schema", id="a foreign $ref"
        ),
        pytest.param({"$ref": "#/$defs/none"}, "a $ref cannot be followed", id="a $ref to nothing"),
        pytest.param({"$ref": "#"}, "a $ref cannot be followed", id="a $ref to itself"),
    ],
)
def test_wrong_schemas_are_refused(schema: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="schema") as refused:
        Schema(schema)
    assert sentence in str(refused.value)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.integers(-(2**63), 2**63)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(given=st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), values, max_size=4))  # type: ignore[misc]  # untyped values
def test_whatever_is_given_is_refused_with_a_sentence_or_reaches_the_trainer(given: dict[str, Any]) -> None:
    schema = Schema(SCHEMA)
    said = parameters.unusable(given, schema=schema, defaults=DEFAULTS)
    if said is None:
        assert schema.complaints(parameters.settled(given, schema=schema, defaults=DEFAULTS)) == ()
    else:
        assert said.startswith("parameters")
