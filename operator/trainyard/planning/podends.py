"""The end of a pod: what it left when its trainer has ended, and what to do while somebody deletes it.

Separate from `planning.trainingjob`, which calls it, because a verdict is given in one place and once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import attempts, jobstatus, podspec, waiting
from trainyard.planning.context import Context
from trainyard.planning.ends import ATTEMPT_MESSAGE_LIMIT, LINGER_SECONDS, end, failed, next_attempt
from trainyard.planning.observed import ObservedJob, PodView
from trainyard.planning.pending import pending, sooner
from trainyard.planning.plan import Plan
from trainyard.planning.times import stamp
from trainyard.planning.verdict import Verdict, judge

#: How long the end of a pod waits for the end of its log, so that the last metrics are in the same write.
LOG_END_SECONDS = 10.0
#: Nobody rings when time has passed over a pod that does not end.
_LOOK_AGAIN_SECONDS = 15.0


def ended(observed: ObservedJob, pod: PodView, *, now: float, context: Context) -> Plan:
    """The trainer has ended: its verdict, once the rest of its log is read or has been waited for."""
    log = observed.logs.get(pod.uid)
    started = pod.trainer is not None and pod.trainer.started_at is not None
    if context.follow_logs and started and (log is None or not log.ended):
        seen = observed.memory.terminal_seen
        memory = observed.memory
        if seen is None or seen[0] != pod.uid:
            memory = dataclasses.replace(memory, terminal_seen=(pod.uid, now))
            seen = (pod.uid, now)
        wait = seen[1] + LOG_END_SECONDS - now
        if wait > 0:
            return Plan(follow=(pod,), ended=(pod,), requeue_after=wait, memory=memory)
    verdict = judge(pod, log)
    finished_at = pod.trainer.finished_at if pod.trainer is not None else None
    if finished_at is not None:
        finished_at = min(finished_at, now)  # NB: by the clock of the node, which may be ahead of ours
    over = _what_it_left(observed, pod, verdict, now=now, context=context, finished_at=finished_at)
    if verdict.lost:
        return next_attempt(observed, pod.attempt, message=verdict.message, now=now, over=over)
    completed = stamp(finished_at if finished_at is not None else now)
    linger = None if pod.over else LINGER_SECONDS
    if verdict.phase is Phase.ERROR:
        return failed(observed, pod.attempt, verdict, now=now, over=over, ended=completed, linger=linger)
    return end(
        observed,
        phase=verdict.phase,
        reason=verdict.reason,
        message=verdict.message,
        now=now,
        over={**over, "completionTime": completed},
        requeue_after=linger,
    )


def _what_it_left(
    observed: ObservedJob,
    pod: PodView,
    verdict: Verdict,
    *,
    now: float,
    context: Context,
    finished_at: float | None,
) -> dict[str, Any]:
    log = observed.logs.get(pod.uid)
    started_at = pod.trainer.started_at if pod.trainer is not None else None
    entry = jobstatus.attempt_entry(observed.status, pod.attempt)
    started = entry.get("startTime") or (stamp(started_at) if started_at is not None else None)
    report = jobstatus.final_report(log.report if log is not None else None, verdict.termination, now=now)
    over: dict[str, Any] = {
        "startTime": observed.status.get("startTime") or started,
        "attempts": jobstatus.with_attempt(
            observed.status,
            pod.attempt,
            startTime=started,
            completionTime=stamp(finished_at if finished_at is not None else now),
            node=pod.node,
            reason=str(verdict.reason),
            message=verdict.message[:ATTEMPT_MESSAGE_LIMIT],
            exitCode=verdict.exit_code,
            parametersDigest=pod.parameters_digest or None,
        ),
        "pods": jobstatus.summary(observed.pods, pod.attempt),
        "logs": logs_uri(observed, context),
        **jobstatus.reported(observed, report),
    }
    if verdict.phase is Phase.DONE and observed.spec is not None:
        uri = podspec.output_uri(observed, observed.spec, attempt=pod.attempt)
        over["artifacts"] = [{"uri": uri}] if uri is not None else None
    return over


def leaving(observed: ObservedJob, pod: PodView, *, now: float, context: Context) -> Plan:
    """Somebody deletes the pod: what comes next depends on how its trainer ends, so wait for that."""
    if not pod.scheduled:
        # NB: no kubelet will ever end it, so nothing is to be learnt from it.
        return Plan(release=(pod,) if pod.finalized else (), memory=observed.memory)
    if attempts.given_up(pod, now=now):
        return next_attempt(
            observed,
            pod.attempt,
            message=f"Pod {pod.name} was deleted by force and its node {pod.node} has told no end of it; the next "
            "attempt continues from the last checkpoint, if there is one.",
            now=now,
        )
    follow = (
        (pod,) if context.follow_logs and pod.trainer is not None and pod.trainer.state == "running" else ()
    )
    finding = waiting.pod_is_being_deleted(pod, now=now)
    if not jobstatus.attempt_entry(observed.status, pod.attempt).get("startTime"):
        plan = pending(observed, finding, now=now, pod=pod)
        later = sooner(plan.requeue_after, _LOOK_AGAIN_SECONDS)
        return dataclasses.replace(plan, follow=follow, requeue_after=later)
    status = jobstatus.in_phase(
        observed, phase=Phase.RUNNING, reason=Reason.RESTARTING, message=finding.message, now=now
    )
    written = None if status == observed.status else status
    return Plan(
        status=written,
        announce=jobstatus.announcement(observed.status, status) if written is not None else (),
        follow=follow,
        memory=observed.memory,
        requeue_after=_LOOK_AGAIN_SECONDS,
    )


def logs_uri(observed: ObservedJob, context: Context) -> str | None:
    """The folder of a job's stored logs; None while none are kept."""
    if not (context.follow_logs and context.log_store):
        return None
    return f"{context.log_store.rstrip('/')}/{observed.namespace}/{observed.uid}/"
