"""Default parameters that a job's Datasets bring: below the job's own, over the entry's, and checked like them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tests.unit.planning.builders import CONTEXT, a_dataset, a_job, a_spec, env_of, plan, said, status_after
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import Runtime, RuntimeAction

SCHEMA = Schema(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "epochs": {"type": "integer", "minimum": 1},
            "rate": {"type": "number"},
            "layers": {"type": "object"},
        },
    }
)
CHECKED = dataclasses.replace(
    CONTEXT,
    catalog=(
        Runtime(
            name="reference",
            image="trainer:1",
            types=frozenset({"neural_network"}),
            actions={
                "train": RuntimeAction(
                    schema=SCHEMA, defaults={"epochs": 1, "rate": 0.1, "layers": {"a": 1, "b": 1}}
                ),
                "evaluate": RuntimeAction(),
            },
        ),
    ),
)


def given(action: str, parameters: dict[str, Any], **brought: dict[str, Any]) -> dict[str, Any]:
    """What the trainer gets, by the datasets' names and what they bring."""
    job = a_job(
        spec=a_spec(action=action, parameters=parameters, datasets={"train": list(brought)}),
        datasets={name: a_dataset(name, action_parameters=found) for name, found in brought.items()},
    )
    (pod,) = plan(job, context=CHECKED).create
    return dict(json.loads(env_of(pod)["TRAINYARD_PARAMETERS"]))


def test_they_are_below_the_jobs_own_and_over_the_entrys() -> None:
    brought = {"train": {"epochs": "20", "rate": "0.5", "layers": {"b": 2}}}
    assert given("train", {"rate": 0.9}, one=brought) == {
        "epochs": 20,
        "rate": 0.9,
        "layers": {"a": 1, "b": 2},
    }


def test_of_two_datasets_the_one_named_first_decides() -> None:
    found = given("train", {}, one={"train": {"epochs": 2}}, two={"train": {"epochs": 3, "rate": 0.3}})
    assert (found["epochs"], found["rate"]) == (2, 0.3)


def test_those_of_another_action_are_left_out() -> None:
    assert given("evaluate", {}, one={"train": {"epochs": 2}}) == {}


def test_a_wrong_one_is_told_with_the_dataset_that_brings_it() -> None:
    job = a_job(
        datasets={"one": a_dataset("one", action_parameters={"train": {"epoch": 2}})},
        spec=a_spec(datasets={"train": ["one"]}),
    )
    p = plan(job, context=CHECKED)
    assert said(p) == ("Error", "InvalidSpec")
    assert (
        "actionParameters.train of Dataset one: parameters.epoch is not known" in status_after(p)["message"]
    )
