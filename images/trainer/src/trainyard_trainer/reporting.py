"""What the trainer says: status lines and log lines on stdout, and the verdict in the termination log.

Separate because it is the contract's "Out" half (docs/trainer-contract.md, "Status lines"). Called by
every action. Nothing here may fail a training: what cannot be written is dropped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TextIO

from trainyard_trainer.contract import DEFAULT_TERMINATION_LOG

Status = Literal["STARTED", "RUNNING", "SUCCESS", "FAILURE"]
TERMINATION_LIMIT = 1024
"""Bytes of the termination message; a pod's containers share 12 KiB."""
_SIGNIFICANT_DIGITS = 7


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run ended. `complete` is False when it was stopped before its work was done."""

    status: Status
    complete: bool
    message: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    key_metric: str | None = None


class Reporter:
    """Writes one JSON object a line, flushed, so that the operator's log follower sees it at once."""

    def __init__(
        self, *, stream: TextIO, now: Callable[[], datetime] | None = None, reports: bool = True
    ) -> None:
        self._stream = stream
        self._reports = reports
        self._now = now or (lambda: datetime.now(UTC))
        self._progress: dict[str, Any] = {}
        self._mark = ""

    def mark(self, text: str) -> None:
        """From now on every status line's message ends with this remark."""
        self._mark = f" ({text})"

    def marked(self, message: str) -> str:
        """The message with the remark, if there is one."""
        return message + self._mark

    def log(self, text: str) -> None:
        """A line for people. NB: never begins with a brace, or it would read as a status line."""
        for line in text.splitlines():
            self._write(line if not line.lstrip().startswith("{") else f"| {line}")

    def line(self, status: Status, message: str, **fields: Any) -> None:
        """A status line. Progress fields (epoch, max_epoch, step, max_step) not given repeat the last.

        NB: of several ranks one reports; of the others only a failure is more than a line for people.
        """
        if not self._reports and status != "FAILURE":
            self.log(message)
            return
        now = self._now()
        for name in ("epoch", "max_epoch", "step", "max_step"):
            if fields.get(name) is not None:
                self._progress[name] = fields.pop(name)
        record = {
            **self._progress,
            **fields,
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": "ERROR" if status == "FAILURE" else "INFO",
            "message": self.marked(message),
        }
        for name in ("kpi", "graphical", "categorical"):
            record[name] = finite(record.get(name) or {})
        self._write(json.dumps(record, default=str, allow_nan=False))

    def _write(self, line: str) -> None:
        # NB: whoever read our stdout may have gone; that must not end the training.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without NaN and infinities, at any depth, floats rounded to 7 significant digits."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            kept[str(name)] = finite(value)
        elif isinstance(value, float):
            if math.isfinite(value):
                kept[str(name)] = float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
        else:
            kept[str(name)] = value
    return kept


def duration(seconds: float) -> str:
    """`seconds` as str(timedelta): "0:01:02", "1 day, 2:03:04"; milliseconds below ten seconds."""
    digits = 3 if seconds < 10 else 0
    return str(timedelta(seconds=round(seconds, digits)))


def write_termination(path: Path, verdict: Verdict) -> None:
    """The verdict as at most 1 KiB of JSON; silently nothing where it cannot be written.

    Kubernetes' default path is only written where the kubelet has put that file.
    """
    if str(path) == DEFAULT_TERMINATION_LOG and not path.exists():
        return
    # NB: the kubelet mounts the file itself, so it cannot be replaced by a rename.
    with contextlib.suppress(OSError), path.open("wb") as file:
        file.write(termination_message(verdict))
        file.flush()
        os.fsync(file.fileno())


def termination_message(verdict: Verdict) -> bytes:
    """The JSON of a verdict, cut to the limit: other metrics go first, then the message's end."""
    metrics = finite(verdict.metrics)
    record: dict[str, Any] = {
        "status": verdict.status,
        "complete": verdict.complete,
        "message": verdict.message,
        "metrics": metrics,
    }
    if verdict.key_metric in metrics:
        record["keyMetric"] = {"name": verdict.key_metric, "value": metrics[verdict.key_metric]}
    while len(_encode(record)) > TERMINATION_LIMIT and record["metrics"]:
        record["metrics"].popitem()
    while (excess := len(_encode(record)) - TERMINATION_LIMIT) > 0:
        record["message"] = record["message"][: -max(1, excess // 4) - 1] + "…"
    return _encode(record)


def _encode(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
