"""A job whose spec changed after its first attempt: told, and not started with something else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, a_spec, plan, said, settled, status_after
from trainyard.planning import spechash
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podview import PodView


def made_with(spec: Any, pod: PodView) -> PodView:
    return dataclasses.replace(
        pod, spec_hash=spechash.spec_hash(spec), parameters_digest=spechash.parameters_digest(spec)
    )


def conditions(p: Plan) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status_after(p)["conditions"]}


def running(**fields: Any) -> ObservedJob:
    spec = a_spec(**fields)
    first = a_job(spec=spec, pods=(made_with(spec, a_pod(running=True)),))
    return dataclasses.replace(first, status=status_after(plan(first)))


def test_the_first_status_that_knows_of_an_attempt_keeps_the_hash() -> None:
    observed = running(template={"metadata": {"labels": {"a": "b"}}})
    assert observed.spec is not None
    assert observed.status["specHash"] == spechash.spec_hash(observed.spec)
    assert observed.status["attempts"][0]["parametersDigest"] == spechash.parameters_digest(observed.spec)


EDITS: list[Any] = [
    pytest.param({"template": {"metadata": {"labels": {"a": "c"}}}}, id="the template"),
    pytest.param({"affinity": {"nodeAffinity": {}}}, id="the affinity"),
    pytest.param({"parameters": {"learning_rate": 0.5}}, id="the parameters"),
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_told_and_the_running_attempt_goes_on(edit: dict[str, Any]) -> None:
    edited = dataclasses.replace(running(), spec=a_spec(**edit), generation=2)
    p = plan(edited)
    assert said(p) == ("Running", "Training")
    assert conditions(p)["SpecChanged"] == "True"
    assert not p.delete
    assert status_after(p)["observedGeneration"] == 2


@pytest.mark.parametrize("edit", EDITS)
def test_no_other_attempt_is_started_until_it_is_changed_back(edit: dict[str, Any]) -> None:
    before = running()
    assert before.spec is not None
    lost = made_with(before.spec, a_pod(exit_code=137, disrupted=True))
    edited = dataclasses.replace(before, spec=a_spec(**edit), generation=2, pods=(lost,))
    restarting = dataclasses.replace(edited, status=status_after(plan(edited)))
    p = settled(dataclasses.replace(restarting, pods=()))
    assert said(p) == ("Pending", "SpecChanged")
    assert not p.create
    back = dataclasses.replace(restarting, status=status_after(p), spec=before.spec, generation=3, pods=())
    p = plan(back, now=NOW + 60)
    assert p.create


@pytest.mark.parametrize("depth", [200, 254, 300, 1500])
def test_a_template_nested_without_end_stops_only_its_job(depth: int) -> None:
    deep: Any = {}
    for _ in range(depth):
        deep = {"a": deep}
    edit = {"template": {"spec": deep}}
    assert said(plan(a_job(**edit))) == ("Error", "InvalidSpec")
    edited = dataclasses.replace(running(), spec=a_spec(**edit), generation=2)
    assert conditions(plan(edited))["SpecChanged"] == "True"
    done = dataclasses.replace(edited, pods=(a_pod(exit_code=0),))
    assert said(plan(done)) == ("Done", "Completed")


def test_a_job_that_never_ran_is_held_to_nothing_once_its_pod_is_gone() -> None:
    spec = a_spec(affinity={"nodeAffinity": {"a": 1}})
    stuck = a_job(spec=spec, pods=(made_with(spec, a_pod(scheduled=False)),))
    waits = dataclasses.replace(stuck, status=status_after(settled(stuck)))
    assert waits.status["specHash"] == spechash.spec_hash(spec)
    mended = dataclasses.replace(waits, spec=a_spec(), generation=2)
    assert conditions(settled(mended))["SpecChanged"] == "True"
    assert plan(dataclasses.replace(mended, pods=())).create


def test_an_edit_before_the_first_write_can_be_taken_back() -> None:
    pod = made_with(a_spec(image="one"), a_pod(running=True))
    p = plan(a_job(spec=a_spec(image="two"), pods=(pod,), generation=2))
    assert conditions(p)["SpecChanged"] == "True"
    assert "specHash" not in status_after(p), "with it, the API server would refuse to change the image back"


def test_a_field_that_nothing_acts_on_is_told_while_the_job_runs() -> None:
    p = plan(dataclasses.replace(running(), unsupported="spec.suspend is not supported yet.", generation=2))
    assert said(p) == ("Running", "Training")
    ready = next(c for c in status_after(p)["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NotYetSupported")
    assert "spec.suspend" in ready["message"]


def test_what_may_be_edited_changes_nothing() -> None:
    edited = dataclasses.replace(
        running(), spec=a_spec(backoffLimit=7, displayName="other", gracePeriodSeconds=5), generation=2
    )
    assert "SpecChanged" not in conditions(plan(edited))


def test_a_field_with_its_default_is_as_good_as_none() -> None:
    assert spechash.spec_hash(a_spec(action="train")) == spechash.spec_hash(a_spec())
    assert spechash.spec_hash(a_spec(action="evaluate")) != spechash.spec_hash(a_spec())


def test_a_field_that_nothing_acts_on_keeps_the_job_waiting_and_says_so() -> None:
    p = settled(a_job(unsupported="spec.nodes is not supported yet."))
    assert said(p) == ("Pending", "NotYetSupported")
    assert not p.create
    told = conditions(p)
    assert (told["Ready"], told["Stalled"], told["Finished"]) == ("False", "True", "False")


def test_parameters_nested_without_end_stop_only_their_job() -> None:
    deep: Any = "end"
    for _ in range(400):
        deep = [deep]
    fresh = settled(a_job(parameters={"deep": deep}))
    assert said(fresh) == ("Error", "InvalidSpec")
    edited = dataclasses.replace(running(), spec=a_spec(parameters={"deep": deep}), generation=2)
    assert conditions(plan(edited))["SpecChanged"] == "True"
