"""What the status of a model says of it as a whole: its lifecycle, phase, reason, message and headline metric.

Separate because the parts of planning decide, and this tells. Called by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.api.modelstatus import Lifecycle
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import conditions, modeltraining, modelversions
from trainyard.planning.experimentview import runtime_metrics
from trainyard.planning.lifecycle import Evidence, lifecycle_of
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.modelversions import Versions
from trainyard.planning.objective import goal_of
from trainyard.planning.plan import Announcement
from trainyard.planning.runtime import Runtime
from trainyard.planning.times import seconds, stamp

Json = Mapping[str, Any]

_DRAFT = "A draft: it is kept as it is, and nothing trains, as spec.training is not set or not enabled."
_NO_DATA = "A draft: type auto is found by measuring on data. Name it in spec.datasets.train."
_FINE = frozenset({Reason.DRAFT, Reason.COMPLETED, Reason.TRAINING, Reason.RECOMMENDING, Reason.ARCHIVED})
_UNANNOUNCED = frozenset({Reason.ACCEPTED, Reason.STARTING, Reason.PULLING_IMAGE})
_PENDING = {str(reason) for reason in Reason}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why something that is wanted is not done, and what the model is then called."""

    phase: Phase
    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the parts of planning have found. `degraded` is a sentence, empty where it is none; `problem` keeps the
    model from being trained; `remarks` are sentences of the rest.
    """

    versions: Versions
    training: Json
    degraded: str = ""
    recommending: bool = False
    recommended: str | None = None
    problem: Problem | None = None
    remarks: Sequence[str] = ()


def stated(
    observed: ObservedModel, status: Json, found: Found, *, now: float, catalog: Sequence[Runtime]
) -> tuple[dict[str, Any], tuple[Announcement, ...]]:
    """The whole status, and the Event for a change that people look for."""
    old, versions = observed.status, found.versions
    evidence = _evidence(observed, found)
    lifecycle = lifecycle_of(evidence)
    phase, reason, message = _together(observed, found, evidence, lifecycle)
    message = " ".join([message, *found.remarks])
    since = old.get("lifecycleTime") if old.get("lifecycle") == lifecycle else None
    newest = versions.newest
    whole = {
        **status,
        "lifecycle": lifecycle,
        "lifecycleTime": since or stamp(now),
        "latestVersion": versions.latest or None,
        "trainedAt": newest["time"] if newest is not None else None,
        "versions": list(versions.listed) or None,
        "formerVersions": list(versions.former) or None,
        "keyMetric": _key_metric(observed, newest, catalog),
        "performanceMetrics": newest.get("performanceMetrics") if newest is not None else None,
        "trainingMetrics": newest.get("trainingMetrics") if newest is not None else None,
        **conditions.stated(
            old,
            phase=phase,
            reason=str(reason),
            message=message,
            generation=observed.generation,
            now=now,
            ready=True,
            available=newest is not None and lifecycle != "archived",
        ),
    }
    whole = {key: value for key, value in whole.items() if value is not None}
    changed = (old.get("phase"), old.get("reason"), old.get("lifecycle")) != (
        str(phase),
        str(reason),
        lifecycle,
    )
    announce: tuple[Announcement, ...] = ()
    if changed and reason not in _UNANNOUNCED:
        kind: Any = "Normal" if reason in _FINE else "Warning"
        announce = (Announcement(type=kind, reason=str(reason), message=message[:1024]),)
    return whole, announce


def _evidence(observed: ObservedModel, found: Found) -> Evidence:
    assert observed.spec is not None
    last = modelversions.newest_end(observed)
    trained = max((one["time"] for one in found.versions.listed if one.get("origin") == "job"), default="")
    failed = (last is not None and last.failed and not _succeeded_since(observed, found.versions, last)) or (
        _own_failed(observed, found.training, trained)
    )
    return Evidence(
        stage=observed.spec.stage,
        training=modeltraining.live(observed) is not None,
        failed=failed,
        degraded=bool(found.degraded),
        has_version=bool(found.versions.listed),
        reported=_in_force(observed, found),
    )


def _succeeded_since(observed: ObservedModel, versions: Versions, failed: TaskView) -> bool:
    """Whether there is a newer version of a job that is no longer there to say so."""
    there = {one.uid for one in (*observed.tasks, *observed.outcomes.values())}
    return any(
        one["time"] > str(failed.ended_at)
        for one in versions.listed
        if one.get("origin") == "job" and (one.get("lineage") or {}).get("jobUid") not in there
    )


def _own_failed(observed: ObservedModel, training: Json, trained: str) -> bool:
    """Whether the training that was asked for last has failed, though its job is no longer there to say so."""
    there = {one.name for one in observed.tasks}
    if (training.get("job") or training.get("experiment")) in there:
        return False
    return training.get("outcome") == "Error" and str(training.get("completionTime") or "") >= trained


def _in_force(observed: ObservedModel, found: Found) -> Lifecycle | None:
    """The lifecycle that was told from outside, until something newer has happened here."""
    told = observed.status.get("reported") or {}
    at, lifecycle = seconds(told.get("time")), told.get("lifecycle")
    if at is None or lifecycle is None:
        return None
    here = [
        *(when for one in observed.tasks if one.registers for when in (one.started_at, one.ended_at)),
        *(one["time"] for one in found.versions.listed if one.get("origin") == "job"),
        *(one.get("time") for one in (observed.status.get("monitor") or {}).get("history") or ()),
    ]
    newer = any((moment := seconds(when)) is not None and moment > at for when in here)
    return None if newer else lifecycle


def _together(
    observed: ObservedModel, found: Found, evidence: Evidence, lifecycle: Lifecycle
) -> tuple[Phase, Reason, str]:
    assert observed.spec is not None
    newest = found.versions.newest
    words = f"{modelversions.in_words(newest, _wanted_metric(observed))}." if newest is not None else ""
    if lifecycle == "archived" and evidence.stage == "archived":
        text = "Archived: it is kept as a record only; spec.stage: active takes it up again."
        return Phase.DONE, Reason.ARCHIVED, f"{text} {words}".strip()
    if lifecycle == "deprecated" and evidence.stage == "deprecated":
        text = "Deprecated: it may be used, but nothing new is trained."
        return Phase.DONE, Reason.DEPRECATED, f"{text} {words}".strip()
    if evidence.training:
        return _training(observed)
    if found.problem is not None:
        kept = f" {words[:-1]} stays." if newest is not None else ""
        return found.problem.phase, found.problem.reason, f"{found.problem.message}{kept}"
    if found.recommending:
        return Phase.RUNNING, Reason.RECOMMENDING, "The types of models are measured on the data."
    if evidence.reported is not None:
        return _reported(observed, lifecycle, words)
    if lifecycle == "failed":
        kept = f" {words[:-1]} stays." if newest is not None else ""
        return Phase.ERROR, Reason.TRAINING_FAILED, f"{_why_failed(observed, found.training)}{kept}"
    if lifecycle == "degraded":
        return Phase.DONE, Reason.DEGRADED, f"{found.degraded} {words}"
    if newest is not None:
        return Phase.DONE, Reason.COMPLETED, words
    if found.training.get("outcome") == "Canceled":
        return Phase.PENDING, Reason.DRAFT, _canceled(found.training)
    if observed.spec.type == "auto" and not observed.spec.datasets.train:
        return Phase.PENDING, Reason.DRAFT, _NO_DATA
    if found.recommended is not None:
        text = f"The data suits a {found.recommended} best."
        return Phase.PENDING, Reason.DRAFT, f"{text} {_DRAFT}"
    return Phase.PENDING, Reason.DRAFT, _DRAFT


def _canceled(training: Json) -> str:
    name, why = training.get("job") or training.get("experiment"), str(training.get("message") or "")
    ended = why if why.startswith(f"{name} ") else f"{name} was cancelled."
    return f"A draft: {ended} A new value of the annotation {names.TRAIN_REQUESTED_AT} trains it again."


def _training(observed: ObservedModel) -> tuple[Phase, Reason, str]:
    task = modeltraining.live(observed)
    assert task is not None
    message = f"{task.kind} {task.name}: {task.message or 'it has not been looked at yet.'}"
    if task.phase == Phase.RUNNING:
        return Phase.RUNNING, Reason.TRAINING, message
    return Phase.PENDING, Reason(task.reason) if task.reason in _PENDING else Reason.ACCEPTED, message


def _reported(observed: ObservedModel, lifecycle: Lifecycle, words: str) -> tuple[Phase, Reason, str]:
    """What was told from outside, in our words."""
    told = observed.status.get("reported") or {}
    why = str(told.get("reason") or "")
    text = f"Reported from outside at {told.get('time')}: {lifecycle}" + (f" ({why})." if why else ".")
    phase, reason = {
        "draft": (Phase.PENDING, Reason.DRAFT),
        "training": (Phase.RUNNING, Reason.TRAINING),
        "trained": (Phase.DONE, Reason.COMPLETED),
        "failed": (Phase.ERROR, Reason.TRAINING_FAILED),
        "degraded": (Phase.DONE, Reason.DEGRADED),
        "deprecated": (Phase.DONE, Reason.DEPRECATED),
        "archived": (Phase.DONE, Reason.ARCHIVED),
    }[lifecycle]
    return phase, reason, f"{text} {words}".strip()


def _why_failed(observed: ObservedModel, training: Json) -> str:
    last = modelversions.newest_end(observed)
    if last is not None and last.failed:
        return f"{last.kind} {last.name} failed: {last.reason}: {last.message}"
    name = training.get("job") or training.get("experiment")
    return f"{name} failed: {training.get('message') or 'it has not said why.'}"


def _wanted_metric(observed: ObservedModel) -> str:
    assert observed.spec is not None
    return observed.spec.objective.metric or ""


def _key_metric(observed: ObservedModel, newest: Json | None, catalog: Sequence[Runtime]) -> Json | None:
    """The objective's metric of the newest version; else the first that its runtime reports, else what its job had as
    its headline, else what comes first.
    """
    assert observed.spec is not None
    if newest is None:
        return None
    values = {one["name"]: one["value"] for one in newest.get("performanceMetrics") or ()}
    kind = (newest.get("lineage") or {}).get("architecture")
    known = runtime_metrics({"architecture": kind}, catalog) if kind else ()
    wanted = goal_of(observed.spec.objective, known).metric
    uid = (newest.get("lineage") or {}).get("jobUid")
    headline = [one.key_metric["name"] for one in observed.tasks if one.uid == uid and one.key_metric]
    name = next((one for one in (wanted, *known, *headline, *values) if one in values), None)
    if name is None:
        return None
    return {
        "name": name,
        "value": values[name],
        "display": f"{name} {modelversions.short(values[name])}"[:170],
    }
