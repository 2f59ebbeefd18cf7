"""Which changes of a pod its job has to know of at once, and which can wait for the next one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_pod, an_agent
from trainyard.planning import podchange
from trainyard.planning.podview import ContainerView, PodView

MADE = a_pod(scheduled=False, finalized=True)


def a_pod_of_ours(**fields: Any) -> PodView:
    return a_pod(**{"finalized": True, **fields})


def fetching(**state: Any) -> tuple[ContainerView, ...]:
    return (ContainerView(name="trainyard-fetch", **state),)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(a_pod_of_ours(), id="it has a node"),
        pytest.param(a_pod_of_ours(waiting=("ContainerCreating", "")), id="its image is being pulled"),
        pytest.param(a_pod_of_ours(waiting=("PodInitializing", "")), id="its containers come one by one"),
        pytest.param(a_pod_of_ours(init=fetching(state="running")), id="it fetches what it begins with"),
        pytest.param(
            a_pod_of_ours(init=fetching(state="terminated", exit_code=0), sidecars=an_agent()),
            id="its agent runs",
        ),
    ],
)
def test_a_pod_that_comes_up_can_wait_for_its_next_step(after: PodView) -> None:
    assert podchange.comes_up(MADE, after)
    assert not podchange.has_ended(after)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(a_pod_of_ours(running=True), id="it runs"),
        pytest.param(a_pod_of_ours(exit_code=0), id="it has ended"),
        pytest.param(
            a_pod_of_ours(scheduled=False, scheduling_reason="Unschedulable"), id="no node has room for it"
        ),
        pytest.param(a_pod_of_ours(waiting=("ImagePullBackOff", "no such image")), id="it is stuck"),
        pytest.param(
            a_pod_of_ours(init=fetching(state="terminated", exit_code=1)), id="what it needs was not fetched"
        ),
        pytest.param(a_pod_of_ours(deletion_requested_at=NOW), id="somebody deletes it"),
        pytest.param(a_pod_of_ours(disrupted=True), id="it is evicted"),
        pytest.param(a_pod_of_ours(unheard_since=NOW), id="its node is silent"),
        pytest.param(a_pod(), id="somebody has taken our finalizer off"),
        pytest.param(a_pod_of_ours(watched=False), id="somebody has taken its labels off"),
        pytest.param(a_pod_of_ours(uid="another"), id="it is another pod of that name"),
    ],
)
def test_anything_else_is_looked_at_at_once(after: PodView) -> None:
    assert not podchange.comes_up(MADE, after)


def test_a_pod_that_was_not_there_is_looked_at_at_once() -> None:
    assert not podchange.comes_up(None, a_pod_of_ours())


@pytest.mark.parametrize(
    ("pod", "urgent"),
    [
        pytest.param(a_pod_of_ours(exit_code=0), True, id="its trainer has ended"),
        pytest.param(a_pod_of_ours(phase="Failed"), True, id="it has ended without its trainer"),
        pytest.param(a_pod_of_ours(running=True, deletion_requested_at=NOW), True, id="it is being deleted"),
        pytest.param(a_pod(exit_code=0), False, id="its end is written down"),
        pytest.param(a_pod_of_ours(running=True), False, id="it runs"),
    ],
)
def test_somebody_waits_for_what_becomes_of_an_end(pod: PodView, urgent: bool) -> None:
    assert podchange.has_ended(pod) is urgent


def test_a_pod_that_is_as_it_was_or_was_released_says_nothing() -> None:
    before = a_pod_of_ours(exit_code=0)
    released = dataclasses.replace(before, finalized=False)
    assert podchange.says_nothing(before, dataclasses.replace(before))
    assert podchange.says_nothing(before, released)
    assert not podchange.says_nothing(released, before)
    assert not podchange.says_nothing(before, dataclasses.replace(released, deletion_requested_at=NOW))
