"""The Experiment of a job, as the job's plan sees it, and what the job's own metadata says of it.

Separate because it reads another kind's spec, of which a job needs to know little: one Experiment may have a thousand
jobs. Called by `reconcile.trainingjob`, once for each version of an Experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.shared import Objective
from trainyard.planning.objective import Goal, goal_of
from trainyard.planning.runtime import Runtime

Json = Mapping[str, Any]

_WHAT = ("architecture", "type", "runtime")


@dataclass(frozen=True, kw_only=True)
class ExperimentView:
    """An Experiment that there is. `goal` is the metric that decides; `action_parameters` are defaults by action."""

    name: str
    uid: str
    generation: int = 0
    deleting: bool = False
    suspend: bool = False
    cancel: bool = False
    goal: Goal
    action_parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What the metadata of a job says of its Experiment: the UID of the one that owns it, if any, whether that made it
    (controls it), and the name in its label. `goes`: its owner is not there any longer, and the job goes with it.
    """

    owner: str = ""
    made: bool = False
    label: str = ""
    goes: bool = False


def membership(metadata: Json) -> Membership:
    """That of a raw job, of whose owner it is not known whether it is there."""
    label = str((metadata.get("labels") or {}).get(names.LABEL_EXPERIMENT) or "")
    for owner in metadata.get("ownerReferences") or ():
        group = str(owner.get("apiVersion") or "").partition("/")[0]
        if owner.get("kind") == "Experiment" and group == names.GROUP:
            uid = str(owner.get("uid") or "")
            return Membership(owner=uid, made=bool(owner.get("controller")), label=label)
    return Membership(label=label)


def view(raw: Json, catalog: Sequence[Runtime]) -> ExperimentView:
    """What of an Experiment's object counts for its jobs; that much is read of any spec."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    brought = spec.get("actionParameters")
    return ExperimentView(
        name=metadata["name"],
        uid=str(metadata.get("uid") or ""),
        generation=metadata.get("generation", 0),
        deleting=bool(metadata.get("deletionTimestamp")),
        suspend=spec.get("suspend") is True,
        cancel=spec.get("cancel") is True,
        goal=_goal(raw, catalog),
        action_parameters={action: given for action, given in brought.items() if isinstance(given, Mapping)}
        if isinstance(brought, Mapping)
        else {},
    )


def runtime_metrics(spec: Json, catalog: Sequence[Runtime]) -> tuple[str, ...]:
    """Metrics that the runtime of a raw Experiment's spec reports, the headline first. A runtime in its jobTemplate
    goes before its own.
    """
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    said = template if any(template.get(name) for name in _WHAT) else spec
    kind, runtime = said.get("architecture") or said.get("type"), said.get("runtime")
    for entry in sorted(catalog, key=lambda entry: not entry.own):
        if (kind and kind in entry.kinds) or (runtime and entry.name == runtime):
            details = entry.details.get(str(kind))
            return (details.metrics if details is not None else ()) or entry.metrics
    return ()


def _goal(raw: Json, catalog: Sequence[Runtime]) -> Goal:
    """What its jobs report. NB: a search goes on with the metric that it began with, whatever the catalogue says."""
    spec = raw.get("spec") or {}
    objective, tuning = _objective(spec), spec.get("automl")
    metrics = runtime_metrics(spec, catalog)
    if isinstance(tuning, Mapping) and tuning.get("enabled") is not False:
        begun = ((raw.get("status") or {}).get("automl") or {}).get("metric")
        metrics = (str(begun), *metrics) if begun else metrics
    return goal_of(objective, metrics)


def _objective(spec: Json) -> Objective:
    try:
        return Objective.model_validate(spec.get("objective") or {})
    except ValidationError:
        return Objective()
