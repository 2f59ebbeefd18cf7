"""`status.objective`: what a job has made of the objective of its Experiment, from what its trainer tells and from what
was known before.

Separate from `planning.curve`, which knows one log: a job may have several, of several attempts, and an operator may
have been started anew between two lines. Called by `planning.jobstatus`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from trainyard.api.trainingjobstatus import ReportedObjective
from trainyard.planning import curve
from trainyard.planning.curve import Curve, Point
from trainyard.planning.objective import Goal
from trainyard.planning.progress import Report, decimal

Json = Mapping[str, Any]

#: More than metrics have: equal ones are decided by it.
_DIGITS = 9


def told(old: Json | None, report: Report | None, goal: Goal) -> dict[str, Any] | None:
    """What status shall say; None while nobody has told the metric.

    An attempt that goes on from a checkpoint does some epochs again: those that status has from there on do not count
    any longer. Where no line has told it with its epoch, the latest value counts, as of a closing line.
    """
    before, found = _read(old, goal)
    here = report.curve if report is not None and report.curve is not None else None
    fresh = here.points if here is not None and here.metric == goal.metric else ()
    if fresh:
        before = tuple(point for point in before if point[0] < fresh[0][0])
        if found is not None and found[0] >= fresh[0][0]:
            found = curve.best(before, minimize=goal.minimize)
    points = curve.even((*before, *fresh))
    if not points:
        return _without_epochs(old, report, goal)
    newest = here.best(minimize=goal.minimize) if fresh and here is not None else None
    value = curve.best([p for p in (found, newest) if p is not None], minimize=goal.minimize) or points[-1]
    return {
        "metric": goal.metric,
        "goal": _word(goal),
        "value": _text(value[1]),
        "epoch": _number(value[0]),
        "last": _text(points[-1][1]),
        "lastEpoch": _number(points[-1][0]),
        "curve": {
            "epochs": [_number(epoch) for epoch, _ in points],
            "values": [_text(value) for _, value in points],
        },
    }


def restored(found: Any) -> dict[str, Any] | None:
    """What a result that was found in the output tells of it; None for what is none."""
    try:
        read = ReportedObjective.model_validate(found)
    except ValidationError:
        return None
    return read.model_dump(by_alias=True, exclude_none=True, exclude={"curve"})


def begin(goal: Goal | None) -> Curve | None:
    """What a log is followed with; None for a job of no Experiment."""
    return Curve(metric=goal.metric) if goal is not None else None


def _without_epochs(old: Json | None, report: Report | None, goal: Goal) -> dict[str, Any] | None:
    metric = report.metrics.get(goal.metric) if report is not None else None
    if metric is None:
        same = old is not None and (old.get("metric"), old.get("goal")) == (goal.metric, _word(goal))
        return dict(old) if old is not None and same else None
    text = _text(metric.number)
    return {"metric": goal.metric, "goal": _word(goal), "value": text, "last": text}


def _read(old: Json | None, goal: Goal) -> tuple[tuple[Point, ...], Point | None]:
    """The points in a status, and the best one; nothing of another metric. NB: anybody can write a status."""
    if not old or old.get("metric") != goal.metric:
        return (), None
    there = old.get("curve") or {}
    pairs = zip(there.get("epochs") or (), there.get("values") or (), strict=False)
    points = tuple(sorted(p for epoch, value in pairs if (p := _point(epoch, value)) is not None))
    value = _point(old.get("epoch"), old.get("value")) if old.get("goal") == _word(goal) else None
    return points, value if value is not None else curve.best(points, minimize=goal.minimize)


def _point(epoch: Any, value: Any) -> Point | None:
    try:
        found = (float(epoch), float(value))
    except (TypeError, ValueError):
        return None
    return found if all(map(math.isfinite, found)) else None


def _word(goal: Goal) -> str:
    return "Minimize" if goal.minimize else "Maximize"


# NB: remembered, as a curve is written again with each of its points.
@lru_cache(maxsize=8192)
def _text(value: float) -> str:
    return decimal(value, digits=_DIGITS)


def _number(epoch: float) -> float | int:
    return int(epoch) if float(epoch).is_integer() and abs(epoch) < 2**53 else round(epoch, 6)
