"""Which events callbacks are told of: the difference of two statuses of one job, or of one Experiment.

Separate from `planning.callbacks`, which calls it and makes deliveries of them: the two kinds have events of the same
names, and each its own record of an end and of a pause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainyard.api.callbacks import CallbackEvent
from trainyard.api.reasons import ConditionType
from trainyard.planning import conditions, jobstatus

Status = Mapping[str, Any]
Events = Callable[[Status, Status], tuple[CallbackEvent, ...]]

_REPORTS = ("progress", "metrics", "keyMetric", "lastReport")


def of_job(old: Status, new: Status) -> tuple[CallbackEvent, ...]:
    """What happened between two statuses of one job, in this order. A failed attempt that is tried again is no event.

    Whoever is told of an end or of a pause is told the progress with it.
    """
    return _events(old, new, halt=_halt_of_job, reported=any(_newly(key, old, new) for key in _REPORTS))


def of_experiment(old: Status, new: Status) -> tuple[CallbackEvent, ...]:
    """What happened between two statuses of one Experiment, in the order of `of_job`.

    What becomes of one of its steps or trials is progress; each end that the whole comes to is told, also one after a
    changed step has run again.
    """
    # NB: that there are steps, and none is done, is nothing that has come about.
    progress = old.get("progress") is not None and _newly("progress", old, new)
    return _events(old, new, halt=_halt_of_experiment, reported=progress or _newly("keyMetric", old, new))


def _events(
    old: Status, new: Status, *, halt: Callable[[Status], CallbackEvent | None], reported: bool
) -> tuple[CallbackEvent, ...]:
    before, after = halt(old), halt(new)
    told: list[CallbackEvent] = []
    if after is None and before in ("Paused", "Canceled"):
        told.append("Resumed")
    if new.get("startTime") and not old.get("startTime"):
        told.append("Started")
    if after is not None and after != before:
        return (*told, after)
    return (*told, "Progress") if reported else tuple(told)


def _newly(key: str, old: Status, new: Status) -> bool:
    return new.get(key) is not None and new[key] != old.get(key)


def _halt_of_job(status: Status) -> CallbackEvent | None:
    """The event that told that the job does not go on; None while it does, or has not begun."""
    if ended := _end(status):
        return ended
    stop = status.get("stop") or {}
    return "Paused" if stop.get("endTime") and stop.get("cause") == "Suspend" else None


def _halt_of_experiment(status: Status) -> CallbackEvent | None:
    """The same of an Experiment, which is suspended once none of its jobs runs any longer."""
    if ended := _end(status):
        return ended
    return "Paused" if conditions.is_true(status, ConditionType.SUSPENDED) else None


def _end(status: Status) -> CallbackEvent | None:
    if not status.get("completionTime"):
        return None
    if conditions.is_true(status, ConditionType.SUCCEEDED):
        return "Completed"
    return "Canceled" if jobstatus.was_canceled(status) else "Failed"
