"""A node that falls silent: when that is told, when its pod is given up, and when not."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, plan, said, status_after
from trainyard.planning.lookedup import NodeView
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.times import stamp

State = Literal["ready", "not_ready", "silent", "gone", "hidden"]
STARTED = {"attempts": [{"number": 0, "startTime": stamp(NOW - 600), "node": "node-1"}]}


def the_node(state: State, *, since: float | None = NOW - 100) -> dict[str, NodeView]:
    return {"node-1": NodeView(name="node-1", state=state, since=since)}


def a_running_pod(**fields: Any) -> PodView:
    return a_pod(running=True, finalized=True, unheard_since=NOW - 100, **fields)


def a_leaving_pod(*, asked: float, grace: float = 30, **fields: Any) -> PodView:
    """Deleted so many seconds ago, as Kubernetes deletes pods of a node with a NoExecute taint."""
    return a_running_pod(
        deletion_requested_at=NOW - asked,
        deletion_due_at=NOW - asked + grace,
        disrupted=True,
        disrupted_at=NOW - asked,
        disruption="DeletionByTaintManager",
        **fields,
    )


def a_started_job(pod: PodView, nodes: dict[str, NodeView] | None = None, **fields: Any) -> ObservedJob:
    return a_job(pods=(pod,), status=STARTED, nodes=nodes, **fields)


def test_the_loss_is_told_while_the_pod_still_reads_as_running() -> None:
    p = plan(a_started_job(a_running_pod(), the_node("silent")))
    assert said(p) == ("Running", "NodeLost")
    message = status_after(p)["message"]
    assert "node-1 has told nothing since" in message
    assert stamp(NOW - 100) in message
    assert "last checkpoint" in message
    (told,) = p.announce
    assert (told.type, told.reason) == ("Warning", "NodeLost")
    assert not p.delete
    assert not p.create


def test_it_is_told_once_and_taken_back_when_the_node_is_back() -> None:
    lost = plan(a_started_job(a_running_pod(), the_node("silent")))
    again = a_job(pods=(a_running_pod(),), status=status_after(lost), nodes=the_node("silent"))
    assert plan(again, now=NOW + 30).status is None
    back = a_job(pods=(a_pod(running=True),), status=status_after(lost))
    assert said(plan(back)) == ("Running", "Training")


@pytest.mark.parametrize("state", ["ready", "not_ready"])
def test_a_node_that_speaks_is_not_lost_whatever_it_says(state: State) -> None:
    assert said(plan(a_started_job(a_running_pod(), the_node(state)))) == ("Running", "Training")


def test_where_nodes_may_not_be_looked_at_the_mark_on_the_pod_counts() -> None:
    hidden = the_node("hidden", since=None)
    assert said(plan(a_started_job(a_running_pod(), hidden))) == ("Running", "NodeLost")
    unmarked = dataclasses.replace(a_running_pod(), unheard_since=None)
    assert said(plan(a_started_job(unmarked, hidden))) == ("Running", "Training")


GIVEN_UP: list[Any] = [
    pytest.param(a_leaving_pod(asked=29), the_node("silent"), False, id="not within the deletion's grace"),
    pytest.param(a_leaving_pod(asked=31), the_node("silent"), True, id="after the deletion's grace"),
    pytest.param(
        a_leaving_pod(asked=31, grace=600),
        the_node("silent"),
        True,
        id="after half a minute when the node was silent before the deletion, however long its grace",
    ),
    pytest.param(
        a_leaving_pod(asked=200, grace=600),
        the_node("silent"),
        False,
        id="only after its whole grace when the node may have heard of the deletion",
    ),
    pytest.param(a_leaving_pod(asked=31), the_node("gone", since=None), True, id="when the node is gone"),
    pytest.param(a_leaving_pod(asked=900), the_node("ready"), False, id="never while the node is ready"),
    pytest.param(a_leaving_pod(asked=900), the_node("not_ready"), False, id="never while the node speaks"),
    pytest.param(a_leaving_pod(asked=900), {}, False, id="never unseen"),
    pytest.param(
        a_leaving_pod(asked=89),
        the_node("hidden", since=None),
        False,
        id="not at once where nodes are hidden",
    ),
    pytest.param(
        a_leaving_pod(asked=91),
        the_node("hidden", since=None),
        True,
        id="a minute later where nodes are hidden",
    ),
    pytest.param(a_running_pod(), the_node("silent"), False, id="never before it is deleted"),
]


@pytest.mark.parametrize(("pod", "nodes", "given_up"), GIVEN_UP)
def test_a_pod_is_given_up(pod: PodView, nodes: dict[str, NodeView], given_up: bool) -> None:
    p = plan(a_started_job(pod, nodes))
    entries = status_after(p)["attempts"] if p.status is not None else STARTED["attempts"]
    assert len(entries) == (2 if given_up else 1)
    assert not p.create, "the next attempt is recorded before its pod is made"
    assert bool(p.release) is given_up, "the finalizer goes with the verdict and not before"


def test_the_attempt_ends_as_lost_and_counts_for_nothing() -> None:
    status = status_after(plan(a_started_job(a_leaving_pod(asked=40), the_node("silent"))))
    first, second = status["attempts"]
    assert (first["reason"], first["counted"]) == ("NodeLost", False)
    assert first["completionTime"]
    assert second["number"] == 1
    assert (status["phase"], status["reason"]) == ("Running", "NodeLost")
    assert "failures" not in status


def test_the_next_attempt_is_made_beside_a_pod_that_was_given_up_and_never_beside_another() -> None:
    left = a_leaving_pod(asked=40)
    lost = status_after(plan(a_started_job(left, the_node("silent"))))
    released = dataclasses.replace(left, finalized=False)
    observed = a_job(pods=(released,), status=lost, nodes=the_node("silent"))
    (pod,) = plan(observed, now=NOW + 60).create
    assert pod["metadata"]["name"] == "digits-1-0"
    back = a_job(pods=(released,), status=lost, nodes=the_node("ready"))
    assert not plan(back, now=NOW + 60).create, "a node that is back ends it by itself"


def test_while_it_is_being_deleted_the_message_says_when_it_is_given_up() -> None:
    p = plan(a_started_job(a_leaving_pod(asked=10), the_node("silent")))
    assert said(p) == ("Running", "NodeLost")
    assert f"given up at {stamp(NOW + 20)}" in status_after(p)["message"]


def test_a_pod_that_never_started_on_a_lost_node_is_given_up_as_well() -> None:
    pod = dataclasses.replace(a_leaving_pod(asked=40), trainer=None, phase="Pending")
    status = status_after(plan(a_job(pods=(pod,), nodes=the_node("silent"))))
    assert [entry["number"] for entry in status["attempts"]] == [0, 1]


def test_a_pause_ends_though_the_node_is_lost() -> None:
    stop = {"cause": "Suspend", "time": stamp(NOW - 40)}
    observed = a_job(
        pods=(a_leaving_pod(asked=40),),
        status={**STARTED, "stop": stop},
        nodes=the_node("silent"),
        suspend=True,
    )
    status = status_after(plan(observed))
    assert (status["phase"], status["reason"]) == ("Pending", "Paused")
    assert status["stop"]["endTime"]


def test_while_a_pause_waits_for_a_lost_node_it_says_so() -> None:
    stop = {"cause": "Suspend", "time": stamp(NOW - 10)}
    observed = a_job(
        pods=(a_leaving_pod(asked=10),),
        status={**STARTED, "stop": stop},
        nodes=the_node("silent"),
        suspend=True,
    )
    status = status_after(plan(observed))
    assert status["reason"] == "Pausing"
    assert "node-1 has told nothing" in status["message"]
