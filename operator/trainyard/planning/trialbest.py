"""The job of the best trial when a step needs it: made again when it is gone, told of when that has failed.

Separate because the search has ended by then, and this runs one of its trials once more. Called by `planning.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import searchstatus, stepjobs, steps, trialjobs
from trainyard.planning.experimentobserved import ChildView, ObservedExperiment
from trainyard.planning.searchsetup import Search
from trainyard.planning.steps import StepState, stated
from trainyard.search.decisions import Start, epochs_of
from trainyard.search.runs import Run

Json = Mapping[str, Any]
Children = Mapping[tuple[int, int], ChildView]


def made_again(
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
    former = search.point_of(best.number, children.get((best.number, 0)))
    found = searchstatus.told_point(search, told, best.number) or former
    if found is None:
        return replace(state, absent=True)
    epochs = epochs_of(search.rules, best.number, best.rung)
    start = Start(best.number, best.rung, epochs=epochs)
    # NB: what it went on from may be gone as well; it runs from its beginning.
    step = trialjobs.of_run(observed, search, parents, start, found, {})
    base = {key: value for key, value in state.base.items() if key != "completionTime"}
    blocked = steps.refused_job(observed, search.step, base, step.name, search.digest, now=now)
    if blocked is not None and blocked.requeue_after != 0.0:
        return replace(blocked, automl=state.automl, delete=state.delete)
    message = (
        f"The job of trial {best.number}, the best, is made again: it is gone, and a step needs what it left."
    )
    again = stated(search.step, search.digest, base, Phase.PENDING, Reason.ACCEPTED, message)
    return replace(again, automl=state.automl, jobs=(*state.jobs, step), delete=state.delete)


def is_lost(best: Run | None, child: ChildView | None) -> bool:
    """Whether the job of the best trial, which had ended well, was made again and has failed, so that there is nothing
    to be handed on.
    """
    if best is None or child is None:
        return False
    return best.state == "success" and child.over and not child.succeeded


def told_of(observed: ObservedExperiment, search: Search, state: StepState, child: ChildView) -> StepState:
    """The step whose best trial's job is lost; a retry is for that job."""
    phase, reason = Phase.ERROR, Reason.TRIALS_FAILED
    if child.canceled:
        phase, reason = Phase.CANCELED, Reason.CANCELED_BY_USER
    message = (
        f"TrainingJob {child.name}, that of the best trial, was made again and ended with {child.reason}: "
    )
    found = stated(search.step, search.digest, state.base, phase, reason, message + child.message)
    asked = observed.retry_requested_at
    retry = steps.retry_is_new(observed) and child.retry_requested_at != asked
    jobs = (*state.jobs, stepjobs.asked_again(child, asked)) if retry else state.jobs
    return replace(found, automl=state.automl, jobs=jobs, delete=state.delete, output=state.output)
