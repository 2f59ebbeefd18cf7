"""The versions of a model: which jobs become one, what is kept of each, and which of them status lists.

Separate because it is the record that everything else of a model rests on: a job becomes a version once, in the order
in which jobs end, whatever happens to the operator, the job or the list meanwhile. Called by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.plan import Announcement
from trainyard.planning.runtime import Runtime, Unresolved, resolve
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

#: What status has room for (api.mlmodel).
MOST_LISTED = 100
_MOST_FORMER = 200
_MOST_DIGITS = 9
#: What has no number yet comes after all that has one, of which status may have lost the list.
_UNTOLD = 1 << 62
_NO_NUMBER = 1 << 62
_STORE = ("secretRef", "endpoint", "region", "account")
_OF_TRAINING = ("training_", "validation_", "train_", "val_")


@dataclass(frozen=True, kw_only=True)
class Versions:
    """`listed` as in status, the oldest first; `former` are those that status lists no longer; `latest` is the number
    of the newest that there ever was, 0 without one. `news` are Events for those that are new.
    """

    listed: tuple[Json, ...] = ()
    former: tuple[Json, ...] = ()
    latest: int = 0
    news: tuple[Announcement, ...] = ()

    @property
    def newest(self) -> Json | None:
        """The newest version that is listed."""
        return self.listed[-1] if self.listed else None

    def numbered(self, number: int) -> Json | None:
        """A listed version by its number."""
        return next((one for one in self.listed if one["number"] == number), None)


def registered(observed: ObservedModel, *, now: float, catalog: Sequence[Runtime] = ()) -> Versions:
    """The versions with those that have come in the meantime: jobs and Experiments that are Done, and what was told
    from outside. NB: one that status lists no longer is known by `formerVersions`, and past these by the job's own
    status.
    """
    status = observed.status
    listed = [dict(one) for one in sorted(status.get("versions") or (), key=lambda one: int(one["number"]))]
    former = tuple(status.get("formerVersions") or ())
    latest = max(
        [int(status.get("latestVersion") or 0), *(one["number"] for one in (*listed, *former))], default=0
    )
    before = latest
    known = {_source(one) for one in listed} | {one.get("source") for one in former}
    news: list[Announcement] = []
    for task, job in _candidates(observed):
        if job.uid in known:
            continue
        told = _told_number(job, observed.name)
        if told is not None and told <= before:
            continue  # NB: it is one that status has forgotten
        if told is None and str(task.ended_at) <= _forgotten(former):
            continue  # NB: an Experiment's job is told no number
        number = max(latest + 1, told or 0)
        listed.append(_version(observed, task, job, number, listed, now=now, catalog=catalog))
        known.add(job.uid)
        latest = number
        news.append(_registered(listed[-1], f"{task.kind} {task.name}"))
    reported = _reported(observed, listed, latest)
    if reported is not None:
        listed.append(reported)
        latest = reported["number"]
        news.append(_registered(reported, "what was reported from outside"))
    return Versions(listed=tuple(listed), former=former, latest=latest, news=tuple(news))


def retained(versions: Versions, *, wanted: int, in_use: frozenset[int]) -> Versions:
    """Versions that status goes on to list: the newest, and those that an alias or a target stands for. None goes
    before its record is in the store, unless there is no room for it.
    """
    listed, former = list(versions.listed), list(versions.former)
    surplus = len(listed) - wanted
    for one in versions.listed:
        full = len(listed) > MOST_LISTED
        if surplus <= 0 and not full:
            break
        surplus -= 1
        stored = one.get("card") or one.get("origin") == "reported"
        if one["number"] in in_use or not (stored or full):
            continue
        listed.remove(one)
        gone = {"number": one["number"], "time": one["time"], "source": _source(one), "card": one.get("card")}
        former.append({key: value for key, value in gone.items() if value is not None})
    former.sort(key=lambda one: int(one["number"]))
    return Versions(
        listed=tuple(listed),
        former=tuple(former[-_MOST_FORMER:]),
        latest=versions.latest,
        news=versions.news,
    )


def without_a_model(observed: ObservedModel) -> str:
    """A sentence for an Experiment that is Done, was to become a version and has left no model; empty without one."""
    known = {(one.get("lineage") or {}).get("experiment") for one in observed.status.get("versions") or ()}
    for task in observed.tasks:
        if task.kind == "TrainingJob" or not (task.registers and task.succeeded) or task.name in known:
            continue
        if not task.outcome_job:
            return f"Experiment {task.name} is Done and became no version: none of its steps makes a model."
        # NB: a version that status lists no longer may have been the job's.
        if task.uid not in observed.outcomes and not observed.status.get("formerVersions"):
            return (
                f"Experiment {task.name} is Done and became no version: its job {task.outcome_job} is gone."
            )
    return ""


def newest_end(observed: ObservedModel) -> TaskView | None:
    """What has ended last of all that registers and was not cancelled."""
    ended = [
        one for one in observed.tasks if one.registers and one.finished and not one.canceled and one.ended_at
    ]
    return max(ended, key=_when, default=None)


def _when(task: TaskView) -> tuple[str, str, int, bool, str]:
    """By which ends are put in their order. NB: stamps have whole seconds; of two in one second that which began later
    has ended later.
    """
    created = str(task.source["metadata"].get("creationTimestamp") or "")
    return task.ended_at or "", created, task.number, task.succeeded, task.uid


def in_words(version: Json, name: str = "") -> str:
    """`Version 3 (accuracy 0.97)`."""
    metrics = {m["name"]: m["value"] for m in version.get("performanceMetrics") or ()}
    shown = name if name in metrics else next(iter(metrics), "")
    value = f" ({shown} {short(metrics[shown])})" if shown else ""
    data = ", trained on synthetic demo data" if version.get("syntheticData") else ""
    return f"Version {version['number']}{value}{data}"


def short(value: str) -> str:
    """A decimal string as it is shown: four digits that count."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _candidates(observed: ObservedModel) -> list[tuple[TaskView, TaskView]]:
    """What has become a version or is to, with the job that it comes from, in the order of the ends."""
    found = []
    for task in observed.tasks:
        if not (task.registers and task.succeeded):
            continue
        job = task if task.kind == "TrainingJob" else observed.outcomes.get(task.uid)
        if job is not None:
            found.append((task, job))
    # NB: those first that have been told a number, by a model of this name that is gone: they keep it.
    return sorted(
        found, key=lambda pair: (_told_number(pair[1], observed.name) or _NO_NUMBER, *_end(pair[0]))
    )


def _end(task: TaskView) -> tuple[str, str]:
    return task.ended_at or "", task.uid


def _forgotten(former: Sequence[Json]) -> str:
    """What ended by this time is a version that `formerVersions` has had no room for; empty while it had."""
    return str(former[0]["time"]) if len(former) >= _MOST_FORMER else ""


def _told_number(job: TaskView, model: str) -> int | None:
    """The number that a job has been told, by a model of this name that may have been another."""
    told = (job.source.get("status") or {}).get("modelVersion") or {}
    return int(told["number"]) if told.get("name") == model and told.get("number") else None


def _source(version: Json) -> str | None:
    uid = (version.get("lineage") or {}).get("jobUid")
    return str(uid) if uid else None


def _registered(version: Json, by: str) -> Announcement:
    return Announcement(
        type="Normal", reason="VersionRegistered", message=f"{in_words(version)} comes from {by}."[:1024]
    )


def _reported(observed: ObservedModel, listed: Sequence[Json], latest: int) -> dict[str, Any] | None:
    """The version that was reported from outside as trained, unless it is listed."""
    told = observed.status.get("reported") or {}
    uri, when = told.get("artifactUri"), told.get("time")
    if told.get("lifecycle") != "trained" or not uri or not when:
        return None
    if any(one.get("origin") == "reported" and one.get("time") == when for one in listed):
        return None
    if any(
        one.get("time") == when and not one.get("source")
        for one in observed.status.get("formerVersions") or ()
    ):
        return None
    if when <= _forgotten(observed.status.get("formerVersions") or ()):
        return None
    return _clean(
        {
            "number": latest + 1,
            "time": when,
            "origin": "reported",
            "uri": uri,
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


def _version(
    observed: ObservedModel,
    task: TaskView,
    job: TaskView,
    number: int,
    before: Sequence[Json],
    *,
    now: float,
    catalog: Sequence[Runtime],
) -> dict[str, Any]:
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
