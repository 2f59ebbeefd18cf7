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
    if automl is None or state is None or state.automl is None:
        return None
    pods = [pod for pod in observed.pods if pod.stage == sweeppod.STAGE]
    told: Json = state.automl.get("retention") or {}
    if told.get("state") in ("Done", "Failed") and not state.final:
        # NB: the search goes on after all, and there will be others to remove when it ends.
        number = int(told.get("attempts") or 0) + 1
        state = _told(state, {"state": "Pending", "jobs": told.get("jobs") or 0, "attempts": number})
        return replace(state, delete=(*state.delete, *_over(pods)))
    wanted = automl.checkpoint_retention == "Best" and state.phase == Phase.DONE
    losers = _losers(observed, state) if wanted else []
    # NB: a search that is given more trials when it has ended, ends once more.
    settled = told.get("state") in ("Done", "Failed") and len(losers) <= int(told.get("jobs") or 0)
    if not wanted or settled:
        gone = _over(pods)
        return replace(state, delete=(*state.delete, *gone)) if gone else None
    if state.child is None:
        return None
    output = _output(state)
    if output is None or not losers:
        return _told(state, {"state": "Done", "jobs": 0})
    tries = int(told.get("attempts") or 0)
    newest = max(pods, key=lambda pod: pod.attempt, default=None)
    if newest is None or newest.attempt < tries:
        return _made(observed, state, output, losers, number=max(tries, 1), now=now, rules=rules)
    if not newest.over:
        return replace(state, requeue_after=_LOOK_AGAIN_SECONDS)
    return _ended(observed, state, newest, output, losers, pods=pods, now=now, rules=rules)


def _losers(observed: ObservedExperiment, state: StepState) -> list[str]:
    """The UIDs of all ended jobs of the search but the best one."""
    best = state.child.uid if state.child is not None else None
    return [
        job.uid
        for job in observed.jobs
        if job.owner == observed.uid
        and job.step == state.step.name
        and job.number is not None
        and job.digest == state.digest
        and job.over
        and job.uid != best
    ]


def _ended(
    observed: ObservedExperiment,
    state: StepState,
    pod: PodView,
    output: Output,
    losers: list[str],
    *,
    pods: Sequence[PodView],
    now: float,
    rules: ExperimentRules,
) -> StepState:
    found = sweeppod.swept(pod)
    told: dict[str, Any] = {"state": "Done", "jobs": len(losers), "attempts": pod.attempt}
    if found is not None:
        told["bytes"] = found.bytes
    elif sum(one.over for one in pods) < _TRIES:
        return _made(observed, state, output, losers, number=pod.attempt + 1, now=now, rules=rules)
    else:
        message = f"The files of the other trials could not be removed: {sweeppod.problem(pod)}"
        told |= {"state": "Failed", "message": message[:1024]}
    # NB: pods go after the status is written, and nobody rings for that.
    return replace(_told(state, told), delete=(*state.delete, *_over(pods)))


def _made(
    observed: ObservedExperiment,
    state: StepState,
    output: Output,
    losers: list[str],
    *,
    number: int,
    now: float,
    rules: ExperimentRules,
) -> StepState:
    if refused := observed.pod_refused(now=now):
        message = f"The pod that removes them is refused and tried again: {refused[0]}"
        waits = {"state": "Pending", "jobs": len(losers), "attempts": number, "message": message[:1024]}
        return replace(_told(state, waits), requeue_after=refused[1])
    body = sweeppod.build(observed, losers, output, number=number, rules=rules.context)
    made = _told(state, {"state": "Pending", "jobs": len(losers), "attempts": number})
    return replace(made, create=(*state.create, body), requeue_after=_LOOK_AGAIN_SECONDS)


def _over(pods: Sequence[PodView]) -> tuple[PodView, ...]:
    return tuple(pod for pod in pods if pod.deletion_requested_at is None and pod.over)


def _told(state: StepState, retention: Json) -> StepState:
    return replace(state, automl=steps.clean({**(state.automl or {}), "retention": dict(retention)}))


def _output(state: StepState) -> Output | None:
    """Where the trials have stored; None where they have not."""
    raw = state.output
    return Output.model_validate(raw) if raw else None
