"""Jobs that are left of an earlier Experiment of the same name: an Experiment that comes back, from a backup or applied
again after a delete that orphaned its jobs, has another UID and finds them.

Separate because it decides whose a job is, which all else takes for given. Controllers of Kubernetes take over what
nothing controls and their selector finds; here a job must also be what would be made, since another would be run in its
place otherwise. Called by `planning.experiment` and `planning.steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import stepjobs
from trainyard.planning.experimentobserved import ChildView, JobStep, LeftBehind, ObservedExperiment

Json = Mapping[str, Any]

#: So many at one look, so that other objects get their turn.
_AT_ONCE = 50


def of_the_same(
    observed: ObservedExperiment, wanted: Mapping[str, str], *, tuned: str | None
) -> tuple[JobStep, ...]:
    """What makes those jobs the Experiment's own that are what it would make itself; `wanted` are the digests of its
    steps, of the tuned one that of the search.
    """
    found = (
        left
        for left in observed.left_behind
        if left.abandoned
        and not left.job.deleting
        and left.job.digest
        and left.job.digest == wanted.get(left.job.step)
        and _is_called_so(observed, left.job, tuned)
    )
    return tuple(_taken(observed, left) for left in islice(found, _AT_ONCE))


def why_not(observed: ObservedExperiment, name: str) -> tuple[Phase, Reason, str] | None:
    """Why a job of this name that is left of an earlier Experiment is in the way; None where there is none."""
    left = next((one for one in observed.left_behind if one.job.name == name), None)
    if left is None:
        return None
    if left.job.deleting or left.goes:
        message = (
            f"TrainingJob {name} is of an earlier Experiment {observed.name}, and goes with that; another one is made "
            "when it is gone."
        )
        return Phase.PENDING, Reason.WAITING_FOR_CLEANUP, message
    if not left.abandoned:
        return None
    label = f"{names.LABEL_EXPERIMENT_UID}={left.job.made_for}"
    message = (
        f"TrainingJob {name} is left of an earlier Experiment {observed.name}, which is gone, and is not what this one "
        "would make: its step, a step before it, or its labels are others. It is left as it is. To run the step anew "
        f"delete it, or all that are left (kubectl delete trainingjobs -n {observed.namespace} -l {label}); to keep "
        "what it has made, give the Experiment the spec back that it was made with."
    )
    return Phase.PENDING, Reason.JOB_NAME_TAKEN, message


def _is_called_so(observed: ObservedExperiment, job: ChildView, tuned: str | None) -> bool:
    if job.step == tuned:
        return job.number is not None and job.name == names.trial_job_name(
            experiment=observed.name, number=job.number, rung=job.rung
        )
    return job.number is None and job.name == names.step_job_name(experiment=observed.name, step=job.step)


def _taken(observed: ObservedExperiment, left: LeftBehind) -> JobStep:
    # NB: one that goes on may have joined by itself, as a job that is posted does.
    others = [dict(one) for one in left.owners if one.get("uid") != observed.uid]
    metadata = {
        # NB: the list of owners is written as a whole.
        "resourceVersion": left.version,
        "labels": {names.LABEL_EXPERIMENT: observed.name, names.LABEL_EXPERIMENT_UID: observed.uid},
        "ownerReferences": [*others, stepjobs.owner(observed)],
    }
    return JobStep(verb="patch", name=left.job.name, uid=left.job.uid, body={"metadata": metadata})
