"""The search of a tuned step: its trials as jobs, the ledger of those that have ended, what is started and stopped.

Separate because a tuned step has many jobs where another has one. What to run next is decided by `trainyard.search`
from the runs that there are: those of the ledger, which count whatever becomes of their jobs, and the jobs. So nothing
is remembered but `status.automl`: the ledger, the seed, what the search began with (`planning.searchkept`), and which
trials were the best. Called by `planning.experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainyard.api import names
from trainyard.api.experiment import Step
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import (
    proposals,
    searchkept,
    searchledger,
    searchstatus,
    steps,
    trialbest,
    trialjobs,
    trialstarts,
)
from trainyard.planning.experimentobserved import ChildView, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.searchsetup import Search, search_of
from trainyard.planning.steps import StepState, stated
from trainyard.planning.trialstarts import AT_ONCE
from trainyard.search.decisions import Decision, decide

Json = Mapping[str, Any]
Children = Mapping[tuple[int, int], ChildView]


def tuned(
    observed: ObservedExperiment,
    step: Step,
    parents: Sequence[StepState],
    *,
    spec: Json,
    checkpoint: Json | None,
    digest: str,
    again: bool,
    rules: ExperimentRules,
    now: float,
) -> StepState:
    """The state of the step that is tuned; `digest` is that of the step by itself. `again`: the best trial's job is
    gone, or was made again and has failed, and a step that is to run needs what it makes.
    """
    search = search_of(observed, step, spec=spec, checkpoint=checkpoint, digest=digest, rules=rules)
    entry = steps.entry_of(observed.status, step.name)
    if isinstance(search, str):
        return _not_searched(observed, step, entry, search, spec=spec, digest=digest)
    told = _told(observed, search)
    before = entry.get("digest")
    base: dict[str, Any] = {
        "name": step.name,
        "action": step.action,
        "digest": search.digest,
        "run": int(entry.get("run") or 0) + (before not in (None, search.digest)),
        "startTime": entry.get("startTime") if before == search.digest else None,
    }
    mine = _of_search(observed, step)
    stale = [job for job in mine if job.digest != search.digest]
    children = {
        (job.number, job.rung): job for job in mine if job.number is not None and job.digest == search.digest
    }
    held = steps.held_back(observed)
    if stale:
        replacing = _replacing(step, search, base, stale, held=held is not None)
        return replace(replacing, delete=proposals.left_over(observed))
    ledger, decision = _decided(observed, search, told, children, retry=_retried(observed, entry, told))
    runs = any(item["state"] != searchledger.PENDING for item in ledger) or bool(children)
    automl = searchstatus.automl(observed.name, search, told, ledger, children, decision, now=now)
    state = _state(observed, search, base, decision, children, automl)
    rule = searchledger.MAX_FAILED if decision.failed else "median"
    to_stop = [children[run] for run in decision.stop if run in children]
    cancel = tuple(trialjobs.stopped(child, rule) for child in to_stop if not child.told_to_cancel)
    renamed = [trialjobs.of_step(child, step) for child in children.values() if child.step != step.name]
    state = replace(
        state,
        automl=automl,
        jobs=(*cancel, *renamed[:AT_ONCE], *trialjobs.orphans(observed, children)),
        requeue_after=0.0 if len(renamed) > AT_ONCE else None,
        child=_best(decision, children),
        output=search.body.get("output"),
    )
    if decision.ended or decision.failed:
        state = replace(state, delete=proposals.left_over(observed))
        best = decision.best
        if state.phase != Phase.DONE or best is None:
            return state
        lost = trialbest.is_lost(best, state.child)
        if state.child is not None and not lost:
            return state
        if not again or held is not None:
            return replace(state, absent=True)
        if state.child is not None:
            return trialbest.told_of(observed, search, state, state.child)
        return trialbest.made_again(observed, search, state, parents, best, told, children, now=now)
    finding = steps.waiting_for(parents)
    if finding is not None and not runs:
        return replace(stated(step, search.digest, base, *finding), automl=automl)
    if held is not None:
        if any(not child.over for child in children.values()):
            return state
        waiting = stated(step, search.digest, base, *held)
        return replace(waiting, automl=automl, jobs=state.jobs, delete=proposals.left_over(observed))
    return trialstarts.started(
        observed, search, state, parents, decision, ledger, children, rules=rules, now=now
    )


def _of_search(observed: ObservedExperiment, step: Step) -> list[ChildView]:
    """The jobs of trials: this step's, and those of the step that was tuned before, or that this one was called: their
    names do not tell a step, and there is one search.
    """
    return [
        job
        for job in observed.jobs
        if job.owner == observed.uid
        and job.number is not None
        and (job.step == step.name or trialjobs.is_called_so(job, observed))
    ]


def _decided(
    observed: ObservedExperiment, search: Search, told: Json, children: Children, *, retry: bool
) -> tuple[list[Json], Decision]:
    """The ledger, and what follows from it. A retry is for all that failed; what was stopped as too many had failed is
    run again when they have not any longer, be it that maxFailed was raised.
    """
    asked = observed.retry_requested_at
    ledger = searchledger.written(search, told, children, asked=asked)
    decision = _decision(search, ledger, children)
    # NB: where the search had its result and lost it, that is what is tried again, not what had failed on the way.
    if retry and not trialbest.is_lost(decision.best, _best(decision, children)):
        ledger = searchledger.with_pending(ledger, searchledger.to_retry(ledger, children, asked))
        decision = _decision(search, ledger, children)
    if stopped := searchledger.stopped_for_others(ledger, children):
        without = searchledger.with_pending(ledger, stopped)
        mended = _decision(search, without, children)
        if not mended.failed:
            ledger, decision = without, mended
    return (searchledger.over(ledger) if decision.ended else ledger), decision


def _decision(search: Search, ledger: Sequence[Json], children: Children) -> Decision:
    runs = [*searchledger.ended_runs(ledger, children), *searchledger.running(ledger, children)]
    return decide(search.rules, runs)


def _not_searched(
    observed: ObservedExperiment, step: Step, entry: Json, message: str, *, spec: Json, digest: str
) -> StepState:
    """The step where nothing can be searched. NB: a search that has found its best is over, whatever the catalogue says
    of its parameters now; only who edits the spec is told.
    """
    assert observed.spec is not None
    told: Json = observed.status.get("automl") or {}
    asked = searchkept.spec_digest(observed.spec, digest)
    goes_on = searchkept.is_asked_for(observed, step.name, spec_digest=asked)
    ended = entry.get("phase") == Phase.DONE and bool(told.get("completionTime"))
    if goes_on and ended and searchkept.unedited(observed):
        return _as_it_was(observed, step, entry, spec)
    base: dict[str, Any] = {"name": step.name, "action": step.action, "digest": digest, "run": 0}
    # NB: with the digest and the job that it had, so that what follows is not taken for changed.
    base |= {key: entry[key] for key in ("digest", "run", "job", "metric", "startTime") if key in entry}
    going = [job for job in _of_search(observed, step) if not job.over]
    phase = Phase.ERROR
    if going:
        phase = Phase.RUNNING if any(job.phase == Phase.RUNNING for job in going) else Phase.PENDING
        message = f"{message} What runs goes on: {len(going)} of its trials."
    state = stated(step, base["digest"], base, phase, Reason.INVALID_SPEC, message)
    # NB: known for what it is when this has passed, also where an earlier release has begun it.
    return replace(state, automl={**told, "specDigest": asked}) if goes_on else state


def _as_it_was(observed: ObservedExperiment, step: Step, entry: Json, spec: Json) -> StepState:
    best = next(
        (job for job in observed.jobs if job.owner == observed.uid and job.name == entry.get("job")), None
    )
    return StepState(
        step=step,
        status=dict(entry),
        digest=str(entry["digest"]),
        child=best,
        absent=best is None,
        automl=observed.status.get("automl"),
        output=spec.get("output"),
    )


def _told(observed: ObservedExperiment, search: Search) -> Json:
    """`status.automl`, where it is of this search."""
    told = observed.status.get("automl") or {}
    return told if told.get("digest") == search.digest else {}


def _replacing(
    step: Step, search: Search, base: dict[str, Any], stale: Sequence[ChildView], *, held: bool
) -> StepState:
    message = (
        f"The search has changed: {len(stale)} jobs of the one before are being deleted, then it begins anew."
    )
    state = stated(step, search.digest, base, Phase.PENDING, Reason.WAITING_FOR_CLEANUP, message)
    if held:
        return state
    gone = [job for job in stale if not job.deleting][:AT_ONCE]
    jobs = tuple(JobStep(verb="remove", name=job.name, uid=job.uid) for job in gone)
    return replace(state, jobs=jobs, requeue_after=0.0 if len(gone) == AT_ONCE else None)


def _retried(observed: ObservedExperiment, entry: Json, told: Json) -> bool:
    phase = (entry or observed.status).get("phase")  # NB: the step may have been renamed
    return steps.retry_is_new(observed) and phase != Phase.DONE and bool(told)


def _best(decision: Decision, children: Children) -> ChildView | None:
    best = decision.best
    return children.get((best.number, best.rung)) if best is not None else None


def _state(
    observed: ObservedExperiment,
    search: Search,
    base: dict[str, Any],
    decision: Decision,
    children: Children,
    automl: Json,
) -> StepState:
    """The step as the search stands, before anything new is started."""
    best = decision.best
    counts = automl["trials"]
    ended = counts["succeeded"] + counts["failed"] + counts["stopped"] + counts["canceled"]
    shown = None
    if best is not None and best.value is not None:
        shown = f"{search.goal.metric} {best.value:.4g}"
        base["job"] = names.trial_job_name(experiment=observed.name, number=best.number, rung=best.rung)
    starts = [child.started_at for child in children.values() if child.started_at]
    base |= {"metric": shown, "startTime": base.get("startTime") or min(starts, default=None)}
    far = f"{ended} of {decision.total} trials have ended"
    running = [child for child in children.values() if not child.over]
    if (decision.ended or decision.failed) and not running:
        base["completionTime"] = automl.get("completionTime")
        canceled = observed.spec is not None and observed.spec.cancel
        if best is None and counts["canceled"] and (canceled or not counts["failed"]):
            message = decision.failed or "The trials were cancelled."
            return stated(search.step, search.digest, base, Phase.CANCELED, Reason.CANCELED_BY_USER, message)
        if decision.failed:
            return stated(
                search.step, search.digest, base, Phase.ERROR, Reason.TRIALS_FAILED, decision.failed
            )
        if best is None:
            message = f"No trial has ended with a value of {search.goal.metric}."
            return stated(search.step, search.digest, base, Phase.ERROR, Reason.TRIALS_FAILED, message)
        message = f"{far}; the best is trial {best.number}: {shown}."
        return stated(search.step, search.digest, base, Phase.DONE, Reason.COMPLETED, message)
    message = f"{far}, {counts['running']} run" + (
        f"; the best so far is trial {best.number}: {shown}." if best else "."
    )
    under_way = [child for child in running if child.phase == Phase.RUNNING]
    if under_way or (ended and not running):
        return stated(search.step, search.digest, base, Phase.RUNNING, Reason.SEARCHING, message)
    # NB: one that was just asked to try again tells of its former end.
    first = next((child for child in running if child.reason and not child.finished), None)
    if first is not None:
        reason = steps.reason_of(first.reason)
        return stated(
            search.step, search.digest, base, Phase.PENDING, reason, f"{first.name}: {first.message}"
        )
    return stated(search.step, search.digest, base, Phase.PENDING, Reason.ACCEPTED, message)
