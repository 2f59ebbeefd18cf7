"""What a search starts next: new trials, promoted ones, those that are tried again, and the pod that proposes.

Separate because `planning.trials` tells how the search stands, and this alone adds to what runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainyard.planning import proposals, stepjobs, steps, trialjobs
from trainyard.planning.experimentobserved import ChildView, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.proposals import Proposals
from trainyard.planning.searchsetup import Search
from trainyard.planning.steps import StepState, stated
from trainyard.planning.times import stamp
from trainyard.search.decisions import Decision

Json = Mapping[str, Any]
Children = Mapping[tuple[int, int], ChildView]

#: So many jobs are made at one look, so that other objects get their turn.
AT_ONCE = 50


def started(
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
        lacking = [
            start.number
            for start in decision.start
            if (start.number, start.rung) not in children and search.drawn(start.number) is None
        ]
        asked = proposals.wanted(observed, search, lacking, ledger, children, rules=rules, now=now)
    # NB: the search had ended, and was given more trials: no checkpoint of an earlier one is left to go on from.
    removed = bool((state.automl or {}).get("retention"))
    made: list[JobStep] = []
    refused: StepState | None = None
    for start in decision.start:
        if len(made) >= AT_ONCE:
            break
        if (child := children.get((start.number, start.rung))) is not None:
            made.append(_tried_again(observed, child, now=now))
            continue
        before = children.get((start.number, start.rung - 1))
        point = (
            asked.points.get(start.number)
            or search.point_of(start.number, before)
            or search.drawn(start.number)
        )
        if point is None:
            continue
        step = trialjobs.of_run(observed, search, parents, start, point, {} if removed else children)
        blocked = steps.refused_job(observed, search.step, state.base, step.name, search.digest, now=now)
        if blocked is not None:
            refused = blocked
            if blocked.requeue_after is None or blocked.requeue_after > 0:
                break
        made.append(step)
        if blocked is not None:
            break
    requeue = 0.0 if len(made) >= AT_ONCE or state.requeue_after == 0.0 else asked.requeue_after
    jobs = (*state.jobs, *made)
    if refused is not None and not any(not child.over for child in children.values()):
        return replace(refused, automl=state.automl, jobs=jobs, requeue_after=refused.requeue_after)
    if refused is not None:
        requeue = refused.requeue_after if requeue is None else requeue
    running = any(not child.over for child in children.values()) or made
    if asked.message and not running:
        state = replace(stated(search.step, search.digest, state.base, *asked.told), automl=state.automl)
    elif asked.stuck:
        # NB: those that run go on, and nothing follows them.
        state = replace(
            state, status={**state.status, "message": f"{state.status['message']} {asked.message}"[:1024]}
        )
    return replace(state, jobs=jobs, create=asked.create, delete=asked.delete, requeue_after=requeue)


def _tried_again(observed: ObservedExperiment, child: ChildView, *, now: float) -> JobStep:
    """A run that has ended without a result is tried again."""
    if child.succeeded:
        # NB: what is Done does not go on, though it has told no value; it is made anew when it is gone.
        return JobStep(verb="remove", name=child.name, uid=child.uid)
    request = observed.retry_requested_at
    if request in ("", child.retry_requested_at):
        request = stamp(now)  # NB: it has had the Experiment's, or there is none
    return stepjobs.asked_again(child, request)
