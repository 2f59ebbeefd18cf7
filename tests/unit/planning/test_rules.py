"""What holds for whatever is observed and whatever a trainer leaves."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.planning.builders import (
    NOW,
    a_job,
    a_pod,
    a_spec,
    plan,
    status_after,
)
from trainyard.api.trainingjobstatus import TrainingJobStatus
from trainyard.planning import attempts
from trainyard.planning.observed import PodView

OUTPUT = {"claimName": "out"}

pods = st.builds(
    a_pod,
    attempt=st.integers(0, 3),
    running=st.booleans(),
    exit_code=st.none() | st.sampled_from([0, 1, 2, 137]),
    deletion_requested_at=st.none() | st.just(NOW - 5),
    disrupted=st.booleans(),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
)


@given(
    held=st.lists(pods, max_size=3, unique_by=lambda pod: pod.attempt).map(tuple),
    recorded=st.lists(st.integers(0, 3), unique=True),
    started=st.booleans(),
)
def test_whatever_is_observed_there_is_one_plan_that_keeps_the_rules(
    held: tuple[PodView, ...], recorded: list[int], started: bool
) -> None:
    entries = [{"number": n} | ({"startTime": "2027-01-15T08:00:00Z"} if started else {}) for n in recorded]
    observed = a_job(spec=a_spec(output=OUTPUT), pods=held, status={"attempts": entries} if entries else {})
    p = plan(observed)
    attempt = attempts.newest(observed.status, observed.pods)
    names = {pod.name for pod in held}
    for created in p.create:
        assert created["metadata"]["name"] == f"digits-{attempt}-0"
        assert created["metadata"]["name"] not in names
        assert p.status is None
    if p.status is not None:
        again = dataclasses.replace(observed, status=dict(p.status), memory=p.memory)
        twice = plan(again)
        assert twice.status is None or twice.status != p.status, "the same status is never written twice"
    assert plan(observed) == p, "planning is a pure function"


json_text = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=150), inner, max_size=70),
    max_leaves=30,
).map(json.dumps)
verdicts = st.fixed_dictionaries(
    {},
    optional={
        "status": st.text(max_size=200) | st.sampled_from(["SUCCESS", "FAILURE", "RUNNING"]),
        "complete": st.none() | st.booleans() | st.text(),
        "message": st.text(max_size=2000),
        "metrics": st.dictionaries(st.text(max_size=150), st.floats() | st.text(max_size=100), max_size=80),
        "keyMetric": st.dictionaries(st.sampled_from(["name", "value"]), st.text(max_size=150) | st.floats()),
    },
).map(json.dumps)


@given(message=st.text(max_size=300) | json_text | verdicts, code=st.sampled_from([0, 1, 2]))
def test_whatever_a_trainer_leaves_the_verdict_fits_the_schema(message: str, code: int) -> None:
    pod = a_pod(exit_code=code, message=message)
    status = status_after(plan(a_job(pods=(pod,), output=OUTPUT)))
    TrainingJobStatus.model_validate(status)
    assert status["completionTime"]
