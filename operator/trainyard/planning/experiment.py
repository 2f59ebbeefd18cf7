"""The plan of an Experiment: its steps in their order, each by itself, and what they come to together.

Separate because it is a kind of its own. Nothing is decided from `status.phase`: a step is judged by its job, by what
status has recorded of one that is gone, and by the steps before it (`planning.steps`); the tuned one by its trials
(`planning.trials`). Called by `reconcile.experiment`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.api.experiment import ExperimentSpec, Step
from trainyard.api.reasons import Reason
from trainyard.planning import (
    callbackevents,
    callbacks,
    experimentstatus,
    retention,
    stepjobs,
    steps,
    trials,
)
from trainyard.planning.experimentobserved import ChildView, ExperimentPlan, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.plan import Plan
from trainyard.planning.runtime import Unresolved
from trainyard.planning.steps import StepState
from trainyard.planning.times import sooner

Json = Mapping[str, Any]


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
        return experimentstatus.draft(observed, now=now)
    if observed.unsupported is not None:
        return experimentstatus.refused(observed, Reason.NOT_YET_SUPPORTED, observed.unsupported, now=now)
    problem = _problem(spec, rules)
    if problem is not None:
        return experimentstatus.refused(observed, Reason.INVALID_SPEC, problem, now=now)
    states = _states(observed, spec, now=now, rules=rules)
    kept = retention.step(observed, states, now=now, rules=rules)
    if kept is not None:
        states = [kept if state.step.name == kept.step.name else state for state in states]
    jobs = (*(job for state in states for job in state.jobs), *_of_no_step(observed, states))
    later: float | None = None
    for state in states:
        if state.requeue_after is not None:
            later = sooner(later, state.requeue_after)
    status, announce = experimentstatus.of_steps(observed, states, now=now)
    if steps.retry_is_new(observed):
        status = {**status, "retryRequestedAt": observed.retry_requested_at}
    plan = Plan(
        create=tuple(pod for state in states for pod in state.create),
        delete=tuple(dict.fromkeys(pod for state in states for pod in state.delete)),
        status=status if status != observed.status else None,
        announce=announce,
        requeue_after=later,
    )
    return ExperimentPlan(plan=plan, jobs=jobs)


def _problem(spec: ExperimentSpec, rules: ExperimentRules) -> str | None:
    """Make sure that the chain can be run at all; what the API server's schema could not tell."""
    ordered = steps.in_order(spec.actions)
    cycle = [name for name in ordered if isinstance(name, str)]
    if cycle:
        return (
            f"spec.actions: {' -> '.join(cycle)} wait for each other, so none of them could ever start. Take one of "
            "these names out of dependsOn."
        )
    bodies = {step.name: stepjobs.spec_of(spec, step) for step in spec.actions}
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
    tuned = spec.automl is not None and spec.automl.enabled
    if tuned and tuned_step(spec) is None:
        return "spec.automl.action: name the step that is tuned, as none of spec.actions is a train."
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

    A step whose job somebody has deleted runs again if one that has still to run needs what it made: so the steps are
    judged again when there is such a one.
    """
    again: frozenset[str] = frozenset()
    for _ in spec.actions:
        states = _judged(observed, spec, again, now=now, rules=rules)
        needed = frozenset(
            state.step.depends_on[0]
            for state in states.values()
            if any(job.verb == "make" for job in state.jobs)
            and state.step.depends_on
            and states[state.step.depends_on[0]].absent
        )
        if needed <= again:
            break
        again |= needed
    return [states[step.name] for step in spec.actions]


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
        body, checkpoint = stepjobs.spec_of(spec, step), stepjobs.checkpoint_of(spec, step)
        after = tuple(parent.digest for parent in parents)
        digest = stepjobs.digest_of(body, checkpoint=checkpoint if parents else None, after=after)
        if step.name == tuned:
            states[step.name] = trials.tuned(
                observed,
                step,
                parents,
                spec=body,
                checkpoint=checkpoint,
                digest=digest,
                rules=rules,
                now=now,
            )
        else:
            states[step.name] = steps.plain(
                observed,
                step,
                parents,
                spec=body,
                checkpoint=checkpoint,
                digest=digest,
                again=step.name in again,
                now=now,
            )
    return states


def _of_no_step(observed: ObservedExperiment, states: Sequence[StepState]) -> tuple[JobStep, ...]:
    """Jobs of steps that are gone, or that are tuned no longer: what runs is cancelled, and the record is kept."""
    known = {state.step.name for state in states}
    tuned = tuned_step(observed.spec) if observed.spec is not None else None

    def left_over(job: ChildView) -> bool:
        if job.owner != observed.uid or job.over or job.deleting or job.told_to_cancel:
            return False
        return job.step not in known or (job.number is None) == (job.step == tuned)

    return tuple(
        JobStep(verb="patch", name=job.name, uid=job.uid, body={"spec": {"cancel": True}})
        for job in observed.jobs
        if left_over(job)
    )
