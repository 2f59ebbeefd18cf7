"""MLModels as records: what is accepted as a draft and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.planning.plan import Plan
from trainyard.planning.records import ObservedRecord, plan_record

NOW = 1_800_000_000.0
Json = dict[str, Any]

DRAFTS = [
    pytest.param({"version": "1.0.0", "type": "random_forest"}, id="one with a type"),
    pytest.param(
        {"datasets": {"train": ["digits"]}, "trainingConfig": {"epochs": 3}, "training": {"enabled": False}},
        id="one whose training is off",
    ),
]


def look(spec: Json, *, status: Json | None = None, error: str = "", deleting: bool = False) -> Plan:
    observed = ObservedRecord(
        generation=3, deleting=deleting, spec=spec, spec_error=error, status=status or {}
    )
    return plan_record(observed, now=NOW)


def stated(plan: Plan) -> Json:
    assert plan.status is not None
    return dict(plan.status)


def conditions(status: Json) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


@pytest.mark.parametrize("spec", DRAFTS)
def test_a_draft_is_accepted_so_that_a_sync_with_it_is_healthy(spec: Json) -> None:
    status = stated(look(spec))
    assert (status["phase"], status["reason"], status["observedGeneration"]) == ("Pending", "Draft", 3)
    said = conditions(status)
    assert (said["Ready"], said["Reconciling"], said["Stalled"]) == ("True", "False", "False")


@pytest.mark.parametrize("spec", DRAFTS)
def test_a_second_look_writes_nothing_and_announces_nothing(spec: Json) -> None:
    assert look(spec, status=stated(look(spec))) == Plan()


def test_a_draft_model_is_in_lifecycle_draft_and_not_available() -> None:
    status = stated(look({"type": "random_forest"}))
    assert status["lifecycle"] == "draft"
    assert conditions(status)["Available"] == "False"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"training": {"enabled": True}}, "spec.training"),
        ({"monitor": {"dataset": "d"}}, "spec.monitor"),
        ({"publish": [{"name": "hub", "uri": "hf://a/b"}]}, "spec.publish"),
    ],
)
def test_what_nothing_acts_upon_is_named_and_never_silently_accepted(spec: Json, named: str) -> None:
    plan = look(spec)
    status = stated(plan)
    assert (status["phase"], status["reason"]) == ("Pending", "NotYetSupported")
    assert named in status["message"]
    said = conditions(status)
    assert (said["Ready"], said["Reconciling"], said["Stalled"]) == ("False", "False", "True")
    assert [(news.type, news.reason) for news in plan.announce] == [("Warning", "NotYetSupported")]


def test_taking_the_field_out_makes_it_a_draft_again() -> None:
    before = stated(look({"training": {"enabled": True}}))
    status = stated(look({}, status=before))
    assert status["reason"] == "Draft"
    assert conditions(status)["Stalled"] == "False"


def test_a_spec_that_cannot_be_read_is_an_error_that_says_why() -> None:
    status = stated(look({"stage": 3}, error="spec.stage: Input should be 'active'"))
    assert (status["phase"], status["reason"]) == ("Error", "InvalidSpec")
    assert status["message"].startswith("spec.stage")
    assert conditions(status)["Ready"] == "False"


def test_nothing_is_written_to_an_object_that_is_being_deleted() -> None:
    assert look({}, deleting=True) == Plan()
