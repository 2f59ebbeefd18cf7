"""An Experiment in full, for people: its steps, the search with its best trials and rungs, and every condition.

Separate from `details`, which all kinds share, because this draws a history. Called by `details`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from trainyard.cli import experimenthistory
from trainyard.cli.experimenthistory import OPEN, SUCCESS, History, Run
from trainyard.cli.reading import printable, share
from trainyard.cli.rendering import ago, amount, bar, gauge, section, span
from trainyard.planning.times import seconds

Json = dict[str, Any]

_GAUGE, _BAR = 30, 24
_TRIALS, _JOBS, _SPACE = 30, 20, 12
_COUNTS = ("succeeded", "running", "pending", "stopped", "failed", "canceled")
_ROLES = ("train", "eval", "inference", "calibration", "input")


def head(raw: Json, *, now: float) -> Iterator[tuple[str, str]]:
    """What stands in one line each."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    automl = status.get("automl") or {}
    wishes = [f"{word} (spec.{key})" for key, word in _WISHES if spec.get(key)]
    yield "Wanted", ", ".join(wishes)
    yield "Is", next((str(spec[key]) for key in ("type", "architecture", "runtime") if spec.get(key)), "")
    yield "Works on", _datasets(spec.get("datasets") or {})
    yield "Objective", _objective(spec.get("objective") or {}, status.get("keyMetric") or {})
    yield "Progress", _progress(status.get("progress") or {})
    yield "Search", _search(spec, automl)
    yield "Space", _space(automl.get("space") or [])
    yield "Trials", _counts(automl.get("trials") or {})
    yield "Best", _best(automl.get("bestTrial") or {}, status.get("keyMetric") or {})
    yield "Jobs", _jobs(status.get("jobs") or {})
    yield "Result", str((status.get("result") or {}).get("uri") or "")
    yield "Started", ago(status.get("startTime"), now=now)
    yield "Searched in", _between(status.get("startTime"), automl.get("completionTime"))
    yield "Ended", ago(status.get("completionTime"), now=now)


_WISHES = (("cancel", "cancelled"), ("suspend", "suspended"))


def show(raw: Json, told: History | None, *, now: float) -> None:
    """Prints the tables below that; `told` is its history where its jobs were asked for, and could be listed."""
    status = raw.get("status") or {}
    known = told or experimenthistory.history(raw, [])
    _steps(status.get("steps") or [], now=now)
    best = (status.get("automl") or {}).get("bestTrial") or {}
    if parameters := best.get("parameters"):
        section(("BEST TRIAL'S PARAMETER", "VALUE"), [(one["name"], str(one["value"])) for one in parameters])
    _top((status.get("automl") or {}).get("topTrials") or [], known)
    _rungs(known)
    _trials(known, now=now, listed=told is not None)
    if joined := [run for run in known.others if not run.step]:
        rows = [(run.job, run.state, _value(run.value), _took(run, now=now)) for run in joined[:_JOBS]]
        section(("JOB THAT JOINED", "STATE", known.metric.upper() or "VALUE", "TOOK"), rows)
        _more(len(joined) - _JOBS)
    if conditions := status.get("conditions"):
        section(
            ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"),
            [_condition(c, now=now) for c in conditions],
        )


def _steps(steps: Sequence[Json], *, now: float) -> None:
    if not steps:
        return
    titles = ("STEP", "ACTION", "JOB", "PHASE", "REASON", "METRIC", "TOOK", "RUN")
    # NB: the column is for those that have run more than once.
    again = any(step.get("run") for step in steps)
    section(titles if again else titles[:-1], [_step(step, now=now)[: 8 if again else 7] for step in steps])
    for step in steps:
        if step.get("message") and step.get("phase") != "Done":
            typer.echo(f"{step['name']}: {printable(step['message'])}")


def _step(step: Json, *, now: float) -> tuple[str, ...]:
    began, over = step.get("startTime"), step.get("completionTime")
    return (
        step["name"],
        step.get("action") or "",
        step.get("job") or "",
        step.get("phase") or "Pending",
        step.get("reason") or "",
        step.get("metric") or "",
        _between(began, over) if over else span(began, now=now),
        str(step.get("run") or 0),
    )


def _top(top: Sequence[Json], known: History) -> None:
    if not top:
        return
    values = [experimenthistory.number_of(trial.get("value")) for trial in top]
    found = [value for value in values if value is not None]
    rows = []
    for trial, value in zip(top, values, strict=True):
        drawn = _share(value, found, minimize=known.minimize)
        rows.append(
            (
                str(trial["number"]),
                str(trial.get("value") or ""),
                bar(drawn, most=1.0, width=_BAR),
                str(trial.get("rung") or 0),
                f"{trial['epoch']:g}" if "epoch" in trial else "",
                str(trial.get("job") or ""),
                "  ".join(f"{one['name']}={one['value']}" for one in trial.get("parameters") or []),
            )
        )
    section(("TOP TRIAL", known.metric.upper() or "VALUE", "", "RUNG", "EPOCH", "JOB", "PARAMETERS"), rows)


def _share(value: float | None, found: Sequence[float], *, minimize: bool) -> float:
    """How long the bar is: that of the best of them is full, that of the worst a tenth."""
    if value is None:
        return 0.0
    least, most = min(found), max(found)
    if least == most:
        return 1.0
    distance = (most - value) if minimize else (value - least)
    return 0.1 + 0.9 * distance / (most - least)


def _rungs(known: History) -> None:
    if not known.rungs:
        return
    rows = [
        (
            str(one["bracket"]),
            str(one["rung"]),
            str(one["configurations"]),
            str(one["epochs"]),
            gauge(round(100 * (one.get("finished") or 0) / max(1, one["configurations"])), width=10),
            str(one.get("running") or 0),
            str(one.get("finished") or 0),
            str(one.get("promoted") or 0),
            str(one.get("best") or ""),
        )
        for one in known.rungs
    ]
    section(("BRACKET", "RUNG", "TRIALS", "EPOCHS", "", "RUNNING", "ENDED", "GO ON", "BEST"), rows)


def _trials(known: History, *, now: float, listed: bool) -> None:
    """Those that go on, then the newest."""
    if not known.trials:
        return
    newest = sorted(known.trials, key=lambda run: (run.number or 0, run.rung), reverse=True)
    shown = sorted(newest, key=lambda run: run.state not in OPEN)[:_TRIALS]
    titles = ["TRIAL", "STATE", known.metric.upper() or "VALUE", "EPOCH", "TOOK", "PARAMETERS"]
    titles[1:1] = ["RUNG"] if known.rungs else []
    rows = []
    for run in shown:
        cells = [
            str(run.number),
            run.state,
            _value(run.value),
            "" if run.epoch is None else f"{run.epoch:g}",
            _took(run, now=now),
            "  ".join(f"{name}={value}" for name, value in run.parameters.items())
            or _lost(run, listed=listed),
        ]
        cells[1:1] = [str(run.rung)] if known.rungs else []
        rows.append(cells)
    section(titles, rows)
    _more(len(known.trials) - len(shown))
    typer.echo(
        f"`trainyard plot experiment {known.experiment}` draws them, `trainyard export` has every run with its curve."
    )
    failed = [run for run in shown if run.state == "failure" and run.message]
    for run in failed[:3]:
        typer.echo(f"{run.job}: {printable(run.message)}")


def _lost(run: Run, *, listed: bool) -> str:
    return "(its job is gone)" if listed and not run.present and run.state == SUCCESS else ""


def _took(run: Run, *, now: float) -> str:
    if run.took is not None:
        return amount(run.took)
    return span(run.start, now=now) if run.state in OPEN else ""


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _datasets(datasets: Json) -> str:
    said = [(role, datasets.get(role)) for role in _ROLES]
    return ", ".join(
        f"{role} {' '.join(found) if isinstance(found, list) else found}" for role, found in said if found
    )


def _objective(asked: Json, found: Json) -> str:
    metric = asked.get("metric") or found.get("name") or ""
    threshold = f"good enough at {asked['threshold']}" if asked.get("threshold") else ""
    return ", ".join(part for part in (metric, asked.get("goal") or "", threshold) if part)


def _progress(progress: Json) -> str:
    total = progress.get("total") or 0
    steps = f"{progress.get('done', 0)} of {total} steps done" if total else ""
    action = f"{progress['action']} is under way" if progress.get("action") else ""
    drawn = ""
    percent = share(progress.get("summary"))
    if percent is not None:
        drawn = f"{gauge(percent, width=_GAUGE)} {progress['summary']}"
    return "  ".join(part for part in (drawn, steps, action) if part)


def _search(spec: Json, automl: Json) -> str:
    said = spec.get("automl") or {}
    if not said:
        return ""
    if said.get("enabled") is False:
        return "switched off (spec.automl.enabled)"
    algorithm = str(said.get("algorithm") or "bayesian")
    parts = [algorithm]
    if algorithm in ("hyperband", "asha"):
        parts.append(f"R {said.get('maxResource', 27)}, nu {said.get('nu', 3)}")
    seed = automl.get("seed", said.get("seed"))
    parts += [
        f"of step {experimenthistory.tuned_step(spec)}",
        f"{said.get('parallelism', 1)} at a time",
        "" if seed is None else f"seed {seed}",
    ]
    return ", ".join(part for part in parts if part)


def _space(space: Sequence[Json]) -> str:
    said = []
    for one in space[:_SPACE]:
        between = f"{one['min']} to {one['max']}" if "min" in one else ", ".join(one.get("values") or [])[:60]
        words = [
            one["name"],
            between,
            f"by {one['step']}" if "step" in one else "",
            "log" if one.get("log") else "",
        ]
        said.append(" ".join(word for word in words if word))
    more = [f"and {len(space) - _SPACE} more"] if len(space) > _SPACE else []
    return "; ".join([*said, *more])


def _counts(found: Json) -> str:
    if not found:
        return ""
    parts = [f"{found[key]} {key}" for key in _COUNTS if found.get(key)]
    return f"{found.get('total', 0)}: {', '.join(parts)}" if parts else str(found.get("total", 0))


def _best(found: Json, key_metric: Json) -> str:
    if "number" not in found:
        return str(key_metric.get("display") or "")
    metric = f"{key_metric['name']} " if key_metric.get("name") else ""
    epoch = f" in epoch {found['epoch']:g}" if "epoch" in found else ""
    job = f" ({found['job']})" if found.get("job") else ""
    return f"{metric}{found.get('value', '')}{epoch}, trial {found['number']}{job}"


def _jobs(found: Json) -> str:
    parts = [
        f"{found[key]} {key}" for key in ("running", "pending", "done", "error", "canceled") if found.get(key)
    ]
    return f"{found['total']}: {', '.join(parts)}" if found.get("total") else ""


def _condition(one: Json, *, now: float) -> tuple[str, ...]:
    return (
        one["type"],
        one["status"],
        one.get("reason") or "",
        span(one.get("lastTransitionTime"), now=now),
        one.get("message") or "",
    )


def _between(began: str | None, over: str | None) -> str:
    first, last = seconds(began), seconds(over)
    return "" if first is None or last is None else amount(last - first)


def _more(number: int) -> None:
    if number > 0:
        typer.echo(f"and {number} more")
