"""What a job waits for, and when that is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import (
    NOW,
    a_dataset,
    a_job,
    a_parent,
    a_pod,
    a_refusal,
    plan,
    said,
    settled,
    status_after,
)
from trainyard.planning.observed import Memory, ObservedJob
from trainyard.planning.podview import ContainerView

WAITING: list[Any] = [
    pytest.param(
        a_job(refusal=a_refusal(400, 'admission webhook "x" denied the request: no')),
        "PolicyRefused",
        id="takes a webhook's denial for a policy and not for a bad spec",
    ),
    pytest.param(
        a_job(refusal=a_refusal(422, "ValidatingAdmissionPolicy 'x' denied request: no")),
        "PolicyRefused",
        id="takes an admission policy's denial for a policy and not for a bad spec",
    ),
    pytest.param(
        a_job(
            pods=(a_pod(init=(ContainerView(name="fetch", state="running"),)),),
            startupTimeoutSeconds=60,
        ),
        "Starting",
        id="lets an init container take its time",
    ),
    pytest.param(
        a_job(datasets={"d": None}), "WaitingForDataset", id="waits for a dataset that is not there"
    ),
    pytest.param(
        a_job(datasets={"d": a_dataset("d", available=False)}),
        "WaitingForDataset",
        id="waits for a dataset that is not available",
    ),
    pytest.param(a_job(parentJob="base"), "WaitingForParent", id="waits for a parent that is not there"),
    pytest.param(
        a_job(parentJob="base", parent=a_parent(finished=False, succeeded=False)),
        "WaitingForParent",
        id="waits for a parent that is not done",
    ),
    pytest.param(
        a_job(former_pod=a_pod()),
        "WaitingForCleanup",
        id="waits for a pod of an earlier job of the same name",
    ),
    pytest.param(
        a_job(refusal=a_refusal(403, "exceeded quota: gpus")), "QuotaExceeded", id="tells a quota by its name"
    ),
    pytest.param(
        a_job(refusal=a_refusal(403, 'violates PodSecurity "restricted"')),
        "PolicyRefused",
        id="tells a policy's refusal by its name",
    ),
    pytest.param(
        a_job(refusal=a_refusal(409, "exists")), "PodNameTaken", id="never adopts a pod that is not its own"
    ),
    pytest.param(
        a_job(
            pods=(a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message="no GPUs"),)
        ),
        "Unschedulable",
        id="says that no node can take the pod",
    ),
    pytest.param(
        a_job(pods=(a_pod(scheduled=False, scheduling_reason="SchedulingGated"),)),
        "Queued",
        id="says that a gated pod waits in its queue",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ImagePullBackOff", "not found")),)),
        "ImagePullFailed",
        id="says that the image cannot be pulled",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("CreateContainerConfigError", "secret not found")),)),
        "ContainerConfigInvalid",
        id="says that the container cannot be created",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ContainerCreating", ""), sandbox_ready=True),)),
        "PullingImage",
        id="tells a pull from the set-up of volumes and network",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ContainerCreating", "")),)), "Starting", id="says that the pod starts"
    ),
]


@pytest.mark.parametrize(("observed", "reason"), WAITING)
def test_what_is_pending(observed: ObservedJob, reason: str) -> None:
    assert plan(observed).status is None, "a Pending reason is written only when it has stood"
    assert said(settled(observed)) == ("Pending", reason)


@pytest.mark.parametrize(("observed", "reason"), WAITING)
def test_a_pending_reason_is_written_once(observed: ObservedJob, reason: str) -> None:
    first = settled(observed)
    again = dataclasses.replace(observed, status=status_after(first), memory=first.memory)
    assert plan(again, now=NOW + 60).status is None


def test_unschedulable_never_times_out() -> None:
    pod = a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message="busy")
    observed = a_job(pods=(pod,), startupTimeoutSeconds=1)
    assert said(settled(observed)) == ("Pending", "Unschedulable")


def test_a_refused_pod_is_tried_again_after_a_while() -> None:
    observed = a_job(refusal=a_refusal(403, "exceeded quota"))
    assert not plan(observed).create
    again = plan(observed, now=NOW + 6)
    assert len(again.create) == 1
    assert again.status is None, "whether it is still refused is not known before the answer"


def test_memory_of_another_pending_reason_starts_anew() -> None:
    observed = a_job(datasets={"d": None}, memory=Memory(pending="Other", pending_since=NOW - 100))
    assert plan(observed).status is None


def test_an_edit_while_pending_is_acknowledged_at_once() -> None:
    observed = a_job(datasets={"d": None})
    first = settled(observed)
    edited = dataclasses.replace(observed, status=status_after(first), memory=first.memory, generation=2)
    assert status_after(plan(edited, now=NOW + 4))["observedGeneration"] == 2


def test_a_message_that_changes_all_the_time_is_written_twice_a_minute() -> None:
    status: dict[str, Any] = {"observedGeneration": -1}
    memory, writes = Memory(), 0
    for second in range(0, 100, 4):
        pod = a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message=f"{second} nodes")
        p = plan(a_job(pods=(pod,), status=status, memory=memory), now=NOW + second)
        memory = p.memory
        if p.status is not None:
            status, writes = dict(p.status), writes + 1
    assert writes <= 4


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("1 node(s) had untolerated taint(s)", "spec.tolerations"),
        ("2 node(s) didn't match Pod's node affinity/selector", "nodeSelector"),
        ("4 Insufficient nvidia.com/gpu", "by itself"),
    ],
)
def test_a_pod_that_no_node_takes_is_told_with_what_would_change_it(said: str, advice: str) -> None:
    noise = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful."
    pod = a_pod(
        scheduled=False,
        scheduling_reason="Unschedulable",
        scheduling_message=f"0/4 nodes are available: {said}. {noise}",
    )
    message = status_after(settled(a_job(pods=(pod,))))["message"]
    assert f"0/4 nodes are available: {said}. " in message
    assert advice in message
    assert "reemption" not in message
