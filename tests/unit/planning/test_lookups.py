"""What is looked up for a plan, and above all what is not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod
from trainyard.planning import lookups
from trainyard.planning.lookedup import NodeView, PodEvent
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.times import stamp

# Builders schedule a pod 65 s ago.
STUCK = a_pod(waiting=("ContainerCreating", ""))
LEAVING = {"deletion_requested_at": NOW - 60, "deletion_due_at": NOW - 30}

NOTHING: list[Any] = [
    pytest.param(a_pod(scheduled=False), id="a pod without a node"),
    pytest.param(a_pod(running=True), id="a pod that runs"),
    pytest.param(a_pod(exit_code=1), id="a pod that has ended"),
    pytest.param(
        a_pod(waiting=("ContainerCreating", ""), sandbox_ready=True), id="a pod whose image is being pulled"
    ),
    pytest.param(a_pod(init=(ContainerView(name="fetch", state="running"),)), id="a pod that fetches data"),
    pytest.param(
        a_pod(waiting=("CreateContainerConfigError", 'secret "a" not found'), sandbox_ready=True),
        id="a pod whose own state says why",
    ),
    pytest.param(
        a_pod(running=True, deletion_requested_at=NOW - 35, deletion_due_at=NOW - 5),
        id="a pod that is ending",
    ),
    pytest.param(a_pod(exit_code=143, **LEAVING), id="a pod that has ended and lingers"),
]


@pytest.mark.parametrize("pod", NOTHING)
def test_nothing_is_looked_up_for(pod: PodView) -> None:
    found = lookups.wanted(a_job(pods=(pod,)), now=NOW)
    assert not found.events_of
    assert not found.nodes


def test_a_pod_is_stuck_when_it_has_not_started_ten_seconds_after_it_got_its_node() -> None:
    young = dataclasses.replace(STUCK, scheduled_at=NOW - 4)
    assert lookups.wanted(a_job(pods=(young,)), now=NOW) == lookups.Lookups(again=6.0)
    assert lookups.wanted(a_job(pods=(young,)), now=NOW + 6).events_of == (young,)


def test_the_warnings_of_a_failed_pull_are_read_for_a_pull_secret_that_there_is_not() -> None:
    pod = a_pod(waiting=("ImagePullBackOff", "denied"), sandbox_ready=True)
    assert lookups.wanted(a_job(pods=(pod,)), now=NOW).events_of == (pod,)


DOUBTFUL: list[Any] = [
    pytest.param(a_pod(running=True, unheard_since=NOW), id="when Kubernetes has marked the pod"),
    pytest.param(a_pod(running=True, **LEAVING), id="when the end of the pod is overdue"),
    pytest.param(
        a_pod(
            running=True,
            deletion_requested_at=NOW,
            deletion_due_at=NOW + 30,
            disruption="DeletionByTaintManager",
        ),
        id="when the pod is deleted for a taint",
    ),
]


@pytest.mark.parametrize("pod", DOUBTFUL)
def test_the_node_is_looked_at(pod: PodView) -> None:
    assert lookups.wanted(a_job(pods=(pod,)), now=NOW).nodes == ("node-1",)


def test_a_pod_that_was_given_up_is_looked_after_only_while_it_is_in_the_way() -> None:
    old = a_pod(running=True, unheard_since=NOW - 900, **LEAVING)
    entries = {"attempts": [{"number": 0, "completionTime": stamp(NOW - 5)}, {"number": 1}]}
    assert lookups.wanted(a_job(pods=(old,), status=entries), now=NOW).nodes == ("node-1",)
    new = a_pod(attempt=1, running=True)
    assert lookups.wanted(a_job(pods=(old, new), status=entries), now=NOW) == lookups.Lookups()


@pytest.mark.parametrize("ended", [{"deleting": True}, {"status": {"completionTime": stamp(NOW)}}])
def test_nothing_is_looked_up_for_a_job_that_has_ended(ended: dict[str, Any]) -> None:
    pod = a_pod(running=True, unheard_since=NOW - 50)
    assert lookups.wanted(a_job(pods=(pod, STUCK), **ended), now=NOW) == lookups.Lookups()


def a_raw_pod(ready: dict[str, Any], containers_ready: str) -> dict[str, Any]:
    conditions = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-21T18:14:45Z", **ready},
        {"type": "ContainersReady", "status": containers_ready},
    ]
    return {"metadata": {"name": "digits-0-0"}, "status": {"conditions": conditions}}


def test_the_node_controllers_mark_is_told_from_what_a_kubelet_says() -> None:
    marked = PodView.from_raw(a_raw_pod({}, "True"))
    assert marked.unheard_since == 1795284885.0
    probe = {"reason": "ContainersNotReady", "message": "containers with unready status: [proxy]"}
    assert PodView.from_raw(a_raw_pod(probe, "False")).unheard_since is None
    assert PodView.from_raw(a_raw_pod({"reason": "ReadinessGatesNotReady"}, "True")).unheard_since is None


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ({"status": "True"}, "ready"),
        ({"status": "False", "reason": "KubeletNotReady"}, "not_ready"),
        ({"status": "Unknown", "reason": "NodeStatusUnknown"}, "silent"),
    ],
)
def test_a_node_is_silent_when_its_readiness_is_unknown(condition: dict[str, Any], state: str) -> None:
    raw = {
        "metadata": {"name": "n"},
        "status": {"conditions": [{"type": "Ready", "lastTransitionTime": stamp(NOW), **condition}]},
    }
    assert NodeView.from_raw(raw) == NodeView(name="n", state=state, since=NOW)  # type: ignore[arg-type]  # a literal


def test_a_warning_is_as_old_as_its_last_time_in_either_form_of_events() -> None:
    old = {"reason": "FailedMount", "message": " x\n", "lastTimestamp": stamp(NOW)}
    assert PodEvent.from_raw(old) == PodEvent(reason="FailedMount", message="x", at=NOW)
    series = {"eventTime": stamp(NOW - 60), "series": {"count": 2, "lastObservedTime": stamp(NOW)}}
    assert PodEvent.from_raw({"reason": "FailedScheduling", "lastTimestamp": None, **series}).at == NOW
