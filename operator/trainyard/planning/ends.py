"""Ends: of a job, after which nothing of it holds a node, and of an attempt, after which comes the next.

Separate because every path of the plan may come to one; called by `planning.trainingjob`,
`planning.podcreation` and `planning.pending`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import attempts, conditions, jobstatus
from trainyard.planning.observed import Memory, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podview import PodView
from trainyard.planning.times import seconds, sooner, stamp
from trainyard.planning.verdict import Verdict

#: How long other containers of a pod may go on after the training container's end.
LINGER_SECONDS = 15.0
#: Nobody rings when time has passed over a pod that does not end.
LOOK_AGAIN_SECONDS = 15.0
#: Of each attempt; thirty-two of them are kept in status.
ATTEMPT_MESSAGE_LIMIT = 500


def end(
    observed: ObservedJob,
    *,
    phase: Phase,
    reason: Reason,
    message: str,
    now: float,
    over: dict[str, Any] | None = None,
    delete: tuple[PodView, ...] = (),
    requeue_after: float | None = None,
) -> Plan:
    """The plan that ends the job, and with it the attempt that was under way."""
    over = {"stop": None, **(over or {})}
    if reason is Reason.INVALID_SPEC:
        message = f"{_sentence(message)} Mend it, then use trainyard retry {observed.name}."
    left = {**observed.status, **over}
    recorded = left.get("attempts") or []
    if recorded and not recorded[-1].get("completionTime"):
        over |= jobstatus.closed(
            left,
            int(recorded[-1]["number"]),
            at=stamp(now),
            reason=str(reason),
            message=message[:ATTEMPT_MESSAGE_LIMIT],
            counted=None,
        )
    status = jobstatus.in_phase(observed, phase=phase, reason=reason, message=message, now=now, over=over)
    return Plan(
        status=status,
        announce=jobstatus.announcement(observed.status, status),
        delete=delete,
        # NB: nobody rings when its pods' time has come.
        requeue_after=requeue_after if _ttl(observed) is None else sooner(requeue_after, 0.0),
    )


def failed(
    observed: ObservedJob,
    attempt: int,
    verdict: Verdict,
    *,
    now: float,
    over: dict[str, Any],
    ended: str,
    linger: float | None = None,
) -> Plan:
    """What follows the failure of an attempt: the next one until backoffLimit, else the end of the job.

    `linger` is how long other containers of the pod may go on after that end.
    """
    failures = int(observed.status.get("failures") or 0) + 1
    limit = observed.spec.backoff_limit if observed.spec is not None else 0
    over = {**over, "failures": failures}
    if verdict.again and failures <= limit:
        return next_attempt(
            observed,
            attempt,
            phase=Phase.PENDING,
            reason=Reason.BACKING_OFF,
            message=backing_off({**observed.status, **over}, attempt + 1, limit=limit),
            now=now,
            over=over,
        )
    reason, message = verdict.reason, verdict.message
    if verdict.again and failures > 1:
        reason = Reason.BACKOFF_LIMIT_EXCEEDED
        message = (
            f"{failures} attempts failed, backoffLimit is {limit}. The last one: {verdict.reason}. {message} "
            f"When the cause is mended, trainyard retry {observed.name} goes on."
        )
    return end(
        observed,
        phase=Phase.ERROR,
        reason=reason,
        message=message,
        now=now,
        over={**over, "completionTime": ended},
        requeue_after=linger,
    )


def backing_off(status: Mapping[str, Any], attempt: int, *, limit: int) -> str:
    """Why `attempt` has not begun: what the one before came to, and when it will."""
    due = stamp(attempts.not_before(status, attempt))
    before = jobstatus.attempt_entry(status, attempt - 1)
    if before.get("counted") is False:
        return f"Attempt {attempt - 1} was lost soon after its start; attempt {attempt} begins at {due}."
    return f"Retry {status.get('failures', 1)} of {limit} begins at {due}. {before.get('message', '')}"


def next_attempt(
    observed: ObservedJob,
    attempt: int,
    *,
    message: str,
    now: float,
    phase: Phase = Phase.RUNNING,
    reason: Reason = Reason.RESTARTING,
    over: dict[str, Any] | None = None,
    outrun_by: int | None = None,
    ended: str | None = None,
) -> Plan:
    """Record the next attempt; its pods are created only by a later plan that finds it recorded.

    The one before has `ended` now if not before. The next comes after attempt `outrun_by`, where the output knows of
    one that status does not.
    """
    over = dict(over or {})
    left = {**observed.status, **over}
    over |= jobstatus.closed(
        left,
        attempt,
        at=ended or stamp(now),
        reason=str(reason),
        message=message[:ATTEMPT_MESSAGE_LIMIT],
        counted=False,
    )
    over.setdefault("pods", jobstatus.summary(observed.pods, attempt) if observed.pods else None)
    checkpoint = left.get("lastCheckpoint") or {}
    following = max(attempt, attempt if outrun_by is None else outrun_by) + 1
    over["attempts"] = jobstatus.with_attempt(over, following, resumedFrom=checkpoint.get("uri"))
    status = jobstatus.in_phase(observed, phase=phase, reason=reason, message=message, now=now, over=over)
    return Plan(
        status=status,
        announce=jobstatus.announcement(observed.status, status),
        requeue_after=0.0,
        memory=Memory(),
    )


def after_the_end(observed: ObservedJob, *, now: float) -> Plan:
    """Nothing of a finished job holds a node; its pods go when their time has come; an edit is acknowledged.

    A pod whose training container has ended may have others (an injected proxy) that end by themselves, or never.
    """
    there = [pod for pod in observed.pods if pod.deletion_requested_at is None]
    holding = [pod for pod in there if not pod.over]
    ended = seconds(observed.status.get("completionTime")) or 0.0
    wait = ended + LINGER_SECONDS - now
    delete = tuple(pod for pod in holding if wait <= 0 or not pod.judgeable)
    later = wait if len(delete) < len(holding) else None
    ttl = _ttl(observed)
    if ttl is not None and there:
        left = ended + ttl - now
        if left <= 0:
            delete, later = tuple(there), None
        else:
            later = sooner(later, left)
    if observed.status.get("observedGeneration") == observed.generation:
        return Plan(delete=delete, requeue_after=later)
    status = conditions.acknowledged(observed.status, generation=observed.generation)
    return Plan(delete=delete, status=status, requeue_after=later)


def _ttl(observed: ObservedJob) -> int | None:
    return observed.spec.ttl_seconds_after_finished if observed.spec is not None else None


def _sentence(text: str) -> str:
    text = text.rstrip()
    return text if text.endswith((".", "?", "!")) else f"{text}."
