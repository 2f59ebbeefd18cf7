"""Stops: a job is paused, cancelled, or stopped by one of its limits, and goes on again.

Separate because a stop is decided once and outlives the operator: `status.stop` is written before any pod is told, the
pods end, and only then is it in force. What the user wants may change at any moment in between; a stop that is under
way is brought to its end, and what is wanted then decides how it ends. Called by `planning.trainingjob` and `podends`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from trainyard.api.reasons import ConditionType, Phase, Reason
from trainyard.planning import conditions, jobstatus, membership, nodeloss, podspec, spechash, stoptexts
from trainyard.planning.context import Context
from trainyard.planning.ends import ATTEMPT_MESSAGE_LIMIT, LOOK_AGAIN_SECONDS, end, failed
from trainyard.planning.observed import LogView, Memory, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.runtime import Unresolved, resolve
from trainyard.planning.times import seconds, sooner, stamp
from trainyard.planning.verdict import Verdict

Json = Mapping[str, Any]
Cause = Literal["Suspend", "Cancel", "DeadlineExceeded", "NoProgress"]

#: How far the clock of a node may be from ours.
CLOCK_SECONDS = 5.0
_STOPPING: Mapping[Cause, tuple[Reason, str]] = {
    "Suspend": (Reason.PAUSING, "Being paused"),
    "Cancel": (Reason.CANCELING, "Being cancelled"),
    "DeadlineExceeded": (Reason.STOPPING, "activeDeadlineSeconds have passed"),
    "NoProgress": (Reason.STOPPING, "The trainer has been silent for longer than progressTimeoutSeconds"),
}


def wanted(observed: ObservedJob) -> Cause | None:
    """Why the job shall not run, or None: what its spec says, or a stop that cannot be taken back."""
    cause: Cause | None = (observed.status.get("stop") or {}).get("cause")
    if cause == "DeadlineExceeded":
        return cause
    if observed.cancel:
        return "Cancel"
    if cause == "NoProgress":
        return cause
    # NB: pods that were told to end are not to be held up: it pauses, and goes on afterwards.
    return "Suspend" if cause is not None or observed.suspend else None


def in_force(status: Json) -> bool:
    """Whether the job was stopped and nothing of it runs."""
    return bool((status.get("stop") or {}).get("endTime"))


def overdue(
    observed: ObservedJob, attempt: int, log: LogView | None, *, now: float
) -> tuple[Cause | None, float | None]:
    """The limit that the running attempt has reached, if any, and the seconds until the next one is; `log` is what its
    ranks have told.
    """
    spec, later = observed.spec, None
    if spec is None:
        return None, None
    if spec.active_deadline_seconds is not None:
        begun = seconds(jobstatus.attempt_entry(observed.status, attempt).get("startTime")) or now
        ran = int(observed.status.get("runSeconds") or 0) + now - begun
        later = spec.active_deadline_seconds - ran
        if later <= 0:
            return "DeadlineExceeded", None
    if spec.progress_timeout_seconds and log is not None and log.report is not None and log.silent_since:
        left = log.silent_since + spec.progress_timeout_seconds - now
        if left <= 0:
            return "NoProgress", None
        later = sooner(later, left)
    return None, later


def stopping(observed: ObservedJob, attempt: int, cause: Cause, *, now: float, context: Context) -> Plan:
    """Bring the pods of a job to their end; when there is none left, record that it is stopped."""
    holding = tuple(
        pod for pod in observed.pods if not pod.over and nodeloss.given_up(observed, pod, now=now) is None
    )
    if not holding:
        return stopped(observed, attempt, cause, now=now, context=context)
    begun = next((pod for pod in holding if pod.trainer is not None and pod.trainer.started_at), None)
    reason, why = _STOPPING[cause]
    lost = nodeloss.node_is_lost(observed, begun) if begun is not None else None
    asking = membership.asks(observed, cause)
    why = why if asking is None else f"{why} with Experiment {asking.name}"
    message = f"{why}; {stoptexts.what_ends(observed, holding, begun) if lost is None else lost.message}"
    over: dict[str, Any] = {}
    before = observed.status.get("stop") or {}
    if not before:
        # NB: what was reported until now is written with it: a checkpoint that differs at the end is of the way out.
        over = _reported(observed, attempt)
    status = jobstatus.in_phase(
        observed,
        phase=Phase.PENDING if begun is None else Phase.RUNNING,
        reason=Reason.WAITING_FOR_CLEANUP if begun is None else reason,
        message=message,
        now=now,
        over={**over, "stop": _decided(observed, before, cause, now=now)},
    )
    running = tuple(pod for pod in holding if pod.trainer is not None and pod.trainer.state == "running")
    return Plan(
        status=None if status == observed.status else status,
        announce=() if status == observed.status else jobstatus.announcement(observed.status, status),
        delete=tuple(pod for pod in holding if pod.deletion_requested_at is None),
        # NB: no kubelet will ever end one without a node, so nothing is to be learnt from it.
        release=tuple(
            pod
            for pod in holding
            if pod.deletion_requested_at is not None and not pod.scheduled and pod.finalized
        ),
        grace_seconds=podspec.grace_seconds(observed.spec) if observed.spec is not None else None,
        follow=running if context.follow_logs else (),
        requeue_after=LOOK_AGAIN_SECONDS,
        memory=dataclasses.replace(observed.memory, pending=None),
    )


def stopped(
    observed: ObservedJob,
    attempt: int,
    cause: Cause,
    *,
    now: float,
    context: Context,
    over: dict[str, Any] | None = None,
    ended_at: str | None = None,
) -> Plan:
    """Record that nothing of the job runs any longer; `over` is what its last pod left."""
    over = dict(over or {})
    ended_at = ended_at or stamp(now)
    over.setdefault("pods", jobstatus.summary(observed.pods, attempt) if observed.pods else None)
    left = {**observed.status, **over}
    entry = jobstatus.attempt_entry(left, attempt)
    if entry and not entry.get("completionTime"):  # what `leaving` has noted; the end says better
        left["attempts"] = jobstatus.with_attempt(left, attempt, reason=None)
    stop = _decided(observed, observed.status.get("stop") or {}, cause, now=now)
    begun = bool(jobstatus.attempt_entry(left, attempt).get("startTime"))
    if begun and not stop.get("endTime"):
        stop["checkpoint"] = _saved_on_the_way_out(observed.status, left, stop)
    message = stoptexts.told(observed, left, stop, begun=begun, able=resumable(observed, context))
    if begun or any(pod.attempt == attempt for pod in observed.pods):
        reason = {"Suspend": Reason.PAUSED, "Cancel": Reason.CANCELED_BY_USER}.get(cause)
        closed = {"reason": str(reason or cause), "message": message[:ATTEMPT_MESSAGE_LIMIT]}
        over |= jobstatus.closed(left, attempt, at=ended_at, **closed, counted=cause == "NoProgress")
    if cause == "NoProgress":
        verdict = Verdict(phase=Phase.ERROR, reason=Reason.NO_PROGRESS, message=message)
        return failed(observed, attempt, verdict, now=now, over={**over, "stop": None}, ended=ended_at)
    over["stop"] = {**stop, "endTime": ended_at}
    if cause == "Suspend":
        return _resting(observed, message=message, now=now, over=over)
    phase, reason = {
        "Cancel": (Phase.CANCELED, Reason.CANCELED_BY_USER),
        "DeadlineExceeded": (Phase.ERROR, Reason.DEADLINE_EXCEEDED),
    }[cause]
    return end(
        observed,
        phase=phase,
        reason=reason,
        message=message,
        now=now,
        over={**over, "completionTime": ended_at},
    )


def at_rest(observed: ObservedJob, attempt: int, *, now: float, context: Context) -> Plan:
    """The plan of a paused job: it stays so, is cancelled, or goes on."""
    left_over = tuple(pod for pod in observed.pods if not pod.over and pod.deletion_requested_at is None)
    released = tuple(
        pod
        for pod in observed.pods
        if pod.finalized and pod.deletion_requested_at is not None and (pod.over or not pod.scheduled)
    )
    if observed.cancel:
        plan = stopped(observed, attempt, "Cancel", now=now, context=context)
    elif observed.spec is None or observed.suspend or observed.membership.goes:
        over = _said_again(observed, attempt, "Suspend", now=now, context=context)
        message = str(over.pop("message", observed.status.get("message")) or "")
        plan = _resting(observed, message=message, now=now, over=over)
    else:
        plan = go_on(observed, attempt, now=now, context=context)
    return dataclasses.replace(plan, delete=(*plan.delete, *left_over), release=(*plan.release, *released))


def after_cancel(observed: ObservedJob, attempt: int, *, now: float, context: Context) -> Plan | None:
    """The plan of a cancelled job that its user does not want cancelled any longer; None for any other ended job."""
    cause = (observed.status.get("stop") or {}).get("cause")
    if cause != "Cancel" or observed.spec is None:
        return None
    if observed.cancel or observed.membership.goes:
        over = _said_again(observed, attempt, "Cancel", now=now, context=context)
        status = {**conditions.acknowledged(observed.status, generation=observed.generation), **over}
        return Plan(status=status, requeue_after=0.0) if over else None
    if _retry(observed):
        return None
    if resumable(observed, context) or not spechash.begun(observed.status):
        return go_on(observed, attempt, now=now, context=context)
    message = (
        f"Cancelled, and stays so: action {observed.spec.action} cannot go on where it was. "
        f"trainyard retry {observed.name} runs it from its beginning."
    )
    if observed.status.get("message") == message:
        return None
    status = conditions.acknowledged(observed.status, generation=observed.generation)
    return Plan(status={**status, "message": message}, requeue_after=0.0)


def asked_again(observed: ObservedJob, attempt: int, *, now: float, context: Context) -> Plan | None:
    """The plan of a job that ended without success and whose annotation retry-requested-at is new; else None."""
    if not _retry(observed) or conditions.is_true(observed.status, ConditionType.SUCCEEDED):
        return None
    if observed.cancel:
        return None  # NB: cancel wins; taken back, the request still stands
    return go_on(
        observed,
        attempt,
        now=now,
        context=context,
        reason=Reason.BACKING_OFF,
        over={"failures": None, "runSeconds": None, "retryRequestedAt": observed.retry_requested_at},
    )


def acknowledged(observed: ObservedJob, plan: Plan) -> Plan:
    """`plan` with a request for a retry taken note of on a job that needs none: a later failure is not meant by it."""
    status = observed.status if plan.status is None else plan.status
    if not _retry(observed) or status.get("retryRequestedAt") == observed.retry_requested_at:
        return plan
    if status.get("completionTime") and not conditions.is_true(status, ConditionType.SUCCEEDED):
        return plan
    return dataclasses.replace(plan, status={**status, "retryRequestedAt": observed.retry_requested_at})


def go_on(
    observed: ObservedJob,
    attempt: int,
    *,
    now: float,
    context: Context,
    reason: Reason = Reason.RESUMING,
    over: dict[str, Any] | None = None,
) -> Plan:
    """Record the attempt that a stopped or ended job goes on with; what may change meanwhile is taken as it is now."""
    made = any(pod.attempt == attempt for pod in observed.pods)
    number = (
        attempt + 1
        if made or jobstatus.attempt_entry(observed.status, attempt).get("completionTime")
        else attempt
    )
    over = {**(over or {}), "stop": None, "completionTime": None}
    if observed.status.get("completionTime"):
        # NB: the volume of a revision goes when no unfinished job uses it; what is begun anew takes the newest.
        over["datasets"] = over["baseModels"] = None
    able = resumable(observed, context)
    checkpoint = (observed.status.get("lastCheckpoint") or {}) if able else {}
    if number > 0:
        digest = spechash.parameters_digest(observed.spec) if observed.spec is not None else None
        over["attempts"] = jobstatus.with_attempt(
            observed.status, number, parametersDigest=digest, resumedFrom=checkpoint.get("uri")
        )
    if checkpoint:
        whence = f"goes on from the checkpoint of epoch {stoptexts.epoch(checkpoint)}"
    elif able:
        whence = "begins; no checkpoint was reported"
    else:
        whence = "begins anew, as this action cannot go on where it was"
    over.setdefault("pods", None)
    message = (
        f"Attempt {number} {whence}."
        if spechash.begun(observed.status)
        else "The job has not run yet and begins."
    )
    status = jobstatus.in_phase(
        observed, phase=Phase.PENDING, reason=reason, message=message, now=now, over=over
    )
    return Plan(
        status=status,
        announce=jobstatus.announcement(observed.status, status),
        requeue_after=0.0,
        memory=Memory(),
    )


def resumable(observed: ObservedJob, context: Context) -> bool:
    """Whether the job's action goes on from its own checkpoint."""
    if observed.spec is None:
        return False
    resolved = resolve(observed.spec, context.catalog)
    return not isinstance(resolved, Unresolved) and resolved[1].resumable


def _resting(observed: ObservedJob, *, message: str, now: float, over: dict[str, Any]) -> Plan:
    status = jobstatus.in_phase(
        observed, phase=Phase.PENDING, reason=Reason.PAUSED, message=message, now=now, over=over
    )
    if status == observed.status:
        return Plan(memory=observed.memory)
    return Plan(status=status, announce=jobstatus.announcement(observed.status, status), requeue_after=0.0)


def _decided(observed: ObservedJob, before: Json, cause: Cause, *, now: float) -> dict[str, Any]:
    """The record of a stop: when it was decided first, why, and with which Experiment."""
    stop = {"time": stamp(now), **before, "cause": cause}
    asking = membership.asks(observed, cause)
    return {key: value for key, value in stop.items() if key != "experiment"} | (
        {"experiment": asking.name} if asking is not None else {}
    )


def _said_again(
    observed: ObservedJob, attempt: int, cause: Cause, *, now: float, context: Context
) -> dict[str, Any]:
    """What is to be said of a stop that is in force once others ask for it than did; empty while it is as it was."""
    before = observed.status.get("stop") or {}
    stop = _decided(observed, before, cause, now=now)
    if not (before.get("experiment") or stop.get("experiment")) or before.get("cause") != cause:
        return {}
    if observed.membership.goes:
        return {}
    begun = bool(jobstatus.attempt_entry(observed.status, attempt).get("startTime"))
    able = resumable(observed, context)
    message = stoptexts.told(observed, observed.status, stop, begun=begun, able=able)
    changed = stop != before or message[: conditions.MESSAGE_LIMIT] != observed.status.get("message")
    return {"stop": stop, "message": message} if changed else {}


def _retry(observed: ObservedJob) -> bool:
    asked = observed.retry_requested_at
    return bool(asked) and asked != observed.status.get("retryRequestedAt")


def _saved_on_the_way_out(before: Json, left: Json, stop: Json) -> bool:
    """Whether there is a checkpoint that there was not when the stop was decided, and that is not older than it."""
    checkpoint = left.get("lastCheckpoint") or {}
    saved, decided = seconds(checkpoint.get("time")), seconds(stop["time"])
    last = before.get("lastCheckpoint") or {}
    new = (checkpoint.get("epoch"), checkpoint.get("uri")) != (last.get("epoch"), last.get("uri"))
    return new and saved is not None and decided is not None and saved >= decided - CLOCK_SECONDS


def _reported(observed: ObservedJob, attempt: int) -> dict[str, Any]:
    pod = next((pod for pod in observed.pods if pod.attempt == attempt and pod.rank == 0), None)
    log = observed.logs.get(pod.uid) if pod is not None else None
    return jobstatus.reported(observed, log.report if log is not None else None)
