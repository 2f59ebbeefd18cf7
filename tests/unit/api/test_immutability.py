"""Which fields may change when."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trainyard import crdgen
from trainyard.api.immutability import fixed_once_begun
from trainyard.api.jobedits import FIXED_ONCE_BEGUN, RUN_POLICY
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.kinds import KINDS

OPAQUE = {"parameters", "template", "affinity"}
ALL = {field.alias for field in TrainingJobSpec.model_fields.values()}
GUARDED = {one.field: one.rule for one in FIXED_ONCE_BEGUN}
SCHEMA = crdgen.structural(TrainingJobSpec)


def schema_of(field: str) -> dict[str, Any]:
    node = SCHEMA
    for name in field.split("."):
        node = node["properties"][name]
    return node


def test_every_field_of_a_job_is_guarded_opaque_or_run_policy() -> None:
    assert {field.split(".")[0] for field in GUARDED} | OPAQUE | RUN_POLICY | {"experiment"} == ALL


@pytest.mark.parametrize("parent", sorted({field.split(".")[0] for field in GUARDED if "." in field}))
def test_of_an_object_that_is_guarded_field_by_field_every_field_is(parent: str) -> None:
    assert {f"{parent}.{name}" for name in schema_of(parent)["properties"]} <= set(GUARDED)


@pytest.mark.parametrize("field", sorted(GUARDED))
def test_a_rule_asks_whether_the_field_is_there_before_it_reads_it(field: str) -> None:
    rule = GUARDED[field]
    assert f"has(self.spec.{field})" in rule.partition(f"self.spec.{field} == ")[0]
    assert f"has(oldSelf.spec.{field})" in rule.partition(f"self.spec.{field} == ")[0]


def test_one_rule_holds_all_of_them_and_names_the_first_that_changed() -> None:
    whole = fixed_once_begun(*FIXED_ONCE_BEGUN)
    assert whole.rule.startswith("!(has(oldSelf.status) && has(oldSelf.status.specHash)) || ")
    for field, rule in GUARDED.items():
        assert rule in whole.rule
        assert f"!{rule} ? 'spec.{field}'" in whole.message_expression


def test_what_has_not_changed_at_all_is_asked_first_and_shortly() -> None:
    """Each write of a status asks the rule; the many questions about fields are for edits."""
    rule = fixed_once_begun(*FIXED_ONCE_BEGUN).rule
    first = rule[: rule.index("((has(self.spec.action))")]
    assert "self.spec == oldSelf.spec" in first
    assert first.count("has(") <= 3


@pytest.mark.parametrize("field", sorted(GUARDED))
def test_an_empty_list_or_map_is_as_good_as_none(field: str) -> None:
    schema = schema_of(field)
    has_entries = schema.get("type") == "array" or "additionalProperties" in schema
    assert (f"oldSelf.spec.{field}.size() > 0" in GUARDED[field]) == has_entries


def test_the_parent_may_change_while_the_job_is_stopped_or_as_it_resumes() -> None:
    assert "oldSelf.spec.suspend" in GUARDED["parentJob"]
    assert "oldSelf.spec.cancel" in GUARDED["parentJob"]
    assert "(self.spec.suspend" not in GUARDED["parentJob"], "suspending a job does not free its parent"
    assert not [field for field in GUARDED if field != "parentJob" and "suspend" in GUARDED[field]]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("TrainingJob", {"experiment"}),
        ("Dataset", {"type", "format"}),
        ("Experiment", {"type", "architecture"}),
        ("MLModel", {"type", "architecture"}),
    ],
)
def test_what_a_thing_is_stays_as_it_was_created(kind: str, fields: set[str]) -> None:
    spec = next(k.spec for k in KINDS if k.kind == kind)
    extra = spec.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    rules = str(extra["x-kubernetes-validations"])
    assert set(re.findall(r"spec\.(\w+):? cannot change", rules)) == fields
