"""Jobs that were cancelled with their Experiment, which is cancelled no longer: they go on by themselves.

Separate because for a moment nothing of theirs says so: each is looked at after its Experiment, and until then a search
would start others in their places, or take itself for ended. Called by `planning.experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.experiment import ExperimentSpec, Step
from trainyard.planning import stepjobs
from trainyard.planning.experimentobserved import ChildView, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.runtime import Unresolved

Json = Mapping[str, Any]


def with_going_on(
    observed: ObservedExperiment, spec: ExperimentSpec, *, rules: ExperimentRules
) -> ObservedExperiment:
    """`observed` as it will be when these jobs have taken note; the rule is that of `stops.after_cancel`."""
    if spec.cancel or not any(can_go_on(job, observed) for job in observed.jobs):
        return observed
    resumable = {step.name for step in spec.actions if _resumable(spec, step, rules)}
    going = (job for job in observed.jobs if can_go_on(job, observed))
    return observed.with_going_on({job.uid for job in going if not job.begun or job.step in resumable})


def can_go_on(job: ChildView, observed: ObservedExperiment) -> bool:
    """Whether nothing but the Experiment keeps a job cancelled."""
    mine = job.owner == observed.uid and job.canceled_with == observed.name
    return mine and not job.told_to_cancel and not job.deleting


def _resumable(spec: ExperimentSpec, step: Step, rules: ExperimentRules) -> bool:
    body = stepjobs.spec_of(spec, step)
    found = stepjobs.resolved(body, rules.context.catalog, has_parent=bool(step.depends_on))
    return not isinstance(found, Unresolved) and found[1].resumable
