"""The plan of an Experiment: its steps in their order, each by itself, and what they come to together.

Separate because it is a kind of its own. Nothing is decided from `status.phase`: a step is judged by its job, by what
status has recorded of one that is gone, and by the steps before it (`planning.steps`); the tuned one by its trials
(`planning.trials`). Called by `reconcile.experiment`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from trainyard.api import names
from trainyard.api.experiment import ExperimentSpec, Step
from trainyard.api.reasons import Reason
from trainyard.planning import (
    callbackevents,
    callbacks,
    experimentstatus,
    liftedcancel,
    proposals,
    retention,
    stepjobs,
    steps,
    takeover,
    trialjobs,
    trials,
    twinsteps,
)
from trainyard.planning.experimentobserved import ChildView, ExperimentPlan, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.modelactions import MAKES_A_MODEL
from trainyard.planning.plan import Plan
from trainyard.planning.runtime import Unresolved
from trainyard.planning.steps import StepState
from trainyard.planning.times import sooner, stamp

Json = Mapping[str, Any]

_STEP_REMOVED = "stepRemoved"
#: One that somebody has changed meanwhile is taken over by a later look.
_TAKEN_OVER_SECONDS = 1.0
_LIKE_A_TRIAL = re.compile(r"t[0-9]+-r[0-9]+")


def plan_experiment(observed: ObservedExperiment, *, now: float, rules: ExperimentRules) -> ExperimentPlan:
    """The plan for one look at an Experiment. `now` is seconds since the epoch."""
    found = _plan(observed, now=now, rules=rules)
    told = callbacks.with_callbacks(
        observed, found.plan, now=now, rules=rules.context.callbacks, events=callbackevents.of_experiment
    )
    return dataclasses.replace(found, plan=told)


def _plan(observed: ObservedExperiment, *, now: float, rules: ExperimentRules) -> ExperimentPlan:
    if observed.deleting:
        return ExperimentPlan()  # its jobs go with it, by their owner reference
    spec = observed.spec
    if spec is None:
        return experimentstatus.refused(observed, Reason.INVALID_SPEC, observed.spec_error, now=now)
    if not spec.actions:
        drafted = experimentstatus.draft(observed, now=now)
        return dataclasses.replace(drafted, jobs=_of_no_step(observed, ()))
    if observed.unsupported is not None:
        return experimentstatus.refused(observed, Reason.NOT_YET_SUPPORTED, observed.unsupported, now=now)
    problem = _problem(observed.name, spec, rules)
    if problem is not None:
        return experimentstatus.refused(observed, Reason.INVALID_SPEC, problem, now=now)
    back = _back_again(observed, spec, now=now)
    observed = observed.with_going_on({step.uid for step in back})
    observed = liftedcancel.with_going_on(observed, spec, rules=rules)
    states = _states(observed, spec, now=now, rules=rules)
    digests = {state.step.name: state.digest for state in states}
    taken = takeover.of_the_same(observed, digests, tuned=tuned_step(spec))
    if taken:
        # NB: nothing else, as none of what they are is known yet.
        return ExperimentPlan(jobs=taken, plan=Plan(requeue_after=_TAKEN_OVER_SECONDS))
    kept = retention.step(observed, states, now=now, rules=rules)
    if kept is not None:
        states = [kept if state.step.name == kept.step.name else state for state in states]
    jobs = (*back, *(job for state in states for job in state.jobs), *_of_no_step(observed, states))
    left_over = proposals.left_over(observed) if tuned_step(spec) is None else ()
    later: float | None = None
    for state in states:
        if state.requeue_after is not None:
            later = sooner(later, state.requeue_after)
    status, announce = experimentstatus.of_steps(observed, states, now=now)
    invalid = any(state.tuned and state.status.get("reason") == Reason.INVALID_SPEC for state in states)
    if steps.retry_is_new(observed) and not invalid:  # NB: a search that cannot be read tries nothing again
        status = {**status, "retryRequestedAt": observed.retry_requested_at}
    plan = Plan(
        create=tuple(pod for state in states for pod in state.create),
        delete=tuple(dict.fromkeys((*left_over, *(pod for state in states for pod in state.delete)))),
        status=status if status != observed.status else None,
        announce=announce,
        requeue_after=later,
    )
    return ExperimentPlan(plan=plan, jobs=jobs)


def _problem(experiment: str, spec: ExperimentSpec, rules: ExperimentRules) -> str | None:
    """Make sure that the chain can be run at all; what the API server's schema could not tell."""
    ordered = steps.in_order(spec.actions)
    cycle = [name for name in ordered if isinstance(name, str)]
    if cycle:
        return (
            f"spec.actions: {' -> '.join(cycle)} wait for each other, so none of them could ever start. Take one of "
            "these names out of dependsOn."
        )
    bodies = {step.name: stepjobs.spec_of(spec, step) for step in spec.actions}
    if spec.model is not None and (problem := _registers_nothing(spec, bodies)) is not None:
        return problem
    for number, step in enumerate(spec.actions):
        body = bodies[step.name]
        where = f"spec.actions[{number}] ({step.name})"
        problem = stepjobs.problem_of(body)
        if problem is not None:
            return f"{where}: {problem}"
        found = stepjobs.resolved(body, rules.context.catalog, has_parent=bool(step.depends_on))
        if isinstance(found, Unresolved):
            return f"{where}: {found.message}"
        if step.depends_on and not bodies[step.depends_on[0]].get("output"):
            return (
                f"spec.output: step {step.name} works on what {step.depends_on[0]} leaves; say where that is kept, as "
                "claimName or as uri."
            )
    if (problem := stepjobs.epoch_of_nobody(experiment, spec)) is not None:
        return problem
    tuned = spec.automl is not None and spec.automl.enabled
    for number, step in enumerate(spec.actions):
        if step.name == tuned_step(spec) and (model := bodies[step.name].get("model")):
            return (
                f"spec.actions[{number}] ({step.name}): jobTemplate.spec.model would make a version of MLModel {model} "
                "of every trial. Name the model as spec.model of the Experiment: then the best one becomes a version."
            )
        if tuned and _LIKE_A_TRIAL.fullmatch(step.name):
            return f"spec.actions[{number}] ({step.name}): jobs of trials are called like this; give it another name."
    if tuned and tuned_step(spec) is None:
        return "spec.automl.action: name the step that is tuned, as none of spec.actions is a train."
    return None


def _registers_nothing(spec: ExperimentSpec, bodies: Mapping[str, Json]) -> str | None:
    """Make sure that what the Experiment comes to can be a version of spec.model: what the last step leaves that makes
    a model.
    """
    makes = [step for step in spec.actions if step.action in MAKES_A_MODEL]
    if not makes:
        return (
            "spec.model registers what the Experiment makes as a version of an MLModel, and none of spec.actions makes "
            f"a model; {', '.join(sorted(MAKES_A_MODEL))} do."
        )
    if not bodies[makes[-1].name].get("output"):
        return (
            f"spec.output: step {makes[-1].name} makes the version that is registered with spec.model; say where it is "
            "kept, as claimName or as uri."
        )
    return None


def tuned_step(spec: ExperimentSpec) -> str | None:
    """The name of the step whose parameters are searched; None where nothing is."""
    if spec.automl is None or not spec.automl.enabled:
        return None
    if spec.automl.action is not None:
        return spec.automl.action
    return next((step.name for step in spec.actions if step.action == "train"), None)


def _states(
    observed: ObservedExperiment, spec: ExperimentSpec, *, now: float, rules: ExperimentRules
) -> list[StepState]:
    """The steps as they stand, in the order of the spec.

    A step whose job somebody has deleted runs again if one that has still to run needs what it made, be it that its job
    is there already and waits: so the steps are judged again when there is such a one.
    """
    again: frozenset[str] = frozenset()
    for _ in spec.actions:
        states = _judged(observed, spec, again, now=now, rules=rules)
        needed = frozenset(
            state.step.depends_on[0]
            for state in states.values()
            if (any(_begins(job) for job in state.jobs) or _waits_for_parent(state))
            and state.step.depends_on
            and states[state.step.depends_on[0]].absent
        )
        if needed <= again:
            break
        again |= needed
    return [states[step.name] for step in spec.actions]


def _waits_for_parent(state: StepState) -> bool:
    """Whether its job, or a trial's, is there and has not begun for want of its parent."""
    return state.status.get("reason") == Reason.WAITING_FOR_PARENT


def _begins(job: JobStep) -> bool:
    """Whether a job is made, or asked to run again."""
    annotations = (job.body.get("metadata") or {}).get("annotations") or {}
    return job.verb == "make" or (job.verb == "patch" and names.RETRY_REQUESTED_AT in annotations)


def _judged(
    observed: ObservedExperiment,
    spec: ExperimentSpec,
    again: frozenset[str],
    *,
    now: float,
    rules: ExperimentRules,
) -> dict[str, StepState]:
    states: dict[str, StepState] = {}
    tuned = tuned_step(spec)
    for step in steps.in_order(spec.actions):
        assert isinstance(step, Step)  # cycles are refused
        parents = [states[name] for name in step.depends_on]
        body, checkpoint = stepjobs.spec_of(spec, step), stepjobs.checkpoint_of(observed.name, spec, step)
        after = tuple(parent.handed for parent in parents)
        digest = stepjobs.digest_of(body, checkpoint=checkpoint if parents else None, after=after)
        if step.name == tuned:
            found = trials.tuned(
                observed,
                step,
                parents,
                spec=body,
                checkpoint=checkpoint,
                digest=digest,
                again=step.name in again,
                rules=rules,
                now=now,
            )
            states[step.name] = dataclasses.replace(found, tuned=True)
        else:
            found = steps.plain(
                observed,
                step,
                parents,
                spec=body,
                checkpoint=checkpoint,
                digest=twinsteps.told_apart(observed, step.name, parents, digest),
                again=step.name in again,
                now=now,
            )
            works_on = twinsteps.works_on(observed, parents)
            status = {**found.status, "parentJob": works_on}
            states[step.name] = dataclasses.replace(found, status=steps.clean(status))
    return states


def _of_no_step(observed: ObservedExperiment, states: Sequence[StepState]) -> tuple[JobStep, ...]:
    """Jobs of steps that are gone, or that are tuned no longer: what runs is cancelled, and the record is kept."""
    known = {state.step.name for state in states}
    tuned = tuned_step(observed.spec) if observed.spec is not None else None
    change = {"metadata": {"annotations": {names.STOPPED: _STEP_REMOVED}}, "spec": {"cancel": True}}
    return tuple(
        JobStep(verb="patch", name=job.name, uid=job.uid, body=change)
        for job in observed.jobs
        if job.owner == observed.uid
        and not (job.over or job.deleting or job.told_to_cancel)
        and job.step
        and not _has_a_step(observed, job, known, tuned)
    )


def _has_a_step(
    observed: ObservedExperiment, job: ChildView, known: Collection[str], tuned: str | None
) -> bool:
    """NB: labels can be changed by anybody, and a job that only seems to be left over is not to be cancelled."""
    if tuned is not None and trialjobs.is_called_so(job, observed):
        return True  # whichever step it was made for: the search has it, or takes it away
    for name in known:
        if job.name == names.step_job_name(experiment=observed.name, step=name):
            return name != tuned
    return job.step in known and (job.number is None or job.step == tuned)


def _back_again(observed: ObservedExperiment, spec: ExperimentSpec, *, now: float) -> tuple[JobStep, ...]:
    """Jobs that were cancelled as their step was gone, which is there again. NB: not every action goes on by itself
    when its cancel is taken back; a request for a retry has it go on from its checkpoint or its beginning.
    """
    if spec.cancel:
        return ()
    known, tuned = {step.name for step in spec.actions}, tuned_step(spec)
    change = {
        "metadata": {"annotations": {names.STOPPED: None, names.RETRY_REQUESTED_AT: stamp(now)}},
        "spec": {"cancel": False},
    }
    return tuple(
        JobStep(verb="patch", name=job.name, uid=job.uid, body=change)
        for job in observed.jobs
        if job.owner == observed.uid
        and job.stopped == _STEP_REMOVED
        and not job.deleting
        and _has_a_step(observed, job, known, tuned)
    )
