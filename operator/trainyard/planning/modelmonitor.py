"""The scheduled evaluation of a model: when one is due, the job that does it, and what has become of the version.

Separate because it goes by the clock, and because "degraded" is decided here and nowhere else: from what evaluations
have measured, never from a phase. `planning.measurements` reads an evaluation that has ended. Called by
`planning.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.mlmodel import MLModelSpec, Monitor
from trainyard.planning import measurements, modeltasks, schedule
from trainyard.planning.experimentobserved import JobStep
from trainyard.planning.measurements import clean, counted
from trainyard.planning.modelobserved import ObservedModel, Part, TaskView
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.modelversions import Versions
from trainyard.planning.plan import Announcement
from trainyard.planning.times import seconds, sooner, stamp

Json = Mapping[str, Any]

#: An answer that could not be read yet is waited for.
_READ_AGAIN_SECONDS = 5.0
_NOT_OF_THE_JOB = ("suspend", "cancel", "experiment")
_LIMIT = 1024
#: Nothing to complain of: monitoring may be asked for before the first training.
_NO_VERSION = "There is no version to evaluate yet."


def plan(
    observed: ObservedModel, versions: Versions, aliases: Mapping[str, int], *, now: float, rules: ModelRules
) -> Part:
    """What is to be done about monitoring; `status.monitor` is its own.

    NB: status tells of an evaluation only once its job is there. So one that the API server has refused, or that was
    made just before the operator ended, is neither lost nor done twice.
    """
    assert observed.spec is not None
    monitor, tasks = observed.spec.monitor, observed.of_task("monitor")
    old = modeltasks.outdated(tasks)
    if monitor is None:
        return Part(status={"monitor": None}, jobs=(*modeltasks.unwanted(tasks), *old))
    # NB: evaluations that there are from before have been for another spec.monitor, or another's status.
    begun: dict[str, Any] = {"number": max((one.number for one in tasks), default=0)}
    told = measurements.of_one_metric(dict(observed.status.get("monitor") or begun), observed.spec)
    job = _current(told, tasks)
    if job is not None:
        told = _followed(told, job)
    version, lacks = _version_of(monitor, versions, aliases)
    told, news, read_again = _with_its_end(observed, told, job, now=now)
    gone = _lost_its_version(job, versions)
    if gone is not None:
        told, old = {**told, "job": None}, (*old, gone)
    busy = bool(told.get("job"))
    told["degradedTime"] = _degraded_since(observed.spec, told, version)
    found = _scheduled(observed, monitor, told, version, lacks, busy=busy, now=now, rules=rules)
    later = found.requeue_after
    if read_again:
        later = sooner(later, _READ_AGAIN_SECONDS)
    return Part(
        status=found.status,
        jobs=(*old, *found.jobs),
        requeue_after=later,
        announce=news,
        problem=found.problem,
    )


def degraded(spec: MLModelSpec, monitor: Json | None, version: int | None) -> str:
    """How the version has degraded, in a sentence with the measurement; empty where it has not. `monitor` is
    `status.monitor`.
    """
    newest = counted(monitor or {})
    if spec.monitor is None or monitor is None or newest is None or not monitor.get("degradedTime"):
        return ""
    if newest.get("version") != version:
        return ""
    bound = "above" if measurements.goal(spec, str(monitor.get("metric"))).minimize else "below"
    runs = int(monitor.get("runsBelow") or 0)
    again = f", for {runs} evaluations in a row" if runs > 1 else ""
    on = f" on {newest['dataset']}" if newest.get("dataset") else ""
    return (
        f"{monitor.get('metric')} of version {version} is {newest['value']}{on}, {bound} the "
        f"threshold of {spec.monitor.threshold}{again} (measured at {newest['time']})."
    )


def wants_training(spec: MLModelSpec, monitor: Json | None) -> str:
    """When the degradation was measured that asks for a training; empty where none does."""
    if spec.monitor is None or spec.monitor.retrain != "OnDegraded" or spec.stage != "active":
        return ""
    return str((monitor or {}).get("degradedTime") or "")


def _current(told: Json, tasks: tuple[TaskView, ...]) -> TaskView | None:
    """The evaluation whose end is not in status yet: the one that status tells of, a newer one that it does not know
    yet, or one that somebody has asked to try again.
    """
    newest = next((one for one in reversed(tasks) if not one.deleting), None)
    if newest is None:
        return None
    known = newest.number <= int(told.get("number") or 0) and newest.name != told.get("job")
    return None if known and newest.finished else newest


def _followed(told: Mapping[str, Any], job: TaskView) -> dict[str, Any]:
    """`told` with the evaluation that there is; of a new one, with the time that it is for."""
    found = {**told, "job": job.name, "number": max(job.number, int(told.get("number") or 0))}
    if job.number > int(told.get("number") or 0) and told.get("nextScheduleTime"):
        # NB: that time is had, also when the job has ended before anybody looked.
        found["lastScheduleTime"] = found.pop("nextScheduleTime")
    return found


def _with_its_end(
    observed: ObservedModel, told: dict[str, Any], job: TaskView | None, *, now: float
) -> tuple[dict[str, Any], tuple[Announcement, ...], bool]:
    """`told` with what the evaluation has measured, once it has ended; whether its answer has still to be read."""
    assert observed.spec is not None
    if not told.get("job"):
        return told, (), False
    if job is None:
        why = f"{told['job']} was deleted before it had ended."
        found = measurements.not_measured(told, str(told["job"]), why, at=stamp(now))
        return found, (_failed(why),), False
    if not job.finished:
        return told, (), False
    answer = modeltasks.answer(observed, job, now=now)
    if answer is None:
        return told, (), True
    found = measurements.measured(told, job, answer, observed.spec, model=observed.name, now=now)
    newest = found["history"][0]
    news = [_failed(newest["message"])] if newest.get("message") else []
    if (found.get("drifted") or 0) > (told.get("drifted") or 0):
        news.append(_drifted(observed.spec, found))
    return found, tuple(news), False


def _lost_its_version(job: TaskView | None, versions: Versions) -> JobStep | None:
    """An evaluation that never began, of a version that status lists no longer, would wait for ever."""
    if job is None or job.finished or job.started_at or job.phase not in ("", "Pending"):
        return None
    number = measurements.version_of(job)
    return modeltasks.remove(job) if number is not None and versions.numbered(number) is None else None


def _version_of(monitor: Monitor, versions: Versions, aliases: Mapping[str, int]) -> tuple[Json | None, str]:
    """The version to evaluate; else why there is none, in a sentence."""
    if not versions.listed:
        return None, _NO_VERSION
    if monitor.alias is None:
        return versions.newest, ""
    number = aliases.get(monitor.alias)
    if number is None:
        return (
            None,
            f"spec.monitor.alias: {monitor.alias} stands for no version; give it one in spec.aliases.",
        )
    return versions.numbered(number), ""


def _degraded_since(spec: MLModelSpec, told: Json, version: Json | None) -> str | None:
    """Since which measurement the version that is watched now is degraded, by what the spec says now; None: it is not.

    NB: it stays the first one while the version stays degraded, as it is what a training answers.
    """
    assert spec.monitor is not None
    newest = counted(told)
    if newest is None or version is None or newest.get("version") != version["number"]:
        return None
    if int(told.get("runsBelow") or 0) < spec.monitor.for_runs:
        return None
    if not measurements.is_worse(spec, str(told.get("metric")), newest["value"]):
        return None
    since: str = told.get("degradedTime") or newest["time"]
    return since


def _scheduled(
    observed: ObservedModel,
    monitor: Monitor,
    told: dict[str, Any],
    version: Json | None,
    lacks: str,
    *,
    busy: bool,
    now: float,
    rules: ModelRules,
) -> Part:
    """The next time, and the evaluation that is due now. Times that were missed are made up for once; one at which
    there is nothing to evaluate, or an evaluation runs, passes.
    """
    assert observed.spec is not None
    if monitor.suspend or observed.spec.stage == "archived":
        why = "spec.monitor.suspend is true" if monitor.suspend else "The model is archived"
        return _at_rest(told, None, f"{why}: nothing is evaluated.")
    try:
        coming = schedule.due_after(monitor.schedule, monitor.time_zone, int(now))
        due = _due(seconds(told.get("nextScheduleTime")), coming, monitor)
    except ValueError as error:
        why = f"spec.monitor: {error}"
        return _at_rest(told, None, why, problem=why)
    spec = _spec(observed, monitor, version, rules) if version is not None else {}
    awaited = version is not None and monitor.dataset not in observed.datasets
    if awaited:
        lacks = f"spec.monitor.dataset: there is no Dataset {monitor.dataset} in this namespace."
    lacks = lacks or _problem(spec, rules)
    problem = "" if lacks == _NO_VERSION else lacks
    if busy or lacks or due > now:
        # NB: one whose data is not there stays due: at the operator's start Datasets are known last.
        moment = due if due > now or (awaited and not busy) else coming
        return _at_rest(told, moment, lacks, problem=problem, requeue_after=max(moment, coming) - now)
    number = max([int(told.get("number") or 0), *(one.number for one in observed.of_task("monitor"))]) + 1
    digest = modeltasks.digest_of(spec)
    step = modeltasks.make(
        observed, "monitor", number=number, digest=digest, spec=spec, template=monitor.job_template
    )
    refused = observed.refused(step.name, digest, now=now)
    if refused is not None:
        why = f"The API server refuses {step.name}, and is asked again: {refused[0]}"
        return _at_rest(told, due, why, problem=why, requeue_after=refused[1])
    return Part(status=_status(told, due, ""), jobs=(step,))


def _due(stored: float | None, coming: float, monitor: Monitor) -> float:
    """The time that is due next, which may have passed. One that is none of the schedule was of the schedule before an
    edit, and counts no longer.
    """
    if stored is None:
        return coming
    of_this = schedule.due_after(monitor.schedule, monitor.time_zone, int(stored) - 1) == stored
    return min(stored, coming) if of_this else coming


def _problem(spec: Json, rules: ModelRules) -> str:
    """What keeps a version from being evaluated, told before it is due; empty without any."""
    wrong = modeltasks.problem_of(spec, tuple(rules.context.catalog))
    return f"spec.monitor.jobTemplate: {wrong}" if wrong is not None else ""


def _spec(observed: ObservedModel, monitor: Monitor, version: Json, rules: ModelRules) -> dict[str, Any]:
    """The job that evaluates a version."""
    base = {
        **_runner(observed, version, rules),
        "action": "evaluate",
        "datasets": {"eval": monitor.dataset},
        "baseModels": [{"model": observed.name, "version": version["number"], "isPtmBackbone": False}],
    }
    spec = modeltasks.with_template(base, monitor.job_template)
    return {key: value for key, value in spec.items() if key not in _NOT_OF_THE_JOB}


def _runner(observed: ObservedModel, version: Json, rules: ModelRules) -> dict[str, str]:
    """What evaluates a version: that which serves its type or architecture, else the runtime that has made it."""
    assert observed.spec is not None
    lineage: Json = version.get("lineage") or {}
    spec = observed.spec
    kind = lineage.get("architecture") or spec.architecture or (spec.type if spec.type != "auto" else None)
    runtime = lineage.get("runtime")
    if kind is None:
        return {"runtime": runtime} if runtime else {}
    if any(kind in entry.types for entry in rules.context.catalog):
        return {"type": kind}
    return {"architecture": kind}


def _at_rest(
    told: Mapping[str, Any],
    moment: float | None,
    message: str,
    *,
    problem: str = "",
    requeue_after: float | None = None,
) -> Part:
    return Part(status=_status(told, moment, message), problem=problem, requeue_after=requeue_after)


def _status(told: Mapping[str, Any], moment: float | None, message: str) -> Json:
    next_time = stamp(moment) if moment is not None else None
    both = {**told, "nextScheduleTime": next_time, "message": message[:_LIMIT] or None}
    return {"monitor": clean({"number": 0, "runsBelow": 0, **both})}


def _failed(why: str) -> Announcement:
    return Announcement(type="Warning", reason="EvaluationFailed", message=why[:_LIMIT])


def _drifted(spec: MLModelSpec, told: Json) -> Announcement:
    assert spec.monitor is not None
    moved = ", ".join(f"{one['column']} {one['psi']}" for one in told["drift"][: min(told["drifted"], 5)])
    many = (
        f"{told['drifted']} columns of {spec.monitor.dataset} have" if told["drifted"] > 1 else "A column has"
    )
    said = f"{many} moved since the training (population stability index): {moved}."
    return Announcement(type="Warning", reason="DataDrifted", message=said[:_LIMIT])
