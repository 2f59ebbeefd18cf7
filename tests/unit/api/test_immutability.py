"""Which fields may change when."""

from __future__ import annotations

import re

import pytest

from trainyard.api.trainingjob import IMMUTABLE_ONCE_BEGUN, RUN_POLICY, TrainingJobSpec
from trainyard.kinds import KINDS

OPAQUE = {"parameters", "template", "affinity"}
ALL = {field.alias for field in TrainingJobSpec.model_fields.values()}
GUARDED = {message.split(":")[0].removeprefix("spec."): rule for rule, message in IMMUTABLE_ONCE_BEGUN}


def test_every_field_of_a_job_is_guarded_opaque_or_run_policy() -> None:
    assert set(GUARDED) | OPAQUE | RUN_POLICY | {"experiment"} == ALL


@pytest.mark.parametrize("field", sorted(GUARDED))
def test_a_rule_asks_whether_the_field_is_there_before_it_reads_it(field: str) -> None:
    rule = GUARDED[field]
    assert f"has(self.spec.{field}) == has(oldSelf.spec.{field})" in rule
    assert f"!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field}" in rule
    assert "has(oldSelf.status) && has(oldSelf.status.specHash)" in rule


def test_the_parent_may_change_while_the_job_is_stopped() -> None:
    assert "self.spec.suspend" in GUARDED["parentJob"]
    assert "self.spec.cancel" in GUARDED["parentJob"]
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
