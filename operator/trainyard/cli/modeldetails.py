"""An MLModel in full, for people: where it is in its life, its versions and where they come from, what monitoring has
found, and what is published.

Separate from `details`, which all kinds share, because this draws a life. Called by `details`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from trainyard.api import names
from trainyard.cli import modellineage, recommendations
from trainyard.cli.amounts import size_of
from trainyard.cli.reading import headline, printable
from trainyard.cli.rendering import ago, section, span

Json = dict[str, Any]

_HISTORY, _DRIFT, _JOBS, _WIDTH = 10, 15, 15, 110
#: Of spec.monitor.drift.threshold.
_DRIFTED = 0.2


def head(raw: Json, *, now: float) -> Iterator[tuple[str, str]]:
    """What stands in one line each."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    since = ago(status.get("lifecycleTime"), now=now)
    yield "Lifecycle", f"{status.get('lifecycle') or 'draft'}{f', since {since}' if since else ''}"
    yield "Stage", spec.get("stage") or "active"
    yield "Is", _what(spec, status.get("recommendation") or {})
    yield "Called", ", ".join(str(spec[key]) for key in ("displayName", "version") if spec.get(key))
    yield "Works on", _datasets(spec.get("datasets") or {})
    yield "Objective", _objective(spec.get("objective") or {})
    yield "Newest", _newest(status, now=now)
    yield "Metrics", modellineage.metrics(status.get("performanceMetrics") or [])
    yield "In training", modellineage.metrics(status.get("trainingMetrics") or [])
    yield "Aliases", _aliases(spec, status)
    yield "Training", _training(status.get("training") or {}, now=now)
    yield "Recommended", _recommended(status.get("recommendation") or {}, now=now)
    yield "Recommending", _run(status.get("recommendationRun") or {})
    yield "Monitored", _monitored(spec.get("monitor") or {}, status.get("monitor") or {}, now=now)
    yield "Reported", _reported(status.get("reported") or {}, now=now)
    yield "Output", _output(spec.get("output") or {})


def show(raw: Json, *, tasks: Sequence[Json] | None, now: float) -> None:
    """Prints the tables below that; `tasks` are the jobs and Experiments that work for it, where asked for."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    versions = sorted(status.get("versions") or [], key=lambda one: int(one["number"]), reverse=True)
    modellineage.show(versions, status, now=now)
    _recommendation(status.get("recommendation") or {})
    _monitor(spec.get("monitor") or {}, status.get("monitor") or {}, now=now)
    _published(status.get("published") or [], now=now)
    _base_models(status.get("baseModels") or [])
    if tasks:
        section(("JOB", "FOR", "STATE", "VERSION", "STARTED"), [_task(one, now=now) for one in tasks[:_JOBS]])
        _more(len(tasks) - _JOBS)
    if conditions := status.get("conditions"):
        section(
            ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"),
            [_condition(one, now=now) for one in conditions],
        )


def workers(found: Sequence[Json], name: str) -> list[Json]:
    """Those jobs and Experiments that a model has made, or that name it, the newest first."""
    mine = [
        one
        for one in found
        if (one["metadata"].get("labels") or {}).get(names.LABEL_MODEL) == name
        or (one.get("spec") or {}).get("model") == name
    ]
    return sorted(mine, key=lambda one: str(one["metadata"].get("creationTimestamp")), reverse=True)


def _what(spec: Json, recommendation: Json) -> str:
    said = next((str(spec[key]) for key in ("type", "architecture") if spec.get(key)), "")
    chosen = recommendation.get("type")
    return f"auto, so {chosen}" if said == "auto" and chosen else said


def _datasets(datasets: Json) -> str:
    parts = [
        f"{role} {' '.join(found) if isinstance(found, list) else found}"
        for role, found in datasets.items()
        if found
    ]
    return ", ".join(parts)


def _objective(asked: Json) -> str:
    threshold = f"good enough at {asked['threshold']}" if asked.get("threshold") else ""
    return ", ".join(part for part in (asked.get("metric") or "", asked.get("goal") or "", threshold) if part)


def _newest(status: Json, *, now: float) -> str:
    number = status.get("latestVersion")
    if not number:
        return ""
    when = ago(status.get("trainedAt"), now=now)
    return ", ".join(part for part in (f"version {number}", when) if part)


def _aliases(spec: Json, status: Json) -> str:
    """What they stand for, and those that stand for nothing yet."""
    known = {str(one["name"]): one.get("version") for one in status.get("aliases") or []}
    parts = [f"{name} {number}" for name, number in known.items()]
    parts += [
        f"{one['name']} (wants {one['version']})"
        for one in spec.get("aliases") or []
        if known.get(str(one["name"])) != one["version"]
    ]
    return ", ".join(parts)


def _training(found: Json, *, now: float) -> str:
    job = found.get("job") or found.get("experiment")
    if not job:
        return ""
    if not found.get("completionTime"):
        return f"{job}, begun {ago(found.get('startTime'), now=now)}"
    why = f": {found['message']}" if found.get("message") else ""
    ended = ago(found.get("completionTime"), now=now)
    return f"{job}, {found.get('outcome') or 'ended'} {ended}{why}"


def _recommended(found: Json, *, now: float) -> str:
    if not found.get("type"):
        return ""
    how = "measured" if found.get("measured") else "by rules"
    on = f"on {found['dataset']}" if found.get("dataset") else ""
    parts = (f"{found['type']}, score {found.get('score')} of 100", how, on, ago(found.get("time"), now=now))
    return ", ".join(part for part in parts if part)


def _run(found: Json) -> str:
    """One that runs or has failed; one that is Done is told by what it found."""
    if found.get("state") in (None, "Done"):
        return ""
    why = f": {found['message']}" if found.get("message") else ""
    return f"{found.get('job') or ''} {found['state']}".strip() + why


def _monitored(asked: Json, found: Json, *, now: float) -> str:
    if not asked:
        return ""
    zone = f" {asked['timeZone']}" if asked.get("timeZone") else ""
    metric = found.get("metric") or asked.get("metric") or "metric"
    parts = [
        f"{metric} on {asked.get('dataset')} against {asked.get('threshold')}",
        f"{asked.get('schedule')}{zone}",
        "suspended" if asked.get("suspend") else "",
        f"{found['job']} runs" if found.get("job") else "",
        f"last due {ago(found.get('lastScheduleTime'), now=now)}" if found.get("lastScheduleTime") else "",
        f"next {found['nextScheduleTime']}" if found.get("nextScheduleTime") else "",
        f"{found['runsBelow']} of {asked.get('forRuns', 1)} below in a row" if found.get("runsBelow") else "",
        str(found.get("message") or ""),
    ]
    return ", ".join(part for part in parts if part)


def _reported(found: Json, *, now: float) -> str:
    parts = [
        str(found.get("lifecycle") or ""),
        str(found.get("artifactUri") or ""),
        str(found.get("reason") or ""),
        ago(found.get("time"), now=now),
    ]
    return ", ".join(part for part in parts if part)


def _output(output: Json) -> str:
    return str(output.get("uri") or (f"claim {output['claimName']}" if output.get("claimName") else ""))


def _recommendation(found: Json) -> None:
    if not found:
        return
    recommendations.scores(found)
    if reasoning := printable(str(found.get("reasoning") or "")).strip():
        typer.echo(f"\n{textwrap.fill(reasoning, width=_WIDTH)}")
    if rows := recommendations.analysis(found):
        section(("THE DATA", ""), rows)


def _monitor(asked: Json, found: Json, *, now: float) -> None:
    if history := found.get("history"):
        rows = [_measured(one, asked, now=now) for one in history[:_HISTORY]]
        title = str(found.get("metric") or asked.get("metric") or "value").upper()
        section(("MEASURED", "VERSION", title, "", "JOB", "MESSAGE"), rows)
        _more(len(history) - _HISTORY)
    if drift := found.get("drift"):
        threshold = _number((asked.get("drift") or {}).get("threshold")) or _DRIFTED
        rows = [
            (str(one["column"]), str(one["psi"]), "moved" if _number(one["psi"]) >= threshold else "")
            for one in drift[:_DRIFT]
        ]
        section(("COLUMN", "PSI", ""), rows)
        _more(len(drift) - _DRIFT)


def _measured(one: Json, asked: Json, *, now: float) -> tuple[str, ...]:
    return (
        ago(one.get("time"), now=now),
        str(one.get("version") or ""),
        str(one.get("value") or ""),
        f"against {asked['threshold']}" if one.get("value") and asked.get("threshold") else "",
        str(one.get("job") or ""),
        str(one.get("message") or ""),
    )


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0


def _published(found: Sequence[Json], *, now: float) -> None:
    if not found:
        return
    rows = [
        (
            str(one.get("name") or ""),
            str(one.get("state") or ""),
            str(one.get("version") or ""),
            str(one.get("uri") or ""),
            str(one.get("digest") or ""),
            ago(one.get("time"), now=now),
            str(one.get("message") or ""),
        )
        for one in found
    ]
    section(("TARGET", "STATE", "VERSION", "WHERE", "DIGEST", "WHEN", "MESSAGE"), rows)


def _base_models(found: Sequence[Json]) -> None:
    if not found:
        return
    rows = [
        (
            str(one.get("name") or ""),
            str(one.get("version") or ""),
            str(one.get("pull") or ""),
            size_of(one["bytes"]) if one.get("bytes") is not None else "",
            modellineage.sha256(one.get("sha256")),
            str(one.get("message") or ""),
        )
        for one in found
    ]
    section(("BASE MODEL", "VERSION", "PULL", "SIZE", "SHA-256", "MESSAGE"), rows)


def _task(one: Json, *, now: float) -> tuple[str, ...]:
    metadata, status = one["metadata"], one.get("status") or {}
    joined = f"{(one.get('spec') or {}).get('action') or 'train'}, joined"
    task = (metadata.get("labels") or {}).get(names.LABEL_TASK) or joined
    number = (status.get("modelVersion") or {}).get("number")
    return (
        str(metadata["name"]),
        task,
        headline(one).partition(":")[0],
        str(number or ""),
        ago(status.get("startTime") or metadata.get("creationTimestamp"), now=now),
    )


def _condition(one: Json, *, now: float) -> tuple[str, ...]:
    return (
        one["type"],
        one["status"],
        one.get("reason") or "",
        span(one.get("lastTransitionTime"), now=now),
        one.get("message") or "",
    )


def _more(number: int) -> None:
    if number > 0:
        typer.echo(f"and {number} more")
