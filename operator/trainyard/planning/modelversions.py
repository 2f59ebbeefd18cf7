"""The versions of a model: which jobs become one, what is kept of each, and which of them status lists.

Separate because it is the record that everything else of a model rests on: a job becomes a version once, in the order
in which jobs end, whatever happens to the operator, the job or the list meanwhile. Called by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.planning import versionentry
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.plan import Announcement
from trainyard.planning.runtime import Runtime

Json = Mapping[str, Any]

#: What status has room for (api.mlmodel).
MOST_LISTED = 100
_MOST_FORMER = 200
#: What has no number yet comes after all that has one, of which status may have lost the list.
_UNTOLD = 1 << 62


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
        listed.append(versionentry.of_job(observed, task, job, number, listed, now=now, catalog=catalog))
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
    return sorted(found, key=lambda pair: (_told_number(pair[1], observed.name) or _UNTOLD, *_end(pair[0])))


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
    return versionentry.of_report(told, latest + 1)
