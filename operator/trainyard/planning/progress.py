"""What a trainer has reported so far, and how that reads in a TrainingJob's status.

Separate because the log follower folds lines without knowing the status, and the planner writes the status
without knowing lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from trainyard.planning import curve, times
from trainyard.planning.curve import Curve
from trainyard.planning.statusline import MAX_NAMES, Number, StatusLine

KEY_METRICS = ("accuracy", "f1_score", "r2_score", "rmse", "mae", "validation_loss", "training_loss")
"""Which metric is the headline where the trainer does not say; the first one present."""
_DISPLAY_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The latest value of a metric, and whether the trainer called it a kpi (else a curve, `graphical`)."""

    number: Number
    epoch: Number | None = None
    kpi: bool = True

    @property
    def value(self) -> str:
        """The number as a plain decimal. NB: made when it is asked for, since most numbers are soon replaced."""
        return decimal(self.number)


@dataclass(frozen=True, kw_only=True)
class SavedCheckpoint:
    """The last checkpoint that the trainer has reported; `at` is the stamp of the line."""

    epoch: Number
    path: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the trainer of one pod said. `at` is the stamp of the last status line (RFC 3339), `said` has those of
    the lines that spoke of a field (its name here) or a metric (`metrics.<name>`) last. `curve` is of the one metric
    that an Experiment goes by, of a job that is of one.
    """

    at: str
    status: str | None = None
    message: str | None = None
    epoch: Number | None = None
    max_epoch: Number | None = None
    step: int | None = None
    max_step: int | None = None
    percent: Number | None = None
    eta: float | None = None
    time_per_epoch: float | None = None
    time_per_iter: float | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    key_metric: str | None = None
    checkpoint: SavedCheckpoint | None = None
    curve: Curve | None = None
    said: Mapping[str, str] = field(default_factory=dict, compare=False)


_COUNTS = ("epoch", "max_epoch", "step", "max_step")
_FIELDS = (
    *("status", "message", *_COUNTS, "percent", "eta", "time_per_epoch", "time_per_iter"),
    *("key_metric", "checkpoint"),
)


def fold(report: Report | None, line: StatusLine, *, at: str) -> Report:
    """`report` with what `line` adds; what the line does not mention stays as it was."""
    return fold_all(report or Report(at=at), [(line, at)])


def fold_all(report: Report, lines: Iterable[tuple[StatusLine, str]]) -> Report:
    """`report` with what several lines with their stamps add, one after the other."""
    fields: dict[str, Any] = {name: getattr(report, name) for name in _FIELDS}
    metrics, said, last = dict(report.metrics), dict(report.said), report.at
    watched = report.curve.metric if report.curve is not None else None
    points: list[tuple[Number, Number]] = []
    for line, at in lines:
        last = at
        for name in _FIELDS:
            value = getattr(line, name)
            if value is not None:
                fields[name], said[name] = value, at
        if line.percent is None and any(getattr(line, name) is not None for name in _COUNTS):
            fields["percent"] = None
        if line.status in ("SUCCESS", "FAILURE"):
            fields["eta"], said["eta"] = line.eta, at
        if (saved := line.checkpoint) is not None:
            fields["checkpoint"] = SavedCheckpoint(epoch=saved.epoch, path=saved.path, at=at)
        _add_metrics(metrics, line, fields["epoch"])
        # NB: a closing line is of the model that is kept, maybe an earlier epoch's, and maybe on other data.
        if watched is not None and line.epoch is not None and line.status not in ("SUCCESS", "FAILURE"):
            value = line.kpi.get(watched, line.graphical.get(watched))
            if value is not None:
                points.append((line.epoch, value))
        for name in (*line.kpi, *line.graphical):
            said[f"metrics.{name}"] = at
    if len(metrics) >= MAX_NAMES:
        # NB: some had no room, and curves have given way to kpis: what is not there must have no stamp.
        said = {name: at for name, at in said.items() if name in _FIELDS or name[8:] in metrics}
    grown = curve.extended(report.curve, points) if report.curve is not None and points else report.curve
    return Report(at=last, metrics=metrics, said=said, curve=grown, **fields)


def merged(one: Report | None, other: Report | None) -> Report | None:
    """What a trainer said in two ways, its log and the status server: of each field what was said last."""
    if one is None or other is None:
        return one if other is None else other
    older, newer = sorted((one, other), key=lambda report: times.seconds(report.at) or 0.0)
    said = {
        name: max(stamps, key=lambda stamp: times.seconds(stamp) or 0.0)
        for name in {**older.said, **newer.said}
        if (stamps := [report.said[name] for report in (newer, older) if name in report.said])
    }

    def last(name: str) -> Report:
        return older if name in older.said and older.said[name] == said.get(name) else newer

    whose = {name: last(name) for name in _FIELDS}
    counted = max((times.seconds(said[name]) or 0.0 for name in _COUNTS if name in said), default=0.0)
    fields: dict[str, Any] = {name: getattr(report, name) for name, report in whose.items()}
    if "percent" in said and (times.seconds(said["percent"]) or 0.0) < counted:
        fields["percent"] = None
    metrics = {
        name: report.metrics[name]
        for name in list({**older.metrics, **newer.metrics})[:MAX_NAMES]
        if name in (report := last(f"metrics.{name}")).metrics
    }
    both = curve.merged(older.curve, newer.curve)
    return Report(at=newer.at, metrics=metrics, said=said, curve=both, **fields)


def progress_status(report: Report) -> dict[str, Any]:
    """`status.progress`; only what is known. Epochs count unless there is at most one and steps are told."""
    by_steps = report.max_step is not None and (report.max_epoch is None or report.max_epoch <= 1)
    done, total = (report.step, report.max_step) if by_steps else (report.epoch, report.max_epoch)
    raw = {
        "epoch": _json_number(report.epoch),
        "maxEpoch": _json_number(report.max_epoch),
        "step": report.step,
        "maxStep": report.max_step,
        "percent": _percent(done, total) if report.percent is None else int(report.percent),
        "eta": _duration(report.eta),
        "timePerEpoch": _duration(report.time_per_epoch),
        "timePerIter": _duration(report.time_per_iter),
        "summary": _summary(done, total, report.percent),
    }
    return {name: value for name, value in raw.items() if value is not None}


def metrics_status(report: Report) -> list[dict[str, Any]]:
    """`status.metrics`, in the order in which the trainer named them first."""
    return [
        {"name": name, "value": metric.value}
        | ({} if metric.epoch is None else {"epoch": _json_number(metric.epoch)})
        for name, metric in report.metrics.items()
    ]


def key_metric_status(report: Report) -> dict[str, str] | None:
    """`status.keyMetric`; None while there is no metric at all."""
    kpis = [name for name, metric in report.metrics.items() if metric.kpi]
    wanted = (report.key_metric, *KEY_METRICS, *kpis, *report.metrics)
    name = next((name for name in wanted if name in report.metrics), None)
    if name is None:
        return None
    value = report.metrics[name].value
    return {
        "name": name,
        "value": value,
        "display": f"{name} {decimal(float(value), digits=_DISPLAY_DIGITS)}",
    }


def last_report_status(report: Report) -> dict[str, str]:
    """`status.lastReport`."""
    raw = {"time": _time(report.at), "status": report.status, "message": report.message}
    return {name: value for name, value in raw.items() if value is not None}


def checkpoint_status(report: Report) -> dict[str, Any] | None:
    """`status.lastCheckpoint`; `uri` is the path as the trainer knows it."""
    saved = report.checkpoint
    if saved is None:
        return None
    return {"epoch": _json_number(saved.epoch), "uri": saved.path, "time": _time(saved.at)}


def decimal(value: Number, *, digits: int = 6) -> str:
    """`value` as a plain decimal of at most `digits` significant digits; whole parts are kept entire.

    Only below 1e-9 and from 1e15 on there is an exponent.
    """
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-9:
        return f"{value:.{digits}g}"
    if isinstance(value, int):
        return str(value)
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{Decimal(repr(value)):.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _add_metrics(metrics: dict[str, Metric], line: StatusLine, epoch: Number | None) -> None:
    for name, value in line.kpi.items():
        if name not in metrics and len(metrics) >= MAX_NAMES:
            curve = next((held for held in reversed(metrics) if not metrics[held].kpi), None)
            if curve is None:
                continue
            del metrics[curve]
        metrics[name] = Metric(number=value, epoch=epoch)
    for name, value in line.graphical.items():
        if name in line.kpi or (name not in metrics and len(metrics) >= MAX_NAMES):
            continue
        known = metrics.get(name)
        metrics[name] = Metric(number=value, epoch=epoch, kpi=known is not None and known.kpi)


def _percent(done: Number | None, total: Number | None) -> int | None:
    if done is None or not total:
        return None
    if done <= 0 or done >= total:
        return 100 if done > 0 else 0
    return int(100 * done / total)


def _summary(done: Number | None, total: Number | None, percent: Number | None) -> str | None:
    if done is None:
        return None if percent is None else f"{int(percent)}%"
    return decimal(done) if total is None else f"{decimal(done)}/{decimal(total)}"


def _duration(seconds: float | None) -> str | None:
    """As str(timedelta): "0:07:14", "1 day, 2:03:04"; milliseconds below ten seconds."""
    if seconds is None:
        return None
    text = str(timedelta(seconds=round(seconds, 3 if seconds < 10 else 0)))
    return text.rstrip("0") if "." in text else text


def _json_number(value: Number | None) -> Number | None:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else round(value, 6)
    return value


def _time(at: str) -> str:
    seconds = times.seconds(at)
    return at if seconds is None else times.stamp(seconds)
