"""What a job's Experiment means for it: it waits for it, is stopped with it, and goes with it when that is deleted.

Separate because it is one policy that several parts of a job's plan ask for. A job without an Experiment passes all of
it at the cost of one look at its spec.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import restoring, spechash
from trainyard.planning.experimentview import ExperimentView
from trainyard.planning.finding import Finding
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Plan

Json = dict[str, Any]


def asks(observed: ObservedJob, cause: str) -> ExperimentView | None:
    """The Experiment, where it is what asks for a stop of this cause, be it that the job's own spec does so as well."""
    experiment = observed.experiment
    if experiment is None:
        return None
    asked = (cause == "Suspend" and experiment.suspend) or (cause == "Cancel" and experiment.cancel)
    return experiment if asked else None


def alone(observed: ObservedJob, cause: Literal["Suspend", "Cancel"]) -> bool:
    """Whether the Experiment asks for a stop of this cause and the job's own spec does not."""
    return asks(observed, cause) is not None and not observed.asks_itself(cause)


def experiment_is_missing(observed: ObservedJob) -> Finding | None:
    """Make sure that the job's Experiment is there before the job begins: it may say that it shall not, and what with.

    A job that has begun goes on without it, unless it was its Experiment's own and goes with it.
    """
    if observed.spec is None or observed.spec.experiment is None:
        return None
    name, experiment = observed.spec.experiment, observed.experiment
    if observed.membership.goes:
        message = f"Experiment {name}, which this job belongs to, was deleted, and the job goes with it."
    elif spechash.begun(observed.status):
        return None
    elif experiment is None:
        message = f"There is no Experiment {name} in this namespace yet; the job starts when it is there."
    elif experiment.deleting:
        message = (
            f"Experiment {name} is being deleted. The job goes with it, or starts when there is a new one."
        )
    else:
        return None
    return Finding(phase=Phase.PENDING, reason=Reason.WAITING_FOR_EXPERIMENT, message=message)


def joined(observed: ObservedJob, plan: Plan) -> Plan:
    """`plan`, which makes the job its Experiment's if it is not yet: by a label, and by an owner reference, so that it
    goes with it. In the same write as the annotation that the job's output needs before its first pod.
    """
    experiment, metadata = observed.experiment, observed.membership
    if (
        experiment is None
        or experiment.deleting
        or observed.deleting
        or observed.status.get("completionTime")
    ):
        return plan
    owned = metadata.owner == experiment.uid
    if (owned and metadata.label == experiment.name) or metadata.made or metadata.goes:
        return plan
    return dataclasses.replace(
        plan,
        annotate={**restoring.marks(observed), **plan.annotate},
        label={names.LABEL_EXPERIMENT: experiment.name},
        own=None if owned else _reference(experiment),
    )


def _reference(experiment: ExperimentView) -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Experiment",
        "name": experiment.name,
        "uid": experiment.uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }
