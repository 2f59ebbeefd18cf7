"""Composing a TrainingJob's status: phase and conditions, attempts, and what the trainer reported.

Separate because planning decides and this writes down; every function takes the old status and gives a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.reasons import FINAL, ConditionType, Phase, Reason
from trainyard.planning import (
    basemodels,
    conditions,
    progress,
    reportedobjective,
    spechash,
    uris,
    useddatasets,
)
from trainyard.planning.agentpod import OUTPUT_MOUNT
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Announcement
from trainyard.planning.podview import PodView
from trainyard.planning.progress import Report
from trainyard.planning.statusline import MAX_PATH, Termination
from trainyard.planning.times import seconds, stamp

Json = dict[str, Any]

_ATTEMPTS_KEPT = 32
# The kubelet and the scheduler have their own Events for these.
_UNANNOUNCED = frozenset({Reason.ACCEPTED, Reason.STARTING, Reason.PULLING_IMAGE})
_WARNED = frozenset(
    {
        Reason.UNSCHEDULABLE,
        Reason.IMAGE_PULL_FAILED,
        Reason.CONTAINER_CONFIG_INVALID,
        Reason.QUOTA_EXCEEDED,
        Reason.POLICY_REFUSED,
        Reason.POD_NAME_TAKEN,
        Reason.DATASET_EXISTS,
        Reason.RESTARTING,
        Reason.NODE_LOST,
        Reason.EVICTED,
        Reason.PREEMPTED,
        Reason.STOPPING,
        Reason.SECRET_NOT_FOUND,
        Reason.CONFIG_MAP_NOT_FOUND,
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        Reason.VOLUME_MOUNT_FAILED,
        Reason.CLAIM_NOT_FOUND,
        Reason.BACKING_OFF,
        Reason.SPEC_CHANGED,
        Reason.NOT_YET_SUPPORTED,
    }
)


def in_phase(
    observed: ObservedJob,
    *,
    phase: Phase,
    reason: Reason,
    message: str,
    now: float,
    over: Mapping[str, Any] | None = None,
) -> Json:
    """The old status brought into a phase, with its conditions; keys of `over` win, None removes."""
    status: Json = {**observed.status, **(over or {})}
    status["datasets"] = useddatasets.as_status(status, observed.pods)
    status["baseModels"] = basemodels.as_status(observed, status)
    status |= conditions.stated(
        observed.status,
        phase=phase,
        reason=str(reason),
        message=message,
        generation=observed.generation,
        now=now,
        ready=reason != Reason.INVALID_SPEC and (observed.spec is not None or phase in FINAL),
        spec_changed=spechash.changed(observed, status),
        suspended=phase not in FINAL and (status.get("stop") or {}).get("endTime") is not None,
        unsupported=observed.unsupported if phase not in FINAL else None,
    )
    if phase in FINAL:
        status.setdefault("completionTime", stamp(now))
    if phase is not Phase.RUNNING and status.get("progress"):
        status["progress"] = {k: v for k, v in status["progress"].items() if k != "eta"}
    return {key: value for key, value in status.items() if value is not None}


def announcement(old: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The Event for a change of phase or reason, if it is one that people look for."""
    reason = Reason(status["reason"])
    if (old.get("phase"), old.get("reason")) == (status["phase"], status["reason"]) or reason in _UNANNOUNCED:
        return ()
    warning = status["phase"] == Phase.ERROR or reason in _WARNED
    return (
        Announcement(
            type="Warning" if warning else "Normal", reason=str(reason), message=status["message"][:1024]
        ),
    )


def with_attempt(status: Mapping[str, Any], number: int, **fields: Any) -> list[Json]:
    """`status.attempts` with an entry changed or added; None removes a field.

    Past 32 the oldest go, those first that never started: the others are what the job remembers of having run.
    """
    entries = {int(entry["number"]): dict(entry) for entry in status.get("attempts") or []}
    entry = {**entries.get(number, {"number": number}), **fields}
    entries[number] = {key: value for key, value in entry.items() if value is not None}
    surplus = len(entries) - _ATTEMPTS_KEPT
    if surplus > 0:
        idle = [n for n in sorted(entries)[:-1] if not entries[n].get("startTime")]
        for n in [*idle, *(n for n in sorted(entries) if n not in idle)][:surplus]:
            del entries[n]
    return [entries[n] for n in sorted(entries)]


def closed(
    status: Mapping[str, Any],
    number: int,
    *,
    at: str,
    reason: str,
    message: str,
    counted: bool | None,
    **fields: Any,
) -> Json:
    """The fields that record the end of an attempt: its entry, and how long all have run.

    What is recorded of an end stays. `counted` says whether it counts against backoffLimit; None for a success.
    """
    entry = attempt_entry(status, number)
    known = {
        "completionTime": at,
        "reason": reason,
        "message": message,
        "counted": counted,
        **fields,
    }
    attempts = with_attempt(
        status, number, **{k: v for k, v in (known | dict(entry)).items() if k != "number"}
    )
    if entry.get("completionTime"):
        return {"attempts": attempts}
    begun = seconds(entry.get("startTime") or fields.get("startTime"))
    ran = int(status.get("runSeconds") or 0)
    if begun is not None:
        ran += max(0, round((seconds(at) or begun) - begun))
    return {"attempts": attempts, "runSeconds": ran or None}


def was_canceled(status: Mapping[str, Any]) -> bool:
    """Whether a job has ended because somebody wanted it: by its record, for `phase` is an output."""
    ended: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or [] if c.get("type") == ConditionType.FINISHED), {}
    )
    return ended.get("status") == "True" and ended.get("reason") in (
        Reason.CANCELED_BY_USER,
        Reason.PARENT_CANCELED,
    )


def attempt_entry(status: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """The entry of one attempt, empty when there is none."""
    return next((e for e in status.get("attempts") or [] if int(e["number"]) == number), {})


def summary(pods: tuple[PodView, ...], attempt: int) -> Json:
    """`status.pods`: how many pods of an attempt are in which phase."""
    phases = [pod.phase.lower() for pod in pods if pod.attempt == attempt]
    return {"total": len(phases)} | {
        phase: phases.count(phase) for phase in ("pending", "running", "succeeded", "failed")
    }


def reported(observed: ObservedJob, report: Report | None) -> Json:
    """The fields that a trainer's report fills; empty without one."""
    if report is None:
        return {}
    goal = observed.experiment.goal if observed.experiment is not None else None
    fields: Json = {
        "objective": reportedobjective.told(observed.status.get("objective"), report, goal)
        if goal is not None
        else None,
        "progress": progress.progress_status(report) or None,
        "metrics": progress.metrics_status(report) or None,
        "keyMetric": progress.key_metric_status(report),
        "lastReport": progress.last_report_status(report) if report.status or report.message else None,
    }
    checkpoint = progress.checkpoint_status(report)
    if checkpoint is not None:
        fields["lastCheckpoint"] = {**checkpoint, "uri": _address(observed, checkpoint.get("uri") or "")}
    return {key: value for key, value in fields.items() if value is not None}


def restored(record: Mapping[str, Any]) -> Json:
    """What a result that was found in the output tells of the run that left it, as far as it can be trusted."""
    metrics = [
        {key: value for key, value in entry.items() if key in ("name", "value", "epoch")}
        for entry in record.get("metrics") or []
        if isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("value"), str)
    ]
    key = record.get("keyMetric")
    known = isinstance(key, dict) and all(isinstance(key.get(n), str) for n in ("name", "value", "display"))
    objective = reportedobjective.restored(record.get("objective"))
    return {
        "metrics": metrics[:64] or None,
        "keyMetric": key if known else None,
        **({"objective": objective} if objective is not None else {}),
    }


def recorded(status: Mapping[str, Any]) -> Json:
    """What is kept with the result of a run, so that `restored` can tell it."""
    kept = {
        "metrics": [dict(metric) for metric in status.get("metrics") or []][:16],
        "keyMetric": status.get("keyMetric"),
        "startTime": status.get("startTime"),
        # NB: what is kept comes back by a message of 4 kB.
        "objective": {k: v for k, v in (status.get("objective") or {}).items() if k != "curve"},
    }
    return {name: value for name, value in kept.items() if value}


def final_report(report: Report | None, termination: Termination | None, *, now: float) -> Report | None:
    """The report with the termination message folded in: it is the trainer's last word."""
    if termination is None or termination.report is None:
        return report
    at = report.at if report is not None else stamp(now)
    return progress.fold(report, termination.report, at=at)


def _address(observed: ObservedJob, path: str) -> str:
    """A path inside the training container as an address that means something outside."""
    output = observed.spec.output if observed.spec is not None else None
    if output is not None and path.startswith(f"{OUTPUT_MOUNT}/"):
        path = uris.below(uris.store(output), path.removeprefix(f"{OUTPUT_MOUNT}/"))
    return path[:MAX_PATH]
