"""What an action says: status lines and log lines on stdout, and the verdict in the termination log.

Separate because it is the contract's "Out" half (docs/trainer-contract.md, "Status lines"). Called by every action.
Nothing here may fail an action: what cannot be written is dropped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TextIO

from trainyard_data.actions.contract import DEFAULT_TERMINATION_LOG
from trainyard_data.actions.problems import Stopped

Status = Literal["STARTED", "RUNNING", "SUCCESS", "FAILURE"]
TERMINATION_LIMIT = 1024
"""Bytes of the termination message; a pod's containers share 12 KiB."""
_EVERY_SECONDS = 1.0
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

    def __init__(self, *, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock

    def log(self, text: str) -> None:
        """A line for people. NB: never begins with a brace, or it would read as a status line."""
        for line in text.splitlines():
            self._write(line if not line.lstrip().startswith("{") else f"| {line}")

    def line(self, status: Status, message: str, **fields: Any) -> None:
        """A status line."""
        now = datetime.now(UTC)
        record = {
            **{name: value for name, value in fields.items() if value is not None},
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": "ERROR" if status == "FAILURE" else "INFO",
            "message": message,
        }
        for name in ("kpi", "graphical", "categorical"):
            record[name] = finite(record.get(name) or {})
        self._write(json.dumps(record, default=str, allow_nan=False))

    def progress(self, what: str, total: int | None, *, stopped: Callable[[], bool]) -> Progress:
        """Counts steps of which there are `total`, if that is known; `stopped` says whether SIGTERM has come."""
        return Progress(self, what, total, stopped=stopped, clock=self._clock)

    def _write(self, line: str) -> None:
        # NB: whoever read our stdout may have gone; that must not end the action.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()


class Progress:
    """Tells about once a second how many steps are done. Raises Stopped at the step after SIGTERM."""

    def __init__(
        self,
        reporter: Reporter,
        what: str,
        total: int | None,
        *,
        stopped: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._reporter, self._what, self._total = reporter, what, total
        self._stopped, self._clock = stopped, clock
        self._begun = self._told = clock()
        self.done = 0

    def step(self, count: int = 1) -> None:
        """`count` more are done."""
        self.done += count
        of_all = f" of {self._total}" if self._total is not None else ""
        if self._stopped():
            raise Stopped(
                f"stopped after {self.done}{of_all} {self._what}; nothing is kept, and the next attempt begins anew"
            )
        now = self._clock()
        if now - self._told < _EVERY_SECONDS:
            return
        self._told = now
        left = None
        if self._total is not None and self.done:
            left = duration((now - self._begun) / self.done * max(0, self._total - self.done))
        self._reporter.line(
            "RUNNING",
            f"{self.done}{of_all} {self._what}",
            step=self.done,
            max_step=self._total,
            eta=left,
        )


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
    """`seconds` as str(timedelta): "0:01:02", "1 day, 2:03:04"."""
    return str(timedelta(seconds=round(seconds)))


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
