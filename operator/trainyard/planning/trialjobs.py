"""The TrainingJobs of trials: what one is made with, how it is told from others, and how it is stopped.

Separate because it decides nothing. Called by `planning.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.experiment import Step
from trainyard.api.reasons import Reason
from trainyard.planning import experimentbases, parameters, stepjobs
from trainyard.planning.experimentobserved import ChildView, JobStep, ObservedExperiment
from trainyard.planning.searchsetup import Point, Search
from trainyard.planning.searchspace import with_epochs
from trainyard.planning.steps import StepState
from trainyard.search.decisions import Start

Children = Mapping[tuple[int, int], ChildView]

_PARAMETERS_LIMIT = 60_000


def of_run(
    observed: ObservedExperiment,
    search: Search,
    parents: Sequence[StepState],
    start: Start,
    point: Point,
    children: Children,
) -> JobStep:
    """The job of one run. A promoted trial goes on from its own checkpoint, that of its job among `children`; without
    that it runs from its beginning, which comes to the same.
    """
    given = parameters.merged(search.body.get("parameters") or {}, search.space.parameters(point))
    if start.epochs is not None:
        given = with_epochs(given, start.epochs, names=search.searched.epochs)
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


def stopped(child: ChildView, rule: str) -> JobStep:
    """The job ends, and has this to tell why."""
    change = {"metadata": {"annotations": {names.STOPPED: rule}}, "spec": {"cancel": True}}
    return JobStep(verb="patch", name=child.name, uid=child.uid, body=change)


def is_called_so(job: ChildView, observed: ObservedExperiment) -> bool:
    """Whether a job has the name that a trial of this Experiment has."""
    if job.number is None:
        return False
    return job.name == names.trial_job_name(experiment=observed.name, number=job.number, rung=job.rung)


def of_step(child: ChildView, step: Step) -> JobStep:
    """A trial's job is that of this step, which was called otherwise before."""
    change = {"metadata": {"labels": {names.LABEL_STEP: step.name}}}
    return JobStep(verb="patch", name=child.name, uid=child.uid, body=change)


def orphans(observed: ObservedExperiment, children: Children) -> list[JobStep]:
    """Promoted trials' jobs that have not begun, and wait for an earlier job of theirs that somebody has deleted: each
    is made anew without it, and runs from its beginning.
    """
    return [
        JobStep(verb="remove", name=child.name, uid=child.uid)
        for (number, rung), child in children.items()
        if rung > 0
        and child.reason == Reason.WAITING_FOR_PARENT
        and not (child.over or child.deleting)
        and (number, rung - 1) not in children
        and child.parent == names.trial_job_name(experiment=observed.name, number=number, rung=rung - 1)
    ]
