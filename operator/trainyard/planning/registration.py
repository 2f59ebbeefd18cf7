"""`spec.model`: whether a job can become a version of an MLModel, and which one it has become.

Separate because the version itself is the model's to make (`planning.modelversions`): a job only waits for its model
before it runs, and for its number once it is Done. Called by `planning.podcreation`,
`planning.trainingjob` and `reconcile.trainingjob`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainyard.api.reasons import ConditionType, Phase, Reason
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import conditions, spechash
from trainyard.planning.finding import Finding
from trainyard.planning.modelactions import MAKES_A_MODEL
from trainyard.planning.modelview import ARCHIVED
from trainyard.planning.nearest import listed
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Plan

Json = Mapping[str, Any]


def impossible(*, action: str, has_output: bool) -> str | None:
    """Make sure that what a job with `spec.model` ends with can be a version."""
    if action not in MAKES_A_MODEL:
        return (
            f"spec.model registers what a job makes as a version of an MLModel, and action {action} makes no model; "
            f"{listed(sorted(MAKES_A_MODEL))} do. Take spec.model out, or name the model it works on in "
            "spec.baseModels."
        )
    if not has_output:
        return (
            "spec.model registers what the job makes as a version, and without spec.output nothing of it would be "
            "kept: say there where it goes."
        )
    return None


def model_is_missing(observed: ObservedJob) -> Finding | None:
    """Make sure that there is the model of which the job is to become a version. NB: of one that has begun it is no
    longer asked, as what it makes is kept in any case.
    """
    if observed.spec is None or observed.spec.model is None or spechash.begun(observed.status):
        return None
    name = observed.spec.model
    model = observed.models.get(name)
    if model is None:
        message = (
            f"spec.model: there is no MLModel {name} in this namespace yet; the job starts when it is there."
        )
    elif model.deleting:
        message = f"spec.model: MLModel {name} is being deleted; the job starts when there is another one."
    elif model.lifecycle == ARCHIVED:
        message = (
            f"spec.model: MLModel {name} is archived: it is kept as a record and gets no new versions. Set its "
            "spec.stage to active, or name another model."
        )
    else:
        return None
    return Finding(phase=Phase.PENDING, reason=Reason.WAITING_FOR_MODEL, message=message)


def pending(spec: TrainingJobSpec | None, status: Json) -> bool:
    """Whether a job that is Done has yet to be told which version it has become."""
    return (
        spec is not None
        and spec.model is not None
        and not status.get("modelVersion")
        and conditions.is_true(status, ConditionType.SUCCEEDED)
    )


def with_version(observed: ObservedJob, plan: Plan) -> Plan:
    """`plan` with the number of the version that the job has become, once its model lists it."""
    status = observed.status if plan.status is None else plan.status
    if observed.deleting or not status.get("completionTime") or not pending(observed.spec, status):
        return plan
    assert observed.spec is not None
    assert observed.spec.model is not None
    model = observed.models.get(observed.spec.model)
    number = model.registered.get(observed.uid) if model is not None else None
    if number is None:
        return plan
    told = {"name": observed.spec.model, "number": number}
    return dataclasses.replace(plan, status={**status, "modelVersion": told})
