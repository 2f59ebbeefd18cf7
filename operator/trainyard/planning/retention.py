"""What is kept of a search that has ended: with `checkpointRetention: Best` the files of all its jobs but the best
one's are removed from the output, by a pod. What was handed on stays, too: a version of an MLModel has no other files
than those of the job that made it.

Separate because it begins when everything else has ended, and only files go: the jobs and their record stay. Called by
`planning.experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainyard.api.reasons import Phase
from trainyard.api.shared import Output
from trainyard.planning import liftedcancel, steps, sweeppod
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.podview import PodView
from trainyard.planning.steps import StepState
from trainyard.planning.times import sooner

Json = Mapping[str, Any]

_TRIES = 3
_LOOK_AGAIN_SECONDS = 15.0
#: The end of a job that is not its own rings for nobody.
_OTHERS_AGAIN_SECONDS = 60.0
_IN_USE = "What other jobs still work on stays until they have ended."


@dataclass(frozen=True, kw_only=True)
class _Losers:
    """UIDs of the jobs whose files go; `in_use`: some are left as others work on them; `message`: what stays."""

    uids: list[str]
    in_use: bool
    message: str | None


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
    # NB: a trial that was cancelled with the Experiment goes on from its checkpoint when that does.
    go_on = observed.spec.cancel and any(liftedcancel.can_go_on(job, observed) for job in observed.jobs)
    wanted = automl.checkpoint_retention == "Best" and state.phase == Phase.DONE and not go_on
    if not wanted:
        gone = _over(pods)
        return replace(state, delete=(*state.delete, *gone)) if gone else None
    losers = _losers(observed, state)
    if losers.in_use:
        state = replace(state, requeue_after=sooner(state.requeue_after, _OTHERS_AGAIN_SECONDS))
    # NB: a search that is given more trials when it has ended, ends once more; and others may work on a job no longer.
    ended = told.get("state") in ("Done", "Failed")
    if ended and len(losers.uids) <= int(told.get("jobs") or 0):
        return replace(state, delete=(*state.delete, *_over(pods)))
    output = _output(state)
    if output is None or not losers.uids:
        return _told(state, {"state": "Done", "jobs": 0, "message": losers.message})
    tries = int(told.get("attempts") or 0) + ended
    newest = max(pods, key=lambda pod: pod.attempt, default=None)
    if newest is None or newest.attempt < tries:
        return _made(observed, state, output, losers.uids, number=max(tries, 1), now=now, rules=rules)
    if not newest.over:
        return replace(state, requeue_after=_LOOK_AGAIN_SECONDS)
    return _ended(observed, state, newest, output, losers, pods=pods, now=now, rules=rules)


def _losers(observed: ObservedExperiment, state: StepState) -> _Losers:
    """All ended jobs of the search but those of trials that are kept, of which each has one on each rung."""
    jobs = [
        job
        for job in observed.jobs
        if job.owner == observed.uid and job.number is not None and job.digest == state.digest
    ]
    automl: Json = state.automl or {}
    kept = {(automl.get("bestTrial") or {}).get("number"), *(automl.get("keptTrials") or ())}
    kept |= {job.number for job in jobs if job.registers}
    in_use = {job.number for job in jobs if job.name in observed.parents} - kept
    # NB: of runs whose jobs are gone it is not known any longer where their files are.
    there = {(job.number, job.rung) for job in jobs}
    runs = ((entry["number"], entry.get("rung", 0)) for entry in automl.get("ledger") or ())
    gone = sum(run not in there for run in runs if run[0] not in kept)
    said = [_gone(gone)] * bool(gone) + [_IN_USE] * bool(in_use)
    return _Losers(
        uids=[job.uid for job in jobs if job.over and job.number not in kept | in_use],
        in_use=bool(in_use),
        message=" ".join(said) or None,
    )


def _gone(runs: int) -> str:
    jobs = "the job of 1 run" if runs == 1 else f"the jobs of {runs} runs"
    return f"Somebody has deleted {jobs}; what such have left in the output remains there."


def _ended(
    observed: ObservedExperiment,
    state: StepState,
    pod: PodView,
    output: Output,
    losers: _Losers,
    *,
    pods: Sequence[PodView],
    now: float,
    rules: ExperimentRules,
) -> StepState:
    found = sweeppod.swept(pod)
    # NB: as many as there were when the pod was made; one that others worked on then may be a loser now.
    before: Json = (state.automl or {}).get("retention") or {}
    jobs = int(before["jobs"]) if before.get("state") == "Pending" else len(losers.uids)
    told: dict[str, Any] = {"state": "Done", "jobs": jobs, "attempts": pod.attempt}
    if found is not None:
        told |= {"bytes": found.bytes, "message": losers.message}
    elif sum(one.over for one in pods) < _TRIES:
        return _made(observed, state, output, losers.uids, number=pod.attempt + 1, now=now, rules=rules)
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
    return replace(state, automl=steps.clean({**(state.automl or {}), "retention": steps.clean(retention)}))


def _output(state: StepState) -> Output | None:
    """Where the trials have stored; None where they have not."""
    raw = state.output
    return Output.model_validate(raw) if raw else None
