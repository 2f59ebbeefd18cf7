"""The end of a pod: what it left when its trainer has ended, and what to do while somebody deletes it.

Separate from `planning.trainingjob`, which calls it, because a verdict is given in one place and once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import jobstatus, nodeloss, podspec, stops, waiting
from trainyard.planning.agent import Uploaded, uploaded
from trainyard.planning.context import Context
from trainyard.planning.ends import (
    ATTEMPT_MESSAGE_LIMIT,
    LINGER_SECONDS,
    LOOK_AGAIN_SECONDS,
    end,
    failed,
    next_attempt,
)
from trainyard.planning.finding import Finding
from trainyard.planning.observed import ObservedJob
from trainyard.planning.pending import pending
from trainyard.planning.plan import Plan
from trainyard.planning.podloss import lost_by
from trainyard.planning.podview import PodView
from trainyard.planning.ranks import Group, verdict_on
from trainyard.planning.statusline import parse_termination
from trainyard.planning.times import sooner, stamp
from trainyard.planning.verdict import Verdict

#: How long the end of a pod waits for the end of its log, so that the last metrics are in the same write.
LOG_END_SECONDS = 10.0
#: As long as that log is being read, it waits for so long.
LOG_READ_SECONDS = 120.0
_LOOK_AT_LOG_SECONDS = 5.0


def ended(observed: ObservedJob, ranks: Group, pod: PodView, *, now: float, context: Context) -> Plan:
    """A pod whose end is that of its attempt: its verdict, once the rest of its log is read or has been waited for."""
    log = observed.logs.get(pod.uid)
    over_pods = tuple(other for other in ranks.pods if other.trained)
    if context.follow_logs and pod.begun and (log is None or not log.ended):
        seen = observed.memory.terminal_seen
        memory = observed.memory
        if seen is None or seen[0] != pod.uid:
            memory = dataclasses.replace(memory, terminal_seen=(pod.uid, now))
            seen = (pod.uid, now)
        reading = log is not None and log.reading
        wait = seen[1] + (LOG_READ_SECONDS if reading else LOG_END_SECONDS) - now
        if wait > 0:
            # NB: reading can end without a bell, where it is given up.
            later = min(wait, _LOOK_AT_LOG_SECONDS) if reading else wait
            return Plan(follow=(pod,), ended=over_pods, requeue_after=later, memory=memory)
    plan = _judged(observed, ranks, pod, now=now, context=context)
    return dataclasses.replace(plan, ended=over_pods)


def _judged(observed: ObservedJob, ranks: Group, pod: PodView, *, now: float, context: Context) -> Plan:
    verdict = verdict_on(observed, pod)
    finished_at = pod.trainer.finished_at if pod.trainer is not None else None
    if finished_at is not None:
        finished_at = min(finished_at, now)  # NB: by the clock of the node, which may be ahead of ours
    over = _what_it_left(observed, ranks, pod, verdict, now=now, context=context, finished_at=finished_at)
    completed = stamp(finished_at if finished_at is not None else now)
    stop = observed.status.get("stop")
    if verdict.lost and stop:
        cause = stops.wanted(observed) or "Suspend"
        if any(not p.over and nodeloss.given_up(observed, p, now=now) is None for p in ranks.pods):
            # NB: another rank, or another container of this one, still holds its node.
            return stops.stopping(observed, pod.attempt, cause, now=now, context=context)
        return stops.stopped(
            observed, pod.attempt, cause, now=now, context=context, over=over, ended_at=completed
        )
    if verdict.lost:
        return next_attempt(
            observed,
            pod.attempt,
            message=verdict.message,
            now=now,
            over=over,
            reason=verdict.reason,
            outrun_by=verdict.outrun_by,
        )
    linger = None if all(p.over for p in ranks.pods) else LINGER_SECONDS
    limit = (stop or {}).get("cause")
    if verdict.phase is Phase.ERROR and limit == "DeadlineExceeded":
        return stops.stopped(
            observed, pod.attempt, limit, now=now, context=context, over=over, ended_at=completed
        )
    if verdict.phase is Phase.ERROR:
        if limit == "NoProgress":
            over["stop"] = None  # it has failed by itself, which counts once
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
    ranks: Group,
    pod: PodView,
    verdict: Verdict,
    *,
    now: float,
    context: Context,
    finished_at: float | None,
) -> dict[str, Any]:
    first = ranks.first or pod
    log = observed.logs.get(first.uid)
    started_at = pod.trainer.started_at if pod.trainer is not None else None
    entry = jobstatus.attempt_entry(observed.status, pod.attempt)
    started = entry.get("startTime") or (stamp(started_at) if started_at is not None else None)
    termination = verdict.termination
    if first is not pod:
        termination = parse_termination(first.trainer.message) if first.trained and first.trainer else None
    report = jobstatus.final_report(log.report if log is not None else None, termination, now=now)
    known = {
        "startTime": started,
        "node": first.node,
        "rank": pod.rank if ranks.size > 1 else None,
        "exitCode": verdict.exit_code,
        "parametersDigest": pod.parameters_digest or None,
    }
    if not entry.get("completionTime") and not verdict.lost:
        known["reason"] = None  # what `leaving` has noted; the end says better
    over: dict[str, Any] = {
        "startTime": observed.status.get("startTime") or started,
        "attempts": jobstatus.with_attempt(observed.status, pod.attempt, **known),
        "pods": jobstatus.summary(observed.pods, pod.attempt),
        "logs": logs_uri(observed, context),
        **jobstatus.reported(observed, report),
    }
    word = uploaded(first.agent) if first.agent is not None and first.agent.state == "terminated" else None
    if word is not None and word.checkpoint is not None:
        # NB: what the trainer has reported may be still on its way; this one is safe.
        over["lastCheckpoint"] = dict(word.checkpoint)
    if not (verdict.lost and observed.status.get("stop")):
        over |= jobstatus.closed(
            {**observed.status, **over},
            pod.attempt,
            at=stamp(finished_at if finished_at is not None else now),
            reason=str(verdict.reason),
            message=verdict.message[:ATTEMPT_MESSAGE_LIMIT],
            counted=None if verdict.phase is Phase.DONE else not verdict.lost,
        )
    if verdict.phase is Phase.DONE:
        over |= _made(observed, verdict, word, attempt=pod.attempt)
    return over


def _made(observed: ObservedJob, verdict: Verdict, word: Uploaded | None, *, attempt: int) -> dict[str, Any]:
    """What is told of what the job has made; a result that was found tells of its own."""
    if verdict.complete is not None:
        found = verdict.complete
        record = jobstatus.restored(found.record or {})
        return {**record, "artifacts": list(found.artifacts) or None}
    if word is not None and word.artifacts:
        return {"artifacts": list(word.artifacts)}
    uri = podspec.output_uri(observed, observed.spec, attempt=attempt) if observed.spec is not None else None
    return {"artifacts": [{"uri": uri}] if uri is not None else None}


def uploading(observed: ObservedJob, ranks: Group, *, now: float) -> Plan:
    """All trainers have ended and the agent brings what they left to the output; told when it takes its time."""
    busy = next(pod for pod in ranks.pods if not pod.judgeable)
    finding = Finding(
        phase=Phase.RUNNING,
        reason=Reason.UPLOADING,
        message=f"The trainer in pod {busy.name} has ended; what it left is brought to the output.",
    )
    plan = pending(observed, finding, now=now)
    return dataclasses.replace(plan, ended=tuple(pod for pod in ranks.pods if pod.trained))


def leaving(observed: ObservedJob, ranks: Group, pod: PodView, *, now: float, context: Context) -> Plan:
    """Somebody deletes the pod: what comes next depends on how its trainer ends, so wait for that.

    Other ranks that have begun cannot go on without it, and are told to save and end as well.
    """
    if not pod.scheduled:
        # NB: no kubelet will ever end it, so nothing is to be learnt from it.
        return Plan(release=(pod,) if pod.finalized else (), memory=observed.memory)
    others = tuple(
        other
        for other in ranks.pods
        if other is not pod and other.begun and not other.trained and other.deletion_requested_at is None
    )
    lost = nodeloss.given_up(observed, pod, now=now)
    if lost is not None:
        # NB: a trainer that had ended has not run since, and the next attempt may find its result.
        known = pod.trainer.finished_at if ranks.trained and pod.trainer is not None else None
        ended_at = stamp(min(known, now)) if known is not None else None
        return next_attempt(
            observed, pod.attempt, message=lost.message, now=now, reason=lost.reason, ended=ended_at
        )
    follow = tuple(p for p in ranks.pods if p.begun and not p.trained) if context.follow_logs else ()
    finding, reason = waiting.pod_is_being_deleted(pod, now=now), lost_by(pod)
    away = nodeloss.node_is_lost(observed, pod)
    if away is not None:
        finding, reason = dataclasses.replace(finding, message=away.message), away.reason
    if not jobstatus.attempt_entry(observed.status, pod.attempt).get("startTime"):
        plan = pending(observed, finding, now=now, pod=pod)
        later = sooner(plan.requeue_after, LOOK_AGAIN_SECONDS)
        return dataclasses.replace(plan, delete=(*plan.delete, *others), follow=follow, requeue_after=later)
    # NB: in its entry as well, for how a deletion is stamped does not outlast the end of the pod.
    told = jobstatus.with_attempt(observed.status, pod.attempt, reason=str(reason))
    status = jobstatus.in_phase(
        observed,
        phase=Phase.RUNNING,
        reason=reason,
        message=finding.message,
        now=now,
        over={"attempts": told},
    )
    written = None if status == observed.status else status
    return Plan(
        status=written,
        announce=jobstatus.announcement(observed.status, status) if written is not None else (),
        delete=others,
        follow=follow,
        memory=observed.memory,
        requeue_after=LOOK_AGAIN_SECONDS,
    )


def logs_uri(observed: ObservedJob, context: Context) -> str | None:
    """The folder of a job's stored logs; None while none are kept."""
    if not (context.follow_logs and context.log_store):
        return None
    return f"{context.log_store.rstrip('/')}/{observed.namespace}/{observed.uid}/"
