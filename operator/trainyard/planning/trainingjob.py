"""The plan of a TrainingJob: what it needs, what its pod does, what its status shall say.

Separate because it is the heart: every reconcile of a TrainingJob is one call of `plan_training_job`. Nothing here
decides from `status.phase`: an end is remembered by `status.completionTime`, an attempt by `status.attempts`.
"""

from __future__ import annotations

import dataclasses

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import (
    attempts,
    callbacks,
    jobstatus,
    membership,
    nodeloss,
    outputdataset,
    podcreation,
    podends,
    registration,
    siblings,
    spechash,
    stops,
    stuckgang,
    stuckpod,
)
from trainyard.planning.context import Context
from trainyard.planning.ends import LOOK_AGAIN_SECONDS, after_the_end
from trainyard.planning.finding import Finding
from trainyard.planning.observed import ObservedJob
from trainyard.planning.pending import pending
from trainyard.planning.plan import Plan
from trainyard.planning.podview import PodView
from trainyard.planning.ranks import Group, deciding, first_taken_away, group, last_sign_of_life
from trainyard.planning.times import sooner, stamp

_DIGEST_LIMIT = 512


def plan_training_job(observed: ObservedJob, *, now: float, context: Context) -> Plan:
    """The plan for one look at a job. `now` is seconds since the epoch."""
    plan = membership.joined(observed, _plan(observed, now=now, context=context))
    plan = outputdataset.with_output_dataset(observed, plan, now=now)
    plan = registration.with_version(observed, plan)
    plan = callbacks.with_callbacks(observed, plan, now=now, rules=context.callbacks)
    status = observed.status if plan.status is None else plan.status
    release = (*plan.release, *attempts.judged(observed, status), *observed.orphans)
    ends = bool(status.get("completionTime")) and not observed.status.get("completionTime")
    if ends and any(not pod.judgeable and pod.deletion_requested_at is None for pod in observed.pods):
        # NB: nobody rings for pods that an end leaves behind.
        plan = dataclasses.replace(plan, requeue_after=0.0)
    remove = siblings.left_over(observed, status, context=context)
    if not (plan.delete or release or remove):
        return plan
    # NB: several rules may speak of one pod; each would be a request.
    return dataclasses.replace(
        plan,
        delete=tuple(dict.fromkeys(plan.delete)),
        release=tuple(dict.fromkeys(release)),
        remove=remove,
    )


def _plan(observed: ObservedJob, *, now: float, context: Context) -> Plan:
    if observed.deleting:
        return Plan()  # its pods go with it, by their owner reference
    attempt = attempts.newest(observed.status, observed.pods)
    if observed.status.get("completionTime"):
        return stops.acknowledged(
            observed,
            stops.asked_again(observed, attempt, now=now, context=context)
            or stops.after_cancel(observed, attempt, now=now, context=context)
            or after_the_end(observed, now=now),
        )
    plan = _plan_attempt(observed, attempt, now=now, context=context)
    old = attempts.surplus(observed.pods, attempt)
    if old:
        plan = dataclasses.replace(plan, delete=(*plan.delete, *old))
    return stops.acknowledged(observed, _with_spec_hash(observed, plan))


def _with_spec_hash(observed: ObservedJob, plan: Plan) -> Plan:
    """Keep what the job began with. Until an attempt has started it is that of the pod there is; a job that was stopped
    or has ended before that can be mended, and goes on as it is then.

    NB: a hash that the spec has left already is not kept: the API server would refuse to let anybody change it back.
    """
    if plan.status is None or observed.spec is None or spechash.begun(observed.status):
        return plan
    made_with = next((pod.spec_hash for pod in observed.pods if pod.spec_hash), None)
    stopped = bool(plan.status.get("completionTime")) or stops.in_force(plan.status)
    ended_before = stopped and not spechash.begun(plan.status)
    if made_with != spechash.spec_hash(observed.spec) or ended_before:
        made_with = None
    status = {key: value for key, value in plan.status.items() if key != "specHash"}
    return dataclasses.replace(
        plan, status=status if made_with is None else {**status, "specHash": made_with}
    )


def _plan_attempt(observed: ObservedJob, attempt: int, *, now: float, context: Context) -> Plan:
    if stops.in_force(observed.status):
        return stops.at_rest(observed, attempt, now=now, context=context)
    ranks = group(observed, attempt)
    last = deciding(observed, ranks)
    if last is not None:
        return podends.ended(observed, ranks, last, now=now, context=context)
    cause = stops.wanted(observed)
    if cause == "Suspend" and ranks.trained and not observed.status.get("stop"):
        cause = None  # NB: nothing trains any longer, and what was made is on its way
    if cause is not None and not (cause == "Suspend" and _refused_before_it_began(observed, context)):
        return stops.stopping(observed, attempt, cause, now=now, context=context)
    leaving = first_taken_away(observed, ranks, now=now)
    if leaving is not None:
        return podends.leaving(observed, ranks, leaving, now=now, context=context)
    plan = _undisturbed(observed, ranks, now=now, context=context)
    if any(pod.deletion_requested_at is not None and not pod.over for pod in ranks.pods):
        return dataclasses.replace(plan, requeue_after=sooner(plan.requeue_after, LOOK_AGAIN_SECONDS))
    return plan


def _undisturbed(observed: ObservedJob, ranks: Group, *, now: float, context: Context) -> Plan:
    """Nobody keeps the trainers of an attempt from what they do."""
    if ranks.missing:
        return podcreation.without_pod(observed, ranks, now=now, context=context)
    if ranks.trained:
        return podends.uploading(observed, ranks, now=now)
    stuck = next((pod for pod in ranks.pods if not pod.begun), None)
    if stuck is None:
        return _running(observed, ranks, now=now, context=context)
    finding = stuckgang.waits_as_a_whole(ranks.pods) or stuckpod.what_it_waits_for(
        stuck, observed.events.get(stuck.uid, ())
    )
    plan = pending(observed, _of_a_group(finding, ranks, stuck), now=now, pod=stuck)
    begun = tuple(pod for pod in ranks.pods if pod.begun)
    return dataclasses.replace(plan, follow=begun if context.follow_logs else ())


def _of_a_group(finding: Finding, ranks: Group, stuck: PodView) -> Finding:
    """What one pod of several waits for, with how many do, and since when others hold their nodes for it."""
    if ranks.size == 1:
        return finding
    waiting_pods = sum(not pod.begun for pod in ranks.pods) + len(ranks.missing)
    held = [p.scheduled_at for p in ranks.pods if p.scheduled_at is not None and not stuck.scheduled]
    return dataclasses.replace(
        finding,
        message=f"{finding.message} {waiting_pods} of {ranks.size} pods have not started.",
        since=finding.since if finding.since is not None else min(held, default=None),
    )


def _refused_before_it_began(observed: ObservedJob, context: Context) -> bool:
    """Whether the job is new and cannot be run: that is told at once, also of one that is suspended from the start."""
    new = not observed.pods and not observed.status.get("attempts") and not observed.unsupported
    return new and podcreation.spec_is_invalid(observed, context) is not None


def _running(observed: ObservedJob, ranks: Group, *, now: float, context: Context) -> Plan:
    pod = ranks.first
    assert pod is not None  # none is missing
    begun = [p.trainer.started_at for p in ranks.pods if p.trainer is not None]
    # NB: the attempt runs when the last of its ranks does.
    started = stamp(max((at for at in begun if at is not None), default=now))
    entry = jobstatus.attempt_entry(observed.status, pod.attempt)
    lost = next((found for p in ranks.pods if (found := nodeloss.node_is_lost(observed, p))), None)
    status = jobstatus.in_phase(
        observed,
        phase=Phase.RUNNING,
        reason=lost.reason if lost is not None else Reason.TRAINING,
        message=lost.message if lost is not None else _on_its_node(observed, ranks),
        now=now,
        over={
            "startTime": observed.status.get("startTime") or started,
            "attempts": jobstatus.with_attempt(
                observed.status,
                pod.attempt,
                startTime=entry.get("startTime") or started,
                node=pod.node,
                parametersDigest=pod.parameters_digest or None,
                imageDigest=pod.trainer.image_digest[:_DIGEST_LIMIT] or None
                if pod.trainer is not None
                else None,
                parentJob=entry.get("parentJob")
                or (observed.spec.parent_job if observed.spec is not None else None),
            ),
            "pods": jobstatus.summary(observed.pods, pod.attempt),
            "logs": podends.logs_uri(observed, context),
        },
    )
    log = last_sign_of_life(observed, ranks)
    cause, later = stops.overdue(observed, pod.attempt, log, now=now)
    # NB: a lost node is silent, and that is no fault of the trainer's.
    if cause is not None and not (cause == "NoProgress" and lost is not None):
        return stops.stopping(observed, pod.attempt, cause, now=now, context=context)
    # NB: a rank that has ended while others go on is read to its end, too.
    follow = ranks.pods if context.follow_logs else ()
    done = tuple(p for p in ranks.pods if p.trained)
    memory = dataclasses.replace(observed.memory, pending=None)
    told = jobstatus.reported(observed, log.report) if log is not None and context.report_progress else {}
    wanted = {**status, **told}
    if wanted == observed.status:
        return Plan(follow=follow, ended=done, memory=memory, requeue_after=later)
    # NB: of many ranks one after the other ends, and each count would be a request.
    counts = {"pods": observed.status["pods"]} if "pods" in observed.status else {}
    if status | counts == observed.status and memory.progress_written_at is not None:
        wait = memory.progress_written_at + context.progress_interval - now
        if wait > 0:
            return Plan(follow=follow, ended=done, memory=memory, requeue_after=sooner(later, wait))
    return Plan(
        status=wanted,
        announce=jobstatus.announcement(observed.status, wanted),
        follow=follow,
        ended=done,
        requeue_after=later,
        memory=dataclasses.replace(memory, progress_written_at=now),
    )


def _on_its_node(observed: ObservedJob, ranks: Group) -> str:
    nodes = list(dict.fromkeys(str(pod.node) for pod in ranks.pods))
    where = f"node {nodes[0]}" if len(nodes) == 1 else f"{len(nodes)} nodes, the first {nodes[0]}"
    if ranks.size > 1:
        where = f"{where}, in {ranks.size} pods"
    if observed.spec is not None:
        return f"Action {observed.spec.action} is running on {where}."
    return (
        f"Running on {where} as it was begun, but no other attempt can be: its spec cannot be read "
        f"({observed.spec_error})."
    )
