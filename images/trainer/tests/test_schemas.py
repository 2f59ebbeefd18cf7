"""The parameter schemas, which a catalogue carries copies of: whole, true to the trainer, and fit to search in."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from trainyard_trainer import parameters
from trainyard_trainer.actions import ACTIONS
from trainyard_trainer.learners import BUILDERS, CONTINUERS
from trainyard_trainer.learners.pruners import PRUNERS

FOLDER = resources.files("trainyard_trainer").joinpath("schemas")
NAMES = sorted(file.name.removesuffix(".json") for file in FOLDER.iterdir())
TYPES = sorted(BUILDERS)


def test_there_is_one_for_each_type_and_for_each_other_action_and_no_more():
    retraining = {f"retrain_{name}" for name in TYPES}
    assert set(NAMES) == {*TYPES, *retraining, *ACTIONS} - {"train", "retrain"}


def test_every_type_can_be_trained_retrained_and_pruned():
    assert set(BUILDERS) == set(CONTINUERS) == set(PRUNERS)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_closed_described_and_refers_to_nothing_outside(name):
    schema = parameters.schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]
    assert schema["additionalProperties"] is False
    assert "$ref" not in json.dumps(schema)
    for rule in schema["properties"].values():
        assert rule["description"].endswith(".")
        assert rule.get("default", ...) is not ...


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_and_what_may_be_searched_are_within_the_rules(name):
    schema = parameters.schema(name)
    valid = Draft202012Validator(schema)
    valid.validate({key: rule["default"] for key, rule in schema["properties"].items()})
    for key, rule in schema["properties"].items():
        tunable = rule.get("x-tunable", {"type": "categorical", "values": [rule["default"]]})
        assert set(tunable) <= {"type", "min", "max", "log", "values"}
        if tunable["type"] == "categorical":
            values = tunable["values"]
        else:
            assert tunable["type"] in {"float", "int"}
            assert tunable["min"] < tunable["max"]
            assert not tunable.get("log") or tunable["min"] > 0
            values = [tunable["min"], tunable["max"]]
        for value in values:
            valid.validate({key: value})


@pytest.mark.parametrize("names", [TYPES, [f"retrain_{name}" for name in TYPES]], ids=["train", "retrain"])
def test_parameters_that_types_share_mean_the_same_in_each(names):
    all_of_them = [parameters.schema(name)["properties"] for name in names]
    shared = set.union(*map(set, all_of_them)) - {
        # How long an epoch is, and what a regression predicts, is the type's own.
        *("epochs", "n_estimators", "checkpoint_every", "learning_rate", "task")
    }
    assert {"train_test_split", "random_seed"} <= shared
    for key in shared:
        said = [properties[key] for properties in all_of_them if key in properties]
        assert said.count(said[0]) == len(said), key
