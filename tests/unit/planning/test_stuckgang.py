"""What a group of pods waits for. The texts are those of real schedulers, as found by trying."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import a_job, a_pod, a_spec, said, settled, status_after
from trainyard.planning.podview import PodView
from trainyard.planning.stuckgang import waits_as_a_whole

REJECTED = "0/1 nodes are available: 1 optimistic rejection in PostFilter."
LACKING = (
    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/3 nodes are "
    "available: 3 No preemption victims found for incoming pod., PodGroup team-a/digits-0 gets rejected due to Pod "
    "digits-0-1 is unschedulable even after PostFilter"
)
TAINTED = (
    "0/3 nodes are available: 3 node(s) had untolerated taint {team: b}. no new claims to deallocate, preemption: 0/3 "
    "nodes are available: 3 Preemption is not helpful for scheduling., PodGroup team-a/digits-0 gets rejected due to "
    "Pod digits-0-0 is unschedulable even after PostFilter"
)
NOT_READY = "pod group is not ready, 4 Pending, 4 minAvailable; Pending: 3 Schedulable, 1 Unschedulable"


def gang(*messages: str, reason: str = "Unschedulable", **fields: Any) -> tuple[PodView, ...]:
    """The pods of attempt 0, by what the scheduler says of each."""
    return tuple(
        dataclasses.replace(
            a_pod(scheduled=False, scheduling_reason=reason, scheduling_message=message, **fields),
            name=f"digits-0-{rank}",
            uid=f"pod-{rank}",
            rank=rank,
        )
        for rank, message in enumerate(messages)
    )


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        pytest.param(
            [REJECTED, LACKING, LACKING, REJECTED],
            "nvidia.com/gpu on 3 of 3 nodes",
            id="what one of them was told to lack",
        ),
        pytest.param([TAINTED] * 4, "spec.tolerations", id="a taint that none of them tolerates"),
        pytest.param([REJECTED] * 4, "trainyard pause", id="no cause at all"),
        pytest.param(
            ["0/3 nodes are unavailable: 3 Insufficient cpu.", NOT_READY, NOT_READY, NOT_READY],
            "cpu on 3 nodes",
            id="what Volcano lacks",
        ),
        pytest.param(
            [*["pre-filter pod digits-0-0 cannot proceed due to gated pods in the same PodGroup"] * 4],
            "all its 4 pods at once",
            id="others that are held back",
        ),
    ],
)
def test_a_group_waits_as_a_whole_and_says_for_what(messages: list[str], words: str) -> None:
    p = settled(a_job(spec=a_spec(nodes=4), pods=gang(*messages)))
    assert said(p) == ("Pending", "Unschedulable")
    message = status_after(p)["message"]
    assert "PodGroup digits-0 waits until there is room for all its 4 pods at once. " in message
    assert words in message
    assert "rejected" not in message
    assert "reemption" not in message


def test_the_message_is_the_same_whichever_pod_was_told_the_cause() -> None:
    one = waits_as_a_whole(gang(LACKING, REJECTED, REJECTED))
    other = waits_as_a_whole(gang(REJECTED, REJECTED, LACKING.replace("digits-0-1", "digits-0-2")))
    assert one == other


def test_pods_that_volcano_could_bind_wait_with_the_others() -> None:
    found = waits_as_a_whole(gang(*[NOT_READY] * 4, reason="Schedulable"))
    assert found is not None
    assert found.reason == "Unschedulable"


@pytest.mark.parametrize("text", ["0/1 nodes are available: PodGroup not found.", "can not find pod group"])
def test_a_group_that_is_gone_is_made_again_by_a_pause(text: str) -> None:
    found = waits_as_a_whole(gang(text, text))
    assert found is not None
    assert "PodGroup digits-0" in found.message
    assert "trainyard pause digits" in found.message


def test_pods_of_which_some_are_bound_are_told_of_one_by_one() -> None:
    first, second = gang(REJECTED, LACKING)
    assert waits_as_a_whole((dataclasses.replace(first, scheduled=True), second)) is None


def test_pods_of_a_scheduler_without_groups_are_told_of_one_by_one() -> None:
    lacking = LACKING.partition(", PodGroup")[0]
    assert waits_as_a_whole(gang(lacking, lacking)) is None
    p = settled(a_job(spec=a_spec(nodes=2), pods=gang(lacking, lacking)))
    assert status_after(p)["message"].startswith("No node can take pod digits-0-0")
