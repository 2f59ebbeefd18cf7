"""A job's spec is read once, and anew when anything of it has changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from trainyard.reconcile import specs
from trainyard.reconcile.specs import JobSpecs

Json = dict[str, Any]


def a_job(uid: str = "job-uid", *, generation: int = 1, **spec: Any) -> Json:
    metadata = {"uid": uid, "generation": generation, "name": "resnet", "namespace": "team"}
    return {"metadata": metadata, "spec": {"image": "example.com/trainer:1", **spec}}


def test_a_spec_is_read_once() -> None:
    known, job = JobSpecs(), a_job(parameters={"epochs": 3})
    assert known.read(job) is known.read(copy.deepcopy(job))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(
            a_job(generation=2, parameters={"epochs": True}), id="an edit to what Python calls equal"
        ),
        pytest.param(a_job(parameters={"epochs": 1}, nodes=1), id="a default of a new CRD"),
        pytest.param(a_job("another", parameters={"epochs": 1}), id="another job of that name"),
    ],
)
def test_a_spec_that_is_another_one_is_read_anew(changed: Json) -> None:
    known = JobSpecs()
    before = known.read(a_job(parameters={"epochs": 1}))
    after = known.read(changed)
    assert after is not before
    assert after.spec is not None
    assert after.spec.parameters == changed["spec"]["parameters"]


def test_what_is_wrong_with_a_spec_is_remembered_with_it() -> None:
    known = JobSpecs()
    for _ in range(2):
        reading = known.read(a_job(nodes="many", baseModels=[{"uri": "ngc:nvidia/tao/model"}]))
        assert reading.spec is None
        assert reading.problem.startswith("spec.nodes: ")
        assert reading.unsupported is not None


def test_no_more_specs_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "_KEPT", 2)
    known = JobSpecs()
    jobs = [a_job(f"uid-{number}") for number in range(3)]
    first, second, _ = [known.read(job) for job in jobs]
    assert known.read(jobs[1]) is second
    assert known.read(jobs[0]) is not first
    known.forget("uid-1")
    assert known.read(jobs[1]) is not second
