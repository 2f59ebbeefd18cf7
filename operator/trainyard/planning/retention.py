"""What is kept of a search that has ended: with `checkpointRetention: Best` the files of all its jobs but the best
one's are removed from the output, by a pod.

Separate because it begins when everything else has ended, and only files go: the jobs and their record stay. Called by
`planning.experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainyard.api.reasons import Phase
from trainyard.api.shared import Output
from trainyard.planning import steps, sweeppod
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.podview import PodView
from trainyard.planning.steps import StepState

Json = Mapping[str, Any]

_TRIES = 3
_LOOK_AGAIN_SECONDS = 15.0


def step(
    observed: ObservedExperiment, states: Sequence[StepState], *, now: float, rules: ExperimentRules
) -> StepState | None:
    """The tuned step with what removing adds to it; None where nothing is to be done."""
    assert observed.spec is not None
    automl = observed.spec.automl
    state = next((state for state in states if state.automl is not None), None)
    if automl is None or state is None or state.automl is None or state.child is None:
        return None
    pods = [pod for pod in observed.pods if pod.stage == sweeppod.STAGE]
    told: Json = state.automl.get("retention") or {}
    wanted = automl.checkpoint_retention == "Best" and state.phase == Phase.DONE
    if not wanted or told.get("state") in ("Done", "Failed"):
        gone = tuple(pod for pod in pods if pod.deletion_requested_at is None and pod.over)
        return replace(state, delete=(*state.delete, *gone)) if gone else None
    output = _output(state)
    losers = [
        job.uid
        for job in observed.jobs
        if job.owner == observed.uid
        and job.step == state.step.name
        and job.number is not None
        and job.digest == state.digest
        and job.over
        and job.uid != state.child.uid
    ]
    if output is None or not losers:
        return _told(state, {"state": "Done", "jobs": 0})
    tries = int(told.get("attempts") or 0)
    newest = max(pods, key=lambda pod: pod.attempt, default=None)
    if newest is None or newest.attempt < tries:
        return _made(observed, state, output, losers, number=max(tries, 1), rules=rules)
    if not newest.over:
        return replace(state, requeue_after=_LOOK_AGAIN_SECONDS)
    return _ended(observed, state, newest, output, losers, rules=rules)


def _ended(
    observed: ObservedExperiment,
    state: StepState,
    pod: PodView,
    output: Output,
    losers: list[str],
    *,
    rules: ExperimentRules,
) -> StepState:
    found = sweeppod.swept(pod)
    if found is not None:
        return _told(
            state, {"state": "Done", "jobs": len(losers), "bytes": found.bytes, "attempts": pod.attempt}
        )
    if pod.attempt < _TRIES:
        return _made(observed, state, output, losers, number=pod.attempt + 1, rules=rules)
    message = f"The files of the other trials could not be removed: {sweeppod.problem(pod)}"
    return _told(
        state, {"state": "Failed", "jobs": len(losers), "attempts": pod.attempt, "message": message[:1024]}
    )


def _made(
    observed: ObservedExperiment,
    state: StepState,
    output: Output,
    losers: list[str],
    *,
    number: int,
    rules: ExperimentRules,
) -> StepState:
    body = sweeppod.build(observed, losers, output, number=number, rules=rules.context)
    made = _told(state, {"state": "Pending", "jobs": len(losers), "attempts": number})
    return replace(made, create=(*state.create, body), requeue_after=_LOOK_AGAIN_SECONDS)


def _told(state: StepState, retention: Json) -> StepState:
    return replace(state, automl=steps.clean({**(state.automl or {}), "retention": dict(retention)}))


def _output(state: StepState) -> Output | None:
    """Where the trials have stored; None where they have not."""
    raw = state.output
    return Output.model_validate(raw) if raw else None
