"""The search of a tuned step: its trials as jobs, the ledger of those that have ended, what is started and stopped.

Separate because a tuned step has many jobs where another has one. What to run next is decided by `trainyard.search`
from the runs that there are: those of the ledger, which count whatever becomes of their jobs, and the jobs. So nothing
is remembered but the ledger and the seed. Called by `planning.experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.experiment import Step
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import (
    experimentbases,
    parameters,
    proposals,
    searchledger,
    searchstatus,
    stepjobs,
    steps,
)
from trainyard.planning.experimentobserved import ChildView, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.proposals import Proposals
from trainyard.planning.searchsetup import Search, search_of
from trainyard.planning.searchspace import with_epochs
from trainyard.planning.steps import StepState, stated
from trainyard.search.decisions import Decision, Start, decide, epochs_of
from trainyard.search.runs import Run

Json = Mapping[str, Any]
Point = tuple[str, ...]
Children = Mapping[tuple[int, int], ChildView]

#: So many jobs are made at one look, so that other objects get their turn.
_AT_ONCE = 50
_PARAMETERS_LIMIT = 60_000
_MAX_FAILED = "maxFailed"


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
    gone, and a step that is to run needs what it made.
    """
    search = search_of(observed, step, spec=spec, checkpoint=checkpoint, digest=digest, rules=rules)
    entry = steps.entry_of(observed.status, step.name)
    if _has_ended_as_it_is(observed, entry) and (
        isinstance(search, str) or search.digest != entry.get("digest")
    ):
        return _as_it_was(observed, step, entry, spec)
    base: dict[str, Any] = {"name": step.name, "action": step.action, "digest": digest, "run": 0}
    if isinstance(search, str):
        # NB: with the digest and the job that it had, so that what follows is not taken for changed.
        base |= {key: entry[key] for key in ("digest", "run", "job", "metric", "startTime") if key in entry}
        return stated(step, base["digest"], base, Phase.ERROR, Reason.INVALID_SPEC, search)
    told = _told(observed, search)
    before = entry.get("digest")
    base |= {
        "digest": search.digest,
        "run": int(entry.get("run") or 0) + (before not in (None, search.digest)),
        "startTime": entry.get("startTime") if before == search.digest else None,
    }
    mine = [job for job in observed.jobs if job.owner == observed.uid and job.step == step.name]
    stale = [job for job in mine if job.number is not None and job.digest != search.digest]
    children = {
        (job.number, job.rung): job for job in mine if job.number is not None and job.digest == search.digest
    }
    held = steps.held_back(observed)
    if stale:
        replacing = _replacing(step, search, base, stale, held=held is not None)
        return replace(replacing, delete=proposals.left_over(observed))
    ledger = searchledger.written(search, told, children, retry=_retried(observed, entry, told))
    runs = [*searchledger.ended_runs(ledger, children), *searchledger.running(ledger, children)]
    decision = decide(search.rules, runs)
    automl = searchstatus.automl(observed.name, search, told, ledger, children, decision, now=now)
    state = _state(observed, search, base, decision, children, automl)
    retries = _asked_again(observed, children) if _retried(observed, entry, told) else ()
    rule = _MAX_FAILED if decision.failed else "median"
    hopeless = [children[run] for run in decision.stop if run in children]
    cancel = tuple(_stop(child, rule) for child in hopeless if not child.told_to_cancel)
    state = replace(
        state,
        automl=automl,
        jobs=(*retries, *cancel),
        child=_best(decision, children),
        output=search.body.get("output"),
    )
    if decision.ended or decision.failed:
        state = replace(state, delete=proposals.left_over(observed))
        best = decision.best
        if state.phase != Phase.DONE or best is None or (best.number, best.rung) in children:
            return state
        if not again or held is not None:
            return replace(state, absent=True)
        return _best_again(observed, search, state, parents, best, told, children, now=now)
    finding = steps.waiting_for(parents)
    if finding is not None and not runs:
        return replace(stated(step, search.digest, base, *finding), automl=automl)
    if held is not None:
        if any(not child.over for child in children.values()):
            return state
        return replace(
            stated(step, search.digest, base, *held), automl=automl, delete=proposals.left_over(observed)
        )
    return _starting(observed, search, state, parents, decision, ledger, children, rules=rules, now=now)


def _has_ended_as_it_is(observed: ObservedExperiment, entry: Json) -> bool:
    """Whether a search has found its best by a spec that nobody has edited since: what it was may then differ by the
    operator's release alone (a range, a metric of the catalogue), and that runs nothing again.
    """
    told = observed.status.get("automl") or {}
    unedited = observed.status.get("observedGeneration") == observed.generation
    ended = entry.get("phase") == Phase.DONE and bool(told.get("completionTime"))
    return unedited and ended and told.get("digest") == entry.get("digest")


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
    gone = [job for job in stale if not job.deleting][:_AT_ONCE]
    jobs = tuple(JobStep(verb="remove", name=job.name, uid=job.uid) for job in gone)
    return replace(state, jobs=jobs, requeue_after=0.0 if len(gone) == _AT_ONCE else None)


def _retried(observed: ObservedExperiment, entry: Json, told: Json) -> bool:
    return steps.retry_is_new(observed) and entry.get("phase") in (Phase.ERROR, Phase.CANCELED) and bool(told)


def _asked_again(observed: ObservedExperiment, children: Children) -> tuple[JobStep, ...]:
    asked = observed.retry_requested_at
    change = {
        "metadata": {"annotations": {names.RETRY_REQUESTED_AT: asked, names.STOPPED: None}},
        "spec": {"cancel": False},
    }
    return tuple(
        JobStep(verb="patch", name=child.name, uid=child.uid, body=change)
        for child in children.values()
        if child.finished
        and not child.succeeded
        and child.stopped in ("", _MAX_FAILED)
        and child.retry_requested_at != asked
    )


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
    first = next((child for child in running if child.reason), None)
    if first is not None:
        reason = steps.reason_of(first.reason)
        return stated(
            search.step, search.digest, base, Phase.PENDING, reason, f"{first.name}: {first.message}"
        )
    return stated(search.step, search.digest, base, Phase.PENDING, Reason.ACCEPTED, message)


def _best_again(
    observed: ObservedExperiment,
    search: Search,
    state: StepState,
    parents: Sequence[StepState],
    best: Run,
    told: Json,
    children: Children,
    *,
    now: float,
) -> StepState:
    """The job of the best trial is made once more, with the parameters that it had."""
    known = searchstatus.known_trial(told, best.number, best.rung).get("parameters") or ()
    values = {one["name"]: one["value"] for one in known}
    point = tuple(values.get(dimension.name, "") for dimension in search.space.dimensions)
    found = point if all(point) else search.point_of(best.number, children.get((best.number, 0)))
    if found is None:
        return replace(state, absent=True)
    epochs = epochs_of(search.rules, best.number, best.rung)
    start = Start(best.number, best.rung, epochs=epochs)
    # NB: what it went on from may be gone as well; it runs from its beginning.
    step = _job(observed, search, parents, start, found, {})
    base = {key: value for key, value in _base_of(state).items() if key != "completionTime"}
    blocked = steps.refused_job(observed, search.step, base, step.name, search.digest, now=now)
    if blocked is not None and blocked.requeue_after != 0.0:
        return replace(blocked, automl=state.automl, delete=state.delete)
    message = (
        f"The job of trial {best.number}, the best, is made again: it is gone, and a step needs what it left."
    )
    again = stated(search.step, search.digest, base, Phase.PENDING, Reason.ACCEPTED, message)
    return replace(again, automl=state.automl, jobs=(*state.jobs, step), delete=state.delete)


def _stop(child: ChildView, rule: str) -> JobStep:
    change = {"metadata": {"annotations": {names.STOPPED: rule}}, "spec": {"cancel": True}}
    return JobStep(verb="patch", name=child.name, uid=child.uid, body=change)


def _starting(
    observed: ObservedExperiment,
    search: Search,
    state: StepState,
    parents: Sequence[StepState],
    decision: Decision,
    ledger: Sequence[Json],
    children: Children,
    *,
    rules: ExperimentRules,
    now: float,
) -> StepState:
    """`state` with the jobs that are started now, and the pod that proposes those whose parameters are not known."""
    asked = Proposals()
    if search.automl.algorithm == "bayesian":
        lacking = [start.number for start in decision.start if search.drawn(start.number) is None]
        asked = proposals.wanted(observed, search, lacking, ledger, children, rules=rules, now=now)
    # NB: the search had ended, and was given more trials: no checkpoint of an earlier one is left to go on from.
    removed = bool((state.automl or {}).get("retention"))
    made: list[JobStep] = []
    refused: StepState | None = None
    for start in decision.start:
        if len(made) >= _AT_ONCE:
            break
        point = asked.points.get(start.number) or search.drawn(start.number)
        if point is None or (start.number, start.rung) in children:
            continue
        step = _job(observed, search, parents, start, point, {} if removed else children)
        blocked = steps.refused_job(observed, search.step, _base_of(state), step.name, search.digest, now=now)
        if blocked is not None:
            refused = blocked
            if blocked.requeue_after is None or blocked.requeue_after > 0:
                break
        made.append(step)
        if blocked is not None:
            break
    requeue = 0.0 if len(made) >= _AT_ONCE else asked.requeue_after
    jobs = (*state.jobs, *made)
    if refused is not None and not any(not child.over for child in children.values()):
        return replace(refused, automl=state.automl, jobs=jobs, requeue_after=refused.requeue_after)
    if refused is not None:
        requeue = refused.requeue_after if requeue is None else requeue
    running = any(not child.over for child in children.values()) or made
    if asked.message and not running:
        state = replace(
            stated(
                search.step, search.digest, _base_of(state), Phase.RUNNING, Reason.PROPOSING, asked.message
            ),
            automl=state.automl,
        )
    return replace(state, jobs=jobs, create=asked.create, delete=asked.delete, requeue_after=requeue)


def _base_of(state: StepState) -> dict[str, Any]:
    return {key: value for key, value in state.status.items() if key not in ("phase", "reason", "message")}


def _job(
    observed: ObservedExperiment,
    search: Search,
    parents: Sequence[StepState],
    start: Start,
    point: Point,
    children: Children,
) -> JobStep:
    """The job of one run. A promoted trial goes on from its own checkpoint; where that or the job that has it was
    removed it runs from its beginning, which comes to the same.
    """
    given = parameters.merged(search.body.get("parameters") or {}, search.space.parameters(point))
    if start.epochs is not None:
        given = with_epochs(given, start.epochs, automl=search.automl, action=search.action, kind=search.kind)
    spec: dict[str, Any] = {**experimentbases.pinned(observed, search.body), "parameters": given}
    former = children.get((start.number, start.rung - 1)) if start.rung > 0 else None
    if former is not None and former.succeeded:
        spec |= {"parentJob": former.name, "checkpoint": {"method": "latest_model"}}
    elif parents and parents[0].job:
        spec["parentJob"] = parents[0].job
        if search.checkpoint:
            spec["checkpoint"] = dict(search.checkpoint)
    name = names.trial_job_name(experiment=observed.name, number=start.number, rung=start.rung)
    told = orjson.dumps(search.space.as_mapping(point)).decode()
    body = stepjobs.job(
        observed,
        search.step,
        name=name,
        digest=search.digest,
        spec=spec,
        labels={names.LABEL_TRIAL: str(start.number), names.LABEL_RUNG: str(start.rung)},
        annotations={names.TRIAL_PARAMETERS: told[:_PARAMETERS_LIMIT]},
    )
    return JobStep(verb="make", name=name, digest=search.digest, body=body)
