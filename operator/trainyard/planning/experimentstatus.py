"""Composing an Experiment's status from its steps: phase, progress, the best value, what it leaves.

Separate because planning decides and this writes down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.api.reasons import FINAL, Phase, Reason
from trainyard.planning import conditions, experimentbases, searchstatus, steps
from trainyard.planning.experimentobserved import ExperimentPlan, ObservedExperiment
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.steps import StepState
from trainyard.planning.times import seconds, stamp

Json = Mapping[str, Any]

_DRAFT = "A draft: it is kept as it is, and nothing runs, as spec.actions is empty."
_JOINED = "Nothing runs by itself, as spec.actions is empty; {} TrainingJobs have joined it."
#: Reasons of what is on its way: between two steps an Experiment goes on running.
_COMING_UP = frozenset(
    {Reason.ACCEPTED, Reason.STARTING, Reason.PULLING_IMAGE, Reason.RESUMING, Reason.WAITING_FOR_PARENT}
)
#: What the steps have come to; it stays while the jobs that have told it are gone.
_RESULTS = ("keyMetric", "artifacts", "archive", "result")
_FINE = frozenset({Reason.DRAFT, Reason.COMPLETED, Reason.TRAINING, Reason.SEARCHING})
_UNANNOUNCED = frozenset({Reason.ACCEPTED, Reason.STARTING, Reason.PULLING_IMAGE, Reason.PROPOSING})


def refused(observed: ObservedExperiment, reason: Reason, message: str, *, now: float) -> ExperimentPlan:
    """What cannot be run, or not yet. Jobs of what the spec said before go on; it has not ended before they have."""
    phase = Phase.ERROR if reason is Reason.INVALID_SPEC else Phase.PENDING
    going = [job for job in observed.jobs if job.owner == observed.uid and not job.over]
    if going:
        phase = Phase.RUNNING if any(job.phase == Phase.RUNNING for job in going) else Phase.PENDING
        still = "1 job of it still runs" if len(going) == 1 else f"{len(going)} jobs of it still run"
        message = f"{message} Until it is mended it goes on as it was: {still}."
    return _planned(observed, {**observed.status, **_counted(observed)}, phase, reason, message, now=now)


def draft(observed: ObservedExperiment, *, now: float) -> ExperimentPlan:
    """One without steps; jobs that name it have joined it."""
    message = _JOINED.format(len(observed.jobs)) if observed.jobs else _DRAFT
    status = {**observed.status, **_counted(observed)}
    for name in ("steps", "automl", "progress", "baseModels", "startTime", "completionTime"):
        status.pop(name, None)
    return _planned(observed, status, Phase.PENDING, Reason.DRAFT, message, now=now)


def of_steps(
    observed: ObservedExperiment, states: Sequence[StepState], *, now: float
) -> tuple[dict[str, Any], tuple[Announcement, ...]]:
    """The whole status, and the Event for a change that people look for."""
    old = observed.status
    begun = old.get("startTime") or min(
        (state.status["startTime"] for state in states if state.status.get("startTime")), default=None
    )
    phase, reason, message, suspended = _together(observed, states, begun=begun is not None)
    former = {name: old[name] for name in _RESULTS if name in old} if not _begins_anew(old, states) else {}
    status = {
        **{name: value for name, value in old.items() if name not in _RESULTS},
        **former,
        **_counted(observed),
        "startTime": begun,
        "steps": [state.status for state in states],
        "automl": _search(observed, states),
        "progress": _progress(states),
        "keyMetric": _key_metric(states) or former.get("keyMetric"),
        "baseModels": experimentbases.as_status(observed),
        **_left(states),
    }
    return _stated(observed, status, phase, reason, message, now=now, suspended=suspended)


def _begins_anew(old: Json, states: Sequence[StepState]) -> bool:
    """Whether a step that had come to something is now another: what it came to is none of what is asked for."""
    searched = next((state.automl.get("digest") for state in states if state.automl is not None), None)
    before = (old.get("automl") or {}).get("digest")
    if searched and before and searched != before:
        return True
    digests = {state.step.name: state.digest for state in states}
    return any(
        digests.get(entry.get("name")) not in (None, entry.get("digest"))
        for entry in old.get("steps") or []
        if entry.get("metric") or entry.get("phase") == Phase.DONE
    )


def _together(
    observed: ObservedExperiment, states: Sequence[StepState], *, begun: bool
) -> tuple[Phase, Reason, str, bool]:
    """Phase, reason, message, and whether it is paused and nothing of it runs."""
    assert observed.spec is not None
    going = [job for job in observed.jobs if job.owner == observed.uid and not job.over]
    if all(state.final for state in states):
        return *_ended(states), False
    held = steps.held_back(observed)
    if held is not None:
        running = [job for job in going if job.phase == Phase.RUNNING]
        if held[1] is Reason.CANCELED_BY_USER:
            if going:
                return (
                    Phase.RUNNING,
                    Reason.CANCELING,
                    f"Being cancelled; {len(going)} jobs still run.",
                    False,
                )
            return *held, False
        if running:
            return Phase.RUNNING, Reason.PAUSING, f"Being paused; {len(running)} jobs still run.", False
        message = "Paused; spec.suspend: false goes on where it was (trainyard resume experiment "
        return Phase.PENDING, Reason.PAUSED, f"{message}{observed.name}).", True
    for state in states:
        if state.phase == Phase.RUNNING:
            reason = steps.reason_of(state.status["reason"])
            if reason not in (Reason.SEARCHING, Reason.PROPOSING):
                reason = Reason.TRAINING if reason in _OF_A_JOB else reason
            return Phase.RUNNING, reason, _said(state), False
    waiting = [state for state in states if not state.final]
    first = next(
        (state for state in waiting if state.status["reason"] != Reason.WAITING_FOR_PARENT), waiting[0]
    )
    reason = steps.reason_of(first.status["reason"])
    if begun and reason in _COMING_UP:
        searching = first.automl is not None
        return Phase.RUNNING, Reason.SEARCHING if searching else Reason.TRAINING, _said(first), False
    return Phase.PENDING, reason, _said(first), False


#: What one job is doing says little of the whole: the step's message has it.
_OF_A_JOB = frozenset(
    {Reason.UPLOADING, Reason.STOPPING, Reason.RESTARTING, Reason.PAUSING, Reason.CANCELING}
)


def _ended(states: Sequence[StepState]) -> tuple[Phase, Reason, str]:
    failed = [state for state in states if state.phase == Phase.ERROR]
    # NB: a step that failed for another's sake is no news.
    by_itself = [state for state in failed if state.status.get("reason") != Reason.PARENT_FAILED] or failed
    if failed:
        first = by_itself[0]
        more = f" {len(failed) - 1} others failed or depend on it." if len(failed) > 1 else ""
        tuned = first.status.get("reason") == Reason.TRIALS_FAILED
        return Phase.ERROR, Reason.TRIALS_FAILED if tuned else Reason.STEP_FAILED, f"{_said(first)}{more}"
    canceled = [state for state in states if state.phase == Phase.CANCELED]
    if canceled:
        return Phase.CANCELED, Reason.CANCELED_BY_USER, _said(canceled[0])
    return (
        Phase.DONE,
        Reason.COMPLETED,
        f"All {len(states)} steps are Done." if len(states) > 1 else _said(states[0]),
    )


def _said(state: StepState) -> str:
    message = state.status.get("message")
    told = f" ({state.status['reason']})" if state.phase in (Phase.PENDING, Phase.ERROR) else ""
    return (
        f"Step {state.step.name}{told}: {message}" if message else f"Step {state.step.name} is {state.phase}."
    )


def _counted(observed: ObservedExperiment) -> dict[str, Any]:
    """`jobs` by phase, and the last status line of any."""
    phases = [(job.phase or str(Phase.PENDING)).lower() for job in observed.jobs]
    counts = {name: phases.count(name) for name in ("pending", "running", "done", "error", "canceled")}
    reports = [job.last_report for job in observed.jobs if job.last_report is not None]
    latest = max(reports, key=lambda report: str(report.get("time") or ""), default=None)
    return {
        "jobs": {"total": len(phases), **counts} if phases else None,
        "lastReport": latest,
    }


def _search(observed: ObservedExperiment, states: Sequence[StepState]) -> Json | None:
    """NB: what is known of a search stays while its spec is wrong, or has yet to be begun anew."""
    assert observed.spec is not None
    told = next((state.automl for state in states if state.automl is not None), None)
    return told or (observed.status.get("automl") if observed.spec.automl is not None else None)


def _progress(states: Sequence[StepState]) -> dict[str, Any]:
    under_way = [state.step.name for state in states if state.phase == Phase.RUNNING]
    if not under_way:
        under_way = [state.step.name for state in states if not state.final][:1]
    done = sum(state.phase == Phase.DONE for state in states)
    summary = f"{done}/{len(states)}"
    for state in states:
        if state.automl is not None and not state.final:
            counts = state.automl["trials"]
            ended = sum(counts[name] for name in ("succeeded", "failed", "stopped", "canceled"))
            summary = f"{ended}/{counts['total']}"
    return steps.clean(
        {
            "action": ", ".join(under_way)[:63] or None,
            "done": done,
            "total": len(states),
            "summary": summary,
        }
    )


def _key_metric(states: Sequence[StepState]) -> dict[str, Any] | None:
    """The best value of the objective's metric, of the steps; of the tuned one the best trial's."""
    for state in states:
        if state.automl is not None and (best := state.automl.get("bestTrial")) and best.get("value"):
            return searchstatus.key_metric(str(state.automl["metric"]), float(best["value"]))
    told = [s.child for s in states if s.child is not None and s.child.value is not None and s.child.metric]
    if told:
        name = str(told[0].metric)
        values = [child.value for child in told if child.metric == name and child.value is not None]
        return searchstatus.key_metric(name, min(values) if told[0].minimized else max(values))
    shown = [s.child.key_metric for s in states if s.child is not None and s.child.key_metric]
    return dict(shown[-1]) if shown else None


def _left(states: Sequence[StepState]) -> dict[str, Any]:
    """Artifacts of the last step that has left any, and the result file of the last that has one, which need not be the
    same: an export draws no curves. Of a tuned step the best trial's.
    """
    done = [state.child for state in states if state.child is not None and state.child.succeeded]
    found: dict[str, Any] = {}
    for child in done:
        if child.artifacts:
            found["artifacts"] = [dict(one) for one in child.artifacts]
            found["archive"] = dict(child.archive) if child.archive else None
        if child.result:
            found["result"] = dict(child.result)
    return found


def _planned(
    observed: ObservedExperiment, status: Json, phase: Phase, reason: Reason, message: str, *, now: float
) -> ExperimentPlan:
    whole, announce = _stated(observed, status, phase, reason, message, now=now, suspended=False)
    changed = whole if whole != observed.status else None
    return ExperimentPlan(plan=Plan(status=changed, announce=announce if changed is not None else ()))


def _stated(
    observed: ObservedExperiment,
    status: Json,
    phase: Phase,
    reason: Reason,
    message: str,
    *,
    now: float,
    suspended: bool,
) -> tuple[dict[str, Any], tuple[Announcement, ...]]:
    old = observed.status
    whole = {
        **status,
        **conditions.stated(
            old,
            phase=phase,
            reason=str(reason),
            message=message,
            generation=observed.generation,
            now=now,
            ready=True,
            suspended=suspended,
        ),
        "completionTime": None,
    }
    if phase in FINAL:
        # NB: it ended when the last of its steps did, which may have been before anybody looked.
        ends = [at for entry in whole.get("steps") or [] if (at := seconds(entry.get("completionTime")))]
        whole["completionTime"] = old.get("completionTime") or stamp(max(ends, default=now))
    whole = steps.clean(whole)
    changed = (old.get("phase"), old.get("reason")) != (str(phase), str(reason))
    announce: tuple[Announcement, ...] = ()
    if changed and reason not in _UNANNOUNCED:
        kind: Any = "Normal" if reason in _FINE or phase is Phase.CANCELED else "Warning"
        announce = (Announcement(type=kind, reason=str(reason), message=message[:1024]),)
    return whole, announce
