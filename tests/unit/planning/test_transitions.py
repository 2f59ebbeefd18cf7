"""docs/lifecycle.md, row by row: a job is brought into a state, something happens to it, and what follows is read.

`python -m tests.unit.planning.test_transitions` prints the table as the code has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.planning.story import Story

DOCS = Path(__file__).parents[3] / "docs" / "lifecycle.md"
Step = Callable[[Story], object]


def new(**spec: object) -> Story:
    return Story(**{"output": {"claimName": "models"}, "backoffLimit": 1, **spec})


def pending() -> Story:
    return new().settle()


def pulling() -> Story:
    return pending().pod_is_scheduled().settle()


def training() -> Story:
    story = pending().pod_runs().settle().passes(100).trainer_says(epoch=4, checkpoint=True)
    return story.settle().passes(30)


def uploading() -> Story:
    return training().trainer_is_done().settle().passes(30)


def evaluating() -> Story:
    return new(action="evaluate", output=None).settle().pod_runs().settle().passes(100)


def pausing() -> Story:
    return training().edit(suspend=True).settle()


def paused() -> Story:
    return pausing().passes(5).trainer_says(epoch=5, checkpoint=True).pod_ends(143).settle().passes(60)


def pausing_evaluation() -> Story:
    return evaluating().edit(suspend=True).settle()


def pausing_early() -> Story:
    return pulling().edit(suspend=True).settle()


def paused_early() -> Story:
    return pending().edit(suspend=True).settle()


def canceling() -> Story:
    return training().edit(cancel=True).settle()


def canceled() -> Story:
    return canceling().passes(5).trainer_says(epoch=5, checkpoint=True).pod_ends(143).settle().passes(60)


def canceled_evaluation() -> Story:
    return evaluating().edit(cancel=True).settle().passes(5).pod_ends(143).settle()


def backing_off() -> Story:
    return training().pod_ends(1).settle()


def done() -> Story:
    return training().pod_ends(0).settle().passes(60)


def failed() -> Story:
    story = backing_off().passes(60).settle()
    return story.pod_runs().settle().passes(100).pod_ends(1).settle().passes(60)


def stopping() -> Story:
    return _long(activeDeadlineSeconds=50)


def silent() -> Story:
    return _long(progressTimeoutSeconds=50)


def _long(**limit: int) -> Story:
    story = new(**limit).settle().pod_runs().settle().trainer_says(epoch=4, checkpoint=True).settle()
    return story.passes(51).settle()


def of_no_experiment_yet() -> Story:
    return new(experiment="tuning")


def training_in_experiment() -> Story:
    story = of_no_experiment_yet().experiment().settle().pod_runs().settle()
    return story.passes(100).trainer_says(epoch=4, checkpoint=True).settle().passes(30)


def paused_with_experiment() -> Story:
    story = training_in_experiment().experiment(suspend=True).settle().passes(5)
    return story.trainer_says(epoch=5, checkpoint=True).pod_ends(143).settle().passes(60)


def paused_twice() -> Story:
    return paused_with_experiment().edit(suspend=True).settle()


def canceled_with_experiment() -> Story:
    story = training_in_experiment().experiment(cancel=True).settle().passes(5)
    return story.trainer_says(epoch=5, checkpoint=True).pod_ends(143).settle().passes(60)


def done_in_experiment() -> Story:
    return training_in_experiment().pod_ends(0).settle().passes(60)


STATES: dict[str, Callable[[], Story]] = {
    "new": new,
    "waiting for a node": pending,
    "starting": pulling,
    "training": training,
    "uploading": uploading,
    "evaluating": evaluating,
    "pausing": pausing,
    "pausing, an evaluation": pausing_evaluation,
    "pausing before it ran": pausing_early,
    "paused": paused,
    "paused before it ran": paused_early,
    "canceling": canceling,
    "canceled": canceled,
    "canceled evaluation": canceled_evaluation,
    "backing off": backing_off,
    "stopping at its deadline": stopping,
    "stopping for its silence": silent,
    "done": done,
    "failed": failed,
    "of an Experiment that is not there": of_no_experiment_yet,
    "training in an Experiment": training_in_experiment,
    "paused with its Experiment": paused_with_experiment,
    "paused by itself and with it": paused_twice,
    "canceled with its Experiment": canceled_with_experiment,
    "done in an Experiment": done_in_experiment,
}

EVENTS: dict[str, Step] = {
    "applied": lambda s: s,
    "applied with suspend": lambda s: s.edit(suspend=True),
    "applied with cancel": lambda s: s.edit(cancel=True),
    "a node takes the pod": lambda s: s.pod_is_scheduled(),
    "the container starts": lambda s: s.pod_runs(),
    "suspend": lambda s: s.edit(suspend=True),
    "suspend taken back": lambda s: s.edit(suspend=False),
    "suspend taken back, other parameters": lambda s: s.edit(suspend=False, parameters={"epochs": 80}),
    "cancel": lambda s: s.edit(cancel=True),
    "cancel taken back": lambda s: s.edit(cancel=False),
    "cancel taken back, suspend set": lambda s: s.edit(cancel=False, suspend=True),
    "cancel taken back, retry asked for": lambda s: s.edit(cancel=False).retry(),
    "retry asked for": lambda s: s.retry(),
    "exit 0": lambda s: s.passes(5).pod_ends(0),
    "exit 0, says complete": lambda s: s.passes(5).pod_ends(0, message='{"complete": true}'),
    "exit by SIGTERM, checkpoint saved": lambda s: (
        s.passes(5).trainer_says(epoch=5, checkpoint=True).pod_ends(143)
    ),
    "exit by SIGTERM, nothing saved": lambda s: s.passes(5).pod_ends(143),
    "killed after the grace period": lambda s: s.passes(31).pod_ends(137),
    "exit 1": lambda s: s.passes(5).pod_ends(1, message="diverged"),
    "the trainer is done": lambda s: s.passes(5).trainer_is_done(),
    "all is uploaded": lambda s: s.passes(5).agent_ends(uploaded=True),
    "the store refuses it": lambda s: s.passes(5).agent_ends(
        uploaded=False, error="The key is no longer valid."
    ),
    "the agent is killed": lambda s: s.passes(5).agent_ends(),
    "exit 2": lambda s: s.passes(5).pod_ends(2, message="no such column"),
    "killed for memory": lambda s: s.passes(5).pod_ends(137, reason="OOMKilled"),
    "its node is drained": lambda s: s.passes(5).pod_is_evicted(),
    "somebody deletes its pod": lambda s: s.passes(5).pod_is_deleted(),
    "its pod is gone": lambda s: s.passes(5).pod_vanishes(),
    "the deadline passes": lambda s: s.edit(activeDeadlineSeconds=100).passes(1),
    "silent for too long": lambda s: s.edit(progressTimeoutSeconds=90).passes(91),
    "startup takes too long": lambda s: s.passes(1801),
    "the delay is over": lambda s: s.passes(11),
    "the time to live is over": lambda s: s.edit(ttlSecondsAfterFinished=10),
    "its Experiment comes": lambda s: s.experiment(),
    "its Experiment comes, suspended": lambda s: s.experiment(suspend=True),
    "its Experiment is suspended": lambda s: s.experiment(suspend=True),
    "its Experiment is cancelled": lambda s: s.experiment(cancel=True),
    "its Experiment is suspended and cancelled": lambda s: s.experiment(suspend=True, cancel=True),
    "its Experiment goes on": lambda s: s.experiment(),
    "its Experiment is deleted": lambda s: s.experiment_is_gone(with_its_jobs=True),
    "its Experiment is deleted without its jobs": lambda s: s.experiment_is_gone(),
}


def outcome(state: str, event: str) -> tuple[str, str, str, str, str]:
    """Phase and reason, conditions, pods, checkpoint and callbacks after `event` on a job in `state`."""
    story = STATES[state]()
    created, deleted = len(story.created), len(story.deleted)
    before = [entry["id"] for entry in story.status.get("callbacks") or []]
    EVENTS[event](story)
    if event == "applied":
        story.look()
    story.settle()
    conditions = [
        text
        for kind, value, text in (
            ("Finished", "True", "Finished"),
            ("Succeeded", "True", "Succeeded"),
            ("Succeeded", "False", "not Succeeded"),
            ("Suspended", "True", "Suspended"),
            ("Stalled", "True", "Stalled"),
        )
        if story.condition(kind) == value
    ]
    pods = [f"{name.removeprefix('digits-')} deleted" for name in story.deleted[deleted:]]
    pods += [f"{name.removeprefix('digits-')} created" for name in story.created[created:]]
    return (
        story.said.replace("/", " / "),
        ", ".join(conditions) or "-",
        ", ".join(pods) or "-",
        _checkpoint(story),
        ", ".join(
            entry["event"]
            for entry in story.status.get("callbacks") or []
            if entry["id"] not in before and entry["event"] != "Progress"
        )
        or "-",
    )


def _checkpoint(story: Story) -> str:
    status = story.status
    stop, last = status.get("stop") or {}, (status.get("lastCheckpoint") or {}).get("epoch")
    if "checkpoint" in stop:
        if last is None:
            return "none"
        return f"epoch {last}, {'saved' if stop['checkpoint'] else 'not saved'} on the way out"
    newest = (status.get("attempts") or [{}])[-1]
    if newest.get("resumedFrom") and not newest.get("startTime"):
        return f"goes on from epoch {last}"
    return "-" if last is None else f"epoch {last}"


def rows() -> Iterator[tuple[str, ...]]:
    """The table in docs/lifecycle.md."""
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 7 and cells[0] in STATES:
            yield tuple(re.sub(r"`", "", cell) for cell in cells)


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: f"{row[0]}: {row[1]}")
def test_the_row_of_the_table_is_what_happens(row: tuple[str, ...]) -> None:
    state, event, *expected = row
    assert outcome(state, event) == tuple(expected)


def test_the_table_has_every_state_and_every_event_and_none_twice() -> None:
    pairs = [row[:2] for row in rows()]
    assert {state for state, _ in pairs} == set(STATES)
    assert {event for _, event in pairs} == set(EVENTS)
    assert len(pairs) == len(set(pairs))


PAIRS = {
    "new": ("applied", "applied with suspend", "applied with cancel"),
    "waiting for a node": ("a node takes the pod", "suspend", "cancel", "somebody deletes its pod"),
    "starting": (
        "the container starts",
        "suspend",
        "cancel",
        "startup takes too long",
        "its node is drained",
    ),
    "training": (
        "exit 0",
        "the trainer is done",
        "exit 1",
        "exit 2",
        "killed for memory",
        "suspend",
        "cancel",
        "retry asked for",
        "the deadline passes",
        "silent for too long",
        "its node is drained",
        "somebody deletes its pod",
        "its pod is gone",
    ),
    "uploading": (
        "all is uploaded",
        "the store refuses it",
        "the agent is killed",
        "suspend",
        "cancel",
        "somebody deletes its pod",
        "its pod is gone",
    ),
    "evaluating": ("suspend", "cancel"),
    "pausing": (
        "exit by SIGTERM, checkpoint saved",
        "exit by SIGTERM, nothing saved",
        "killed after the grace period",
        "exit 0",
        "exit 0, says complete",
        "its pod is gone",
        "suspend taken back",
        "cancel",
        "the deadline passes",
    ),
    "paused": (
        "suspend taken back",
        "suspend taken back, other parameters",
        "cancel",
        "retry asked for",
        "the deadline passes",
    ),
    "pausing, an evaluation": ("exit by SIGTERM, nothing saved", "exit 1"),
    "pausing before it ran": ("its pod is gone", "suspend taken back", "cancel"),
    "paused before it ran": ("suspend taken back", "cancel"),
    "canceling": (
        "exit by SIGTERM, checkpoint saved",
        "killed after the grace period",
        "exit 0, says complete",
        "cancel taken back",
        "suspend",
    ),
    "canceled": (
        "cancel",
        "cancel taken back",
        "cancel taken back, suspend set",
        "suspend",
        "the time to live is over",
    ),
    "canceled evaluation": ("cancel taken back", "cancel taken back, retry asked for"),
    "backing off": ("the delay is over", "suspend", "cancel", "retry asked for"),
    "stopping at its deadline": ("exit by SIGTERM, checkpoint saved", "cancel", "suspend"),
    "stopping for its silence": (
        "exit by SIGTERM, checkpoint saved",
        "killed after the grace period",
        "cancel",
    ),
    "done": ("suspend", "cancel", "retry asked for", "the time to live is over"),
    "failed": ("retry asked for", "suspend", "cancel", "the time to live is over"),
    "of an Experiment that is not there": (
        "applied",
        "applied with suspend",
        "its Experiment comes",
        "its Experiment comes, suspended",
    ),
    "training in an Experiment": (
        "its Experiment is suspended",
        "its Experiment is cancelled",
        "its Experiment is suspended and cancelled",
        "its Experiment is deleted without its jobs",
        "exit 0",
    ),
    "paused with its Experiment": (
        "its Experiment goes on",
        "its Experiment is cancelled",
        "its Experiment is deleted",
        "its Experiment is deleted without its jobs",
        "suspend",
        "cancel",
    ),
    "paused by itself and with it": ("its Experiment goes on", "suspend taken back"),
    "canceled with its Experiment": (
        "its Experiment goes on",
        "its Experiment is deleted",
        "cancel",
    ),
    "done in an Experiment": ("its Experiment is suspended", "its Experiment is cancelled"),
}

if __name__ == "__main__":
    print(
        "| state | event | then | conditions | pods | checkpoint | callbacks |\n|---|---|---|---|---|---|---|"
    )
    for state, events in PAIRS.items():
        for event in events:
            print("|", " | ".join((state, event, *outcome(state, event))), "|")
