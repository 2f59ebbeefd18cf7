"""What an evaluation has measured, as `status.monitor` keeps it: values, how often in a row they were worse than the
threshold, and how far the columns have moved.

Separate from `planning.modelmonitor`, which goes by the clock: this reads one job that has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from trainyard.api.mlmodel import Drift, MLModelSpec
from trainyard.planning import objective
from trainyard.planning.modelobserved import TaskView
from trainyard.planning.objective import Goal
from trainyard.planning.progress import decimal
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

_HISTORY = 20
_COLUMNS = 64
_COLUMN_LIMIT = 253
_MESSAGE_LIMIT = 1024
_DIGITS = 4
_UNTHINKABLE = 1e9


def goal(spec: MLModelSpec, metric: str) -> Goal:
    """Which way `metric` is better."""
    assert spec.monitor is not None
    asked = spec.monitor.goal
    if asked is None and metric == spec.objective.metric:
        asked = spec.objective.goal
    return objective.goal_of(spec.objective.model_copy(update={"metric": metric, "goal": asked}))


def is_worse(spec: MLModelSpec, metric: str, value: str) -> bool:
    """Whether a value is worse than the threshold; one that equals it is good."""
    assert spec.monitor is not None
    found, bound = _number(value), _number(spec.monitor.threshold)
    if found is None or bound is None:
        return False
    return found > bound if goal(spec, metric).minimize else found < bound


def counted(told: Json) -> Json | None:
    """The newest measurement that has a value; those without count neither as good nor as bad."""
    return next((one for one in told.get("history") or () if one.get("value") is not None), None)


def of_one_metric(told: dict[str, Any], spec: MLModelSpec) -> dict[str, Any]:
    """`told`, without the values of another metric than the one that the spec names."""
    metric = _asked(spec)
    if metric is None or metric == told.get("metric"):
        return told
    return _begun_anew(told, metric)


def measured(
    told: Json, job: TaskView, answer: Json, spec: MLModelSpec, *, model: str, now: float
) -> dict[str, Any]:
    """`told` with the end of an evaluation: what it has measured, or why it could not."""
    metric, value, why = _value(job, spec)
    at, version = job.ended_at or stamp(now), version_of(job, model=model)
    if value is None:
        return not_measured(told, job.name, why, at=at, version=version)
    found = dict(told) if metric == told.get("metric") else _begun_anew(told, metric)
    newest = counted(found)
    if newest is None or newest.get("version") != version:
        found = {**found, "runsBelow": 0, "degradedTime": None}
    runs = int(found.get("runsBelow") or 0) + 1 if is_worse(spec, metric, value) else 0
    dataset = ((job.source.get("spec") or {}).get("datasets") or {}).get("eval")
    entry = {"time": at, "version": version, "dataset": dataset, "value": value, "job": job.name}
    return {**_with_entry(found, entry), "runsBelow": runs, **_drift(answer, spec)}


def not_measured(told: Json, job: str, why: str, *, at: str, version: int | None = None) -> dict[str, Any]:
    """`told` with an evaluation that has measured nothing."""
    return _with_entry(told, {"time": at, "version": version, "job": job, "message": why[:_MESSAGE_LIMIT]})


def version_of(job: TaskView, *, model: str | None = None) -> int | None:
    """The version that a job evaluates, as its spec says."""
    for one in (job.source.get("spec") or {}).get("baseModels") or ():
        if one.get("version") and model in (None, one.get("model")):
            return int(one["version"])
    return None


def clean(found: Json) -> dict[str, Any]:
    """Without what is not set."""
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def _asked(spec: MLModelSpec) -> str | None:
    assert spec.monitor is not None
    return spec.monitor.metric or spec.objective.metric


def _begun_anew(told: Json, metric: str) -> dict[str, Any]:
    """NB: a history has one metric; values of two could not be told apart."""
    return {**told, "metric": metric, "runsBelow": 0, "history": [], "degradedTime": None}


def _with_entry(told: Json, entry: Json) -> dict[str, Any]:
    return {**told, "job": None, "history": [clean(entry), *(told.get("history") or ())][:_HISTORY]}


def _value(job: TaskView, spec: MLModelSpec) -> tuple[str, str | None, str]:
    """Name and value of the metric; without a value why there is none."""
    metric = _asked(spec) or str((job.key_metric or {}).get("name") or "")
    if job.canceled:
        return metric, None, f"{job.name} was cancelled."
    if job.failed:
        return metric, None, f"{job.name} failed with {job.reason or 'no reason'}: {job.message}"
    told = ", ".join(sorted(job.metrics)[:10])
    if not metric:
        return metric, None, f"{job.name} has reported no metric."
    value = job.metrics.get(metric)
    if value is None:
        other = f"it has reported {told}" if told else "nor any other metric"
        return metric, None, f"{job.name} has not reported {metric}; {other}. See spec.monitor.metric."
    if _number(value) is None:
        return metric, None, f"{job.name} has reported {metric} as {value[:64]}, which is no number."
    return metric, value, ""


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _drift(answer: Json, spec: MLModelSpec) -> dict[str, Any]:
    """How far columns have moved, those that have moved most first. NB: a trainer may print anything."""
    assert spec.monitor is not None
    told, asked = answer.get("drift"), spec.monitor.drift
    if not isinstance(told, Mapping) or (asked is not None and not asked.enabled):
        return {"drift": None, "drifted": None}
    found = {
        str(column)[:_COLUMN_LIMIT]: value
        for column, value in told.items()
        if isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < _UNTHINKABLE
    }
    columns = sorted(found.items(), key=lambda one: (-one[1], one[0]))[:_COLUMNS]
    bound = Decimal((asked or Drift()).threshold)
    texts = [(column, decimal(value, digits=_DIGITS)) for column, value in columns]
    return {
        "drift": [{"column": column, "psi": psi} for column, psi in texts],
        "drifted": sum(Decimal(psi) >= bound for _, psi in texts),
    }
