"""What is kept of one version: where it lies, how good it is, and its lineage, from the job that made it or from what
was reported.

Separate from `planning.modelversions`, which says what becomes a version, as this only reads. Called by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.runtime import Runtime, Unresolved, resolve
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

_STORE = ("secretRef", "endpoint", "region", "account")
_OF_TRAINING = ("training_", "validation_", "train_", "val_")
#: A label can be written by anybody; a longer number is none of a trial.
_MOST_DIGITS = 9


def of_job(
    observed: ObservedModel,
    task: TaskView,
    job: TaskView,
    number: int,
    before: Sequence[Json],
    *,
    now: float,
    catalog: Sequence[Runtime],
) -> dict[str, Any]:
    """Version `number` from a job that is Done; `task` is the job itself or the Experiment whose outcome it is, and
    `before` are the versions that there are.
    """
    spec, status = job.source.get("spec") or {}, job.source.get("status") or {}
    artifact: Json = next(iter(status.get("artifacts") or ()), {})
    output = spec.get("output") or {}
    metrics = [dict(one) for one in status.get("metrics") or ()]
    parameters = spec.get("parameters") or {}
    return _clean(
        {
            "number": number,
            "time": stamp(now),
            "origin": "job",
            "uri": artifact.get("uri"),
            "size": artifact.get("size"),
            "sha256": artifact.get("sha256"),
            "store": {key: output[key] for key in _STORE if output.get(key)},
            "performanceMetrics": [one for one in metrics if not _is_of_training(one["name"])],
            "trainingMetrics": [one for one in metrics if _is_of_training(one["name"])],
            "result": status.get("result"),
            "syntheticData": True
            if parameters.get("synthetic_data") is True or job.metrics.get("synthetic_data") == "1"
            else None,
            "lineage": _lineage(observed, task, job, before, catalog=catalog),
        }
    )


def _is_of_training(name: str) -> bool:
    return name.startswith(_OF_TRAINING) or "loss" in name


def _lineage(
    observed: ObservedModel,
    task: TaskView,
    job: TaskView,
    before: Sequence[Json],
    *,
    catalog: Sequence[Runtime],
) -> dict[str, Any]:
    spec, status = job.source.get("spec") or {}, job.source.get("status") or {}
    labels = job.source["metadata"].get("labels") or {}
    attempts = status.get("attempts") or [{}]
    newest: Json = attempts[-1]
    runtime, image = _runtime(spec, catalog)
    trial = labels.get(names.LABEL_TRIAL, "")
    return _clean(
        {
            "job": job.name,
            "jobUid": job.uid,
            "attempt": newest.get("number"),
            "experiment": spec.get("experiment") or (task.name if task.kind == "Experiment" else None),
            "trial": int(trial) if trial.isdecimal() and len(trial) <= _MOST_DIGITS else None,
            "architecture": spec.get("architecture") or spec.get("type"),
            "runtime": runtime,
            "image": image,
            "imageDigest": _digest(newest.get("imageDigest")),
            "parametersDigest": newest.get("parametersDigest"),
            "datasets": status.get("datasets"),
            "baseModels": [_base(one) for one in status.get("baseModels") or ()],
            "parentVersion": _parent_version(observed, spec, status, before),
        }
    )


def _digest(image: Any) -> str | None:
    """`sha256:...` of `repository@sha256:...`."""
    found = str(image or "").rpartition("@")[2].rpartition("docker://")[2]
    return found[:128] if found.startswith("sha256:") else None


def _runtime(spec: Json, catalog: Sequence[Runtime]) -> tuple[str | None, str | None]:
    """The name of the runtime of a job, and the image that it says."""
    try:
        found = resolve(TrainingJobSpec.model_validate(spec), catalog)
    except ValidationError:
        return None, None
    return (
        (None, spec.get("image"))
        if isinstance(found, Unresolved)
        else (found[0].name or None, found[0].image)
    )


def _base(state: Json) -> dict[str, Any]:
    """A base model of a job as the lineage has it; its name is `model@version`, `model:alias` or the address."""
    name = str(state.get("name") or "")
    found = {"version": state.get("version"), "uri": state.get("uri"), "sha256": state.get("sha256")}
    if state.get("version"):
        found["name"] = name.partition("@")[0].partition(":")[0]
        found["alias"] = name.partition(":")[2] or None
    else:
        found["uri"] = found["uri"] or name
    return _clean(found)


def _parent_version(observed: ObservedModel, spec: Json, status: Json, before: Sequence[Json]) -> int | None:
    """The version of this model that the job went on from: its parent's, or a base model of this model."""
    parent = spec.get("parentJob")
    for one in reversed(before):
        if parent and (one.get("lineage") or {}).get("job") == parent:
            return int(one["number"])
    for state in status.get("baseModels") or ():
        base = _base(state)
        if base.get("name") == observed.name:
            return int(base["version"])
    return None


def _clean(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def of_report(told: Json, number: int) -> dict[str, Any]:
    """Version `number` from `status.reported`, which tells of a training that is complete."""
    return _clean(
        {
            "number": number,
            "time": told["time"],
            "origin": "reported",
            "uri": told["artifactUri"],
            "performanceMetrics": _told_metrics(told.get("performanceMetrics")),
            "trainingMetrics": _told_metrics(told.get("trainingMetrics")),
        }
    )


def _told_metrics(told: Any) -> list[Json]:
    """Numbers of what was told; the rest stays in status.reported."""
    if not isinstance(told, Mapping):
        return []
    numbers = {
        str(name): value
        for name, value in told.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool) and _is_number(value)
    }
    return [{"name": name[:100], "value": str(value)[:64]} for name, value in list(numbers.items())[:64]]


def _is_number(value: Any) -> bool:
    try:
        return float(value) == float(value)
    except ValueError:
        return False
