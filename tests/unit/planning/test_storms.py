"""Whatever happens to a job, and in whatever order: when it calms down, the job is as its last instruction asks.

Separate from `test_transitions` because no row is known beforehand: hypothesis draws what people, nodes and the end of
the operator itself do, and shrinks what breaks an invariant.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.story import Story
from trainyard.planning.observed import Memory

# NB: some more often than others, so that most jobs come to run and most stops are taken back.
WISHES = ("suspend", "resume", "resume", "resume", "cancel", "uncancel", "uncancel", "uncancel", "retry")
NODES = (
    *["starts"] * 6,
    *["told to end"] * 4,
    "scheduled",
    "runs",
    "says",
    "exit 0",
    "exit 1",
    "exit 2",
    "drained",
    "deleted",
    "told to end",
    "vanishes",
)
OPERATOR = ("looks", "looks", "settles", "settles", "settles", "dies", "minutes pass")

storms = st.lists(st.sampled_from((*WISHES, *NODES, *OPERATOR)), max_size=40)
policies = st.fixed_dictionaries(
    {
        "backoffLimit": st.integers(0, 2),
        "action": st.sampled_from(["train", "evaluate"]),
        "activeDeadlineSeconds": st.sampled_from([None, 100]),
        "progressTimeoutSeconds": st.sampled_from([0, 100]),
    }
)


def happens(story: Story, event: str) -> None:
    """One event, where it can happen at all."""
    pods = story.job.pods
    pod = story.pod if pods else None
    alive = pod is not None and not pod.judgeable
    running = alive and pod is not None and pod.trainer is not None and pod.trainer.state == "running"
    match event:
        case "suspend" | "resume":
            story.edit(suspend=event == "suspend")
        case "cancel" | "uncancel":
            story.edit(cancel=event == "cancel")
        case "retry":
            story.retry(at=str(story.now))
        case "scheduled" if alive and pod is not None and not pod.scheduled and not pod.deletion_requested_at:
            story.pod_is_scheduled()
        case "runs" if (
            alive and pod is not None and pod.scheduled and not running and not pod.deletion_requested_at
        ):
            story.pod_runs()
        case "starts":
            story.passes(31).settle()
            if story.job.pods and not story.pod.judgeable and not story.pod.deletion_requested_at:
                story.pod_runs().settle()
        case "says" if running:
            story.trainer_says(epoch=int(story.now) % 1000, of=1000, checkpoint=True)
        case "exit 0" | "exit 1" | "exit 2" if running:
            story.passes(2).pod_ends(int(event[-1]))
        case "drained" if running:
            story.passes(2).pod_is_evicted()
        case "deleted" if alive and pod is not None and not pod.deletion_requested_at:
            story.pod_is_deleted()
        case "told to end" if alive and pod is not None and pod.scheduled and pod.deletion_requested_at:
            story.passes(2).pod_ends(143)
        case "vanishes" if pod is not None and not pod.finalized:
            story.pod_vanishes()
        case "looks":
            story.look()
        case "settles":
            story.settle()
        case "dies":
            story.job = dataclasses.replace(story.job, memory=Memory(), logs={})
        case "minutes pass":
            story.passes(120)


def check(story: Story) -> None:
    """What holds at any moment."""
    holding = [p for p in story.job.pods if not p.over]
    assert len(holding) <= 1, f"two pods at once: {[p.name for p in holding]}"
    status = story.status
    entries = status.get("callbacks") or []
    ids = [entry["id"] for entry in entries]
    assert len(ids) == len(set(ids))
    numbers = [entry["number"] for entry in status.get("attempts") or []]
    assert numbers == sorted(set(numbers))
    ended = [e for e in status.get("attempts") or [] if e.get("completionTime")]
    assert all(e.get("reason") and e.get("message") for e in ended)
    assert bool(status.get("completionTime")) == (status.get("phase") in ("Done", "Error", "Canceled"))
    stop = status.get("stop") or {}
    if stop.get("endTime") and not status.get("completionTime"):
        assert status["reason"] == "Paused"


def calm(story: Story) -> None:
    """Nothing happens any more but what nodes do with pods by themselves."""
    for _ in range(40):
        story.settle()
        check(story)
        holding = [p for p in story.job.pods if not p.over]
        if not holding:
            if story.status.get("completionTime") or story.status.get("reason") == "Paused":
                return
            story.passes(60)
            continue
        pod = holding[0]
        assert pod is story.pod
        if pod.deletion_requested_at is not None:
            story.passes(2).pod_ends(143)
        elif not pod.scheduled:
            story.pod_is_scheduled()
        elif pod.trainer is None:
            story.pod_runs()
        else:
            story.passes(2).pod_ends(0)
    raise AssertionError(f"it never comes to an end: {story.phases[-8:]}")


@settings(max_examples=400, deadline=None)
@given(storm=storms, policy=policies)
def test_after_a_storm_the_job_is_as_its_last_instruction_asks(
    storm: list[str], policy: dict[str, Any]
) -> None:
    story = Story(output={"claimName": "models"}, **{k: v for k, v in policy.items() if v is not None})
    for event in storm:
        happens(story, event)
        check(story)
    calm(story)
    phase = story.status["phase"]
    if phase in ("Done", "Error"):
        pass  # its trainer's own end, before it could be stopped, or a limit
    elif story.fields.get("cancel"):
        assert phase == "Canceled"
    elif story.fields.get("suspend"):
        assert (phase, story.status["reason"]) in (("Pending", "Paused"), ("Canceled", "CanceledByUser"))
    else:
        assert phase == "Canceled", story.phases
    if phase == "Canceled" and not story.fields.get("cancel"):
        assert story.fields["action"] == "evaluate", (
            "an action that can resume goes on when cancel is taken back"
        )
    assert story.condition("Suspended") == "True" or story.status["reason"] != "Paused"
    assert not [p for p in story.job.pods if p.finalized], "a pod is still held"


@settings(max_examples=200, deadline=None)
@given(storm=storms)
def test_a_pause_and_its_end_are_told_in_turn_and_each_once(storm: list[str]) -> None:
    story = Story(output={"claimName": "models"}, progressTimeoutSeconds=0)
    for event in storm:
        happens(story, event)
    calm(story)
    told = [event for event in story.told if event != "Progress"]
    # NB: what was cancelled goes on as well, and may be cancelled again.
    stops = [event for event in told if event in ("Paused", "Canceled", "Resumed")]
    assert all(one != other for one, other in itertools.pairwise(stops)), told
    assert told.count("Started") <= 1
