"""The base models of an Experiment: what its jobs have begun with, and that others of them begin with the same.

Separate because an alias may move while a search or a chain goes on, and trials that start from different models tell
nothing of their parameters. Called by `planning.experimentstatus`, `planning.steps` and `planning.trials`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trainyard.api.basemodels import BaseModelReference
from trainyard.planning.basemodels import name_of
from trainyard.planning.experimentobserved import ObservedExperiment

Json = Mapping[str, Any]

#: Of several jobs the one that is furthest tells; one that failed before one that is on its way.
_FURTHEST = ("pull_complete", "invalid_pull", "in_progress", "starting")


def as_status(observed: ObservedExperiment) -> list[Json] | None:
    """`status.baseModels`, of the jobs of steps that depend on no other; None where none tells of any."""
    assert observed.spec is not None
    told = _told(observed)
    found: dict[str, Json] = {}
    for reference in observed.spec.base_models:
        name = name_of(reference)
        same = [one for one in told if one.get("name") in _names(observed, reference, told)]
        if same:
            best = min(same, key=lambda one: _FURTHEST.index(one.get("pull") or _FURTHEST[-1]))
            found[name] = {**best, "name": name}
    return list(found.values()) or None


def pinned(observed: ObservedExperiment, body: Json) -> Json:
    """The spec of a job, with the versions that jobs of the Experiment have begun with in place of aliases."""
    said = body.get("baseModels")
    told = _told(observed)
    if not said or not told:
        return body
    models = []
    for entry in said:
        reference = BaseModelReference.model_validate(entry)
        version = _version(observed, reference, told)
        known = reference.model is not None and reference.version is None and version is not None
        kept = {key: value for key, value in entry.items() if key != "alias"}
        models.append({**kept, "version": version} if known else entry)
    return {**body, "baseModels": models}


def _told(observed: ObservedExperiment) -> list[Json]:
    if observed.spec is None:
        return []
    first = {step.name for step in observed.spec.actions if not step.depends_on}
    jobs = sorted(observed.jobs, key=lambda job: (job.number or 0, job.rung, job.name))
    return [one for job in jobs if job.owner == observed.uid and job.step in first for one in job.base_models]


def _version(observed: ObservedExperiment, reference: BaseModelReference, told: Iterable[Json]) -> int | None:
    """The version that a reference has meant so far: as a job tells that has it by the same name, or as status says of
    one that is gone.
    """
    name = name_of(reference)
    known = [*told, *(observed.status.get("baseModels") or ())]
    return next((one["version"] for one in known if one.get("name") == name and one.get("version")), None)


def _names(observed: ObservedExperiment, reference: BaseModelReference, told: Iterable[Json]) -> set[str]:
    """What jobs call a model: as the Experiment says it, or by the version that it has meant."""
    version = _version(observed, reference, told)
    names = {name_of(reference)}
    return names | {f"{reference.model}@{version}"} if reference.model and version else names
