"""One line of a trainer's log to what it reports, if it reports anything.

Separate because it is the only place that trusts nothing: the text is whatever a stranger's program prints.
Called by the log follower for each line that starts with a brace, and by the status server for what is posted.
The format is in docs/trainer-contract.md, "Status lines".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

STATUSES = frozenset({"STARTED", "RUNNING", "SUCCESS", "FAILURE"})
MAX_LINE = 1 << 18
"""Characters; a longer line is log, not status."""
MAX_NAMES = 64
MAX_NAME = 100
MAX_MESSAGE = 6400
MAX_CATEGORY = 500
MAX_PATH = 2048
_MAX_SECONDS = 100 * 365 * 86400.0
_MAX_INTEGER = 2**63 - 1
_SPELLED_OUT = ("NaN", "Infinity")  # what Python's json writes for numbers that JSON does not have

_DURATION = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,9}):([0-5]?\d):([0-5]?\d(?:\.\d{1,9})?)", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][-+]?\d{1,3})?", re.ASCII)

Number = int | float
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that the trainer has closed: its epoch and its folder, as the trainer wrote it."""

    epoch: Number
    path: str


@dataclass(frozen=True, kw_only=True)
class StatusLine:
    """What one line says; None or empty for what it does not say. Durations are seconds."""

    status: str | None = None
    message: str | None = None
    verbosity: str | None = None
    epoch: Number | None = None
    max_epoch: Number | None = None
    step: int | None = None
    max_step: int | None = None
    percent: Number | None = None
    eta: float | None = None
    time_per_epoch: float | None = None
    time_per_iter: float | None = None
    kpi: Mapping[str, Number] = field(default_factory=dict)
    graphical: Mapping[str, Number] = field(default_factory=dict)
    categorical: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    key_metric: str | None = None
    checkpoint: Checkpoint | None = None


_SAYS_SOMETHING = (
    "status",
    "epoch",
    "max_epoch",
    "step",
    "max_step",
    "eta",
    "time_per_epoch",
    "time_per_iter",
    "kpi",
    "graphical",
    "categorical",
    "key_metric",
    "checkpoint",
)


@dataclass(frozen=True, kw_only=True)
class Termination:
    """What a trainer left in its termination message; `report` is None when it was no JSON of ours."""

    complete: bool | None = None
    message: str = ""
    report: StatusLine | None = None


def parse(line: str) -> StatusLine | None:
    """The report in `line`, or None for a line that is plain log. Never raises.

    A field whose value is of no use (NaN, a boolean, an unknown status) counts as not given. `message` makes
    a status line only together with `verbosity` or another field: structured loggers write `message` too,
    and their lines are log.
    """
    text = line.strip()
    if not text.startswith("{") or len(text) > MAX_LINE:
        return None
    record = decoded(text)
    if not isinstance(record, dict):
        return None
    found = read(record)
    if any(getattr(found, name) not in (None, {}) for name in _SAYS_SOMETHING):
        return found
    return found if found.message and found.verbosity else None


def read(record: Mapping[str, Any]) -> StatusLine:
    """What a decoded status line says, be it nothing. Never raises."""
    epoch = _at_least(_number(record.get("epoch")), -1)
    kpi = _numbers(record.get("kpi"))
    percent = _at_least(_number(record.get("percent")), 0)
    return StatusLine(
        status=_status(record.get("status")),
        message=_text(record.get("message"), MAX_MESSAGE),
        verbosity=_text(record.get("verbosity"), MAX_NAME),
        epoch=epoch,
        max_epoch=_at_least(_number(record.get("max_epoch")), 0),
        step=_integer(_first(record, "step", "cur_iter")),
        max_step=_integer(_first(record, "max_step", "max_iter")),
        percent=percent if percent is not None and percent <= 100 else None,
        eta=_duration(record.get("eta")),
        time_per_epoch=_duration(record.get("time_per_epoch")),
        time_per_iter=_duration(record.get("time_per_iter")),
        kpi=kpi,
        graphical=_numbers(record.get("graphical")),
        categorical=_mapping(record.get("categorical"), _categories, MAX_NAME),
        key_metric=_key_metric(record.get("key_metric"), kpi),
        checkpoint=_checkpoint(record.get("checkpoint"), epoch),
    )


def parse_termination(text: str) -> Termination:
    """A trainer's own verdict: {status, complete, message, metrics, keyMetric}, each optional, with the bounds of
    a status line. Text that is not such JSON is a plain message, never a failure.
    """
    record = decoded(text.strip()) if text.lstrip().startswith("{") else None
    if not isinstance(record, dict):
        return Termination(message=text.strip())
    metrics = _numbers(record.get("metrics"))
    complete = record.get("complete")
    message = _text(record.get("message"), MAX_MESSAGE)
    return Termination(
        complete=complete if isinstance(complete, bool) else None,
        message=message or "",
        report=StatusLine(
            status=_status(record.get("status")),
            message=message,
            kpi=metrics,
            key_metric=_key_metric(record.get("keyMetric"), metrics),
        ),
    )


def decoded(text: str) -> Any:
    """The value of JSON, also of what Python's json makes of NaN and infinities; None for anything else."""
    try:
        return orjson.loads(text)
    except ValueError:
        if not any(word in text for word in _SPELLED_OUT):
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None


def _first(record: Mapping[str, Any], *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _number(value: Any) -> Number | None:
    """A finite number, also one written as a string; booleans are none."""
    if isinstance(value, str):
        value = value.strip()  # NB: of more than float() takes off
        if len(value) > 90 or not _DECIMAL.fullmatch(value):
            return None
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if abs(value) <= _MAX_INTEGER else None


def _at_least(value: Number | None, least: int) -> Number | None:
    return value if value is not None and least <= value <= _MAX_INTEGER else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number <= _MAX_INTEGER else None


def _duration(value: Any) -> float | None:
    """Seconds, from str(timedelta) or a number of seconds."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        days, hours, minutes, rest = match.groups()
        value = int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(rest)
    number = _number(value)
    return float(number) if number is not None and 0 <= number <= _MAX_SECONDS else None


def _text(value: Any, limit: int) -> str | None:
    if not isinstance(value, str):
        return None
    # NB: a lone surrogate cannot be sent to the API server; one here would fail every status write.
    return value[:limit].encode("utf-8", "replace").decode() or None


def _status(value: Any) -> str | None:
    name = value.strip().upper() if isinstance(value, str) and len(value) <= MAX_NAME else None
    return name if name in STATUSES else None


def _mapping(value: Any, read: Callable[[Any], _Value | None], limit: int) -> dict[str, _Value]:
    kept: dict[str, _Value] = {}
    if not isinstance(value, dict):
        return kept
    for raw_name, raw in value.items():
        name, found = _text(raw_name, limit), read(raw)
        if name is not None and found is not None:
            kept[name] = found
        if len(kept) == MAX_NAMES:
            break
    return kept


def _numbers(value: Any) -> dict[str, Number]:
    return _mapping(value, _number, MAX_NAME)


def _categories(value: Any) -> dict[str, Number] | None:
    return _mapping(value, _number, MAX_CATEGORY) or None


def _key_metric(value: Any, kpi: Mapping[str, Number]) -> str | None:
    """The name of the key metric. The TAO API gives its value instead: then it is the kpi of that value."""
    if isinstance(value, dict):
        value = value.get("name")
    if isinstance(value, str) and _number(value) is None:
        return _text(value, MAX_NAME)
    number = _number(value)
    return next((name for name, held in kpi.items() if held == number), None) if number is not None else None


def _checkpoint(value: Any, epoch_of_line: Number | None) -> Checkpoint | None:
    if not isinstance(value, dict):
        return None
    path = value.get("path")
    epoch = _at_least(_number(value.get("epoch")), 0)
    if epoch is None:
        epoch = _at_least(epoch_of_line, 0)
    if not isinstance(path, str) or not path or len(path) > MAX_PATH or epoch is None:
        return None
    return Checkpoint(epoch=epoch, path=path.encode("utf-8", "replace").decode())
