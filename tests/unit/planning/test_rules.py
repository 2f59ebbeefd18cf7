"""What holds for whatever is observed and whatever a trainer leaves."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given, settings
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
from trainyard.planning.lookedup import NodeView
from trainyard.planning.podview import PodView

OUTPUT = {"claimName": "out"}

pods = st.builds(
    a_pod,
    attempt=st.integers(0, 3),
    running=st.booleans(),
    exit_code=st.none() | st.sampled_from([0, 1, 2, 137]),
    deletion_requested_at=st.none() | st.sampled_from([NOW - 5, NOW - 500]),
    deletion_due_at=st.just(NOW - 100),
    disrupted=st.booleans(),
    disruption=st.sampled_from(["", "PreemptionByScheduler", "DeletionByTaintManager", "DeletionByPodGC"]),
    unheard_since=st.none() | st.just(NOW - 300),
    finalized=st.booleans(),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
)


nodes = st.sampled_from(["ready", "not_ready", "silent", "gone", "hidden"]).map(
    lambda state: {"node-1": NodeView(name="node-1", state=state, since=NOW - 300)}
)


@settings(deadline=None)
@given(
    held=st.lists(pods, max_size=3, unique_by=lambda pod: pod.attempt).map(tuple),
    recorded=st.lists(st.integers(0, 3), unique=True),
    started=st.booleans(),
    seen=st.just({}) | nodes,
)
def test_whatever_is_observed_there_is_one_plan_that_keeps_the_rules(
    held: tuple[PodView, ...], recorded: list[int], started: bool, seen: dict[str, NodeView]
) -> None:
    entries = [{"number": n} | ({"startTime": "2027-01-15T08:00:00Z"} if started else {}) for n in recorded]
    observed = a_job(
        spec=a_spec(output=OUTPUT), pods=held, status={"attempts": entries} if entries else {}, nodes=seen
    )
    p = plan(observed)
    attempt = attempts.newest(observed.status, observed.pods)
    names = {pod.name for pod in held}
    for created in p.create:
        assert created["metadata"]["name"] == f"digits-{attempt}-0"
        assert created["metadata"]["name"] not in names
        assert p.status is None
        assert not any(speaks(pod, seen) for pod in held), "two attempts never run beside each other"
    if p.status is not None:
        again = dataclasses.replace(observed, status=dict(p.status), memory=p.memory)
        twice = plan(again)
        assert twice.status is None or twice.status != p.status, "the same status is never written twice"
    assert plan(observed) == p, "planning is a pure function"


def speaks(pod: PodView, nodes: dict[str, NodeView]) -> bool:
    """Whether something of a pod may run on a node that is not known to be lost."""
    node = nodes.get(pod.node or "")
    lost = node is not None and (
        node.state in ("silent", "gone") or (node.state == "hidden" and pod.unheard_since)
    )
    return not pod.over and not lost


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


@settings(deadline=None)
@given(message=st.text(max_size=300) | json_text | verdicts, code=st.sampled_from([0, 1, 2]))
def test_whatever_a_trainer_leaves_the_verdict_fits_the_schema(message: str, code: int) -> None:
    pod = a_pod(exit_code=code, message=message)
    status = status_after(plan(a_job(pods=(pod,), output=OUTPUT)))
    TrainingJobStatus.model_validate(status)
    assert status["completionTime"]
