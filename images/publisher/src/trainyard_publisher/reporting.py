"""What the publisher says: status lines and log lines on stdout, and the verdict in the termination log.

Separate because it is the contract's "Out" half (docs/trainer-contract.md, "Status lines"). Nothing here may fail a
run: what cannot be written is dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from trainyard_publisher.problems import Stopped

Status = Literal["STARTED", "RUNNING", "SUCCESS", "FAILURE"]
DEFAULT_TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LIMIT = 1024
"""Bytes of the termination message; a pod's containers share 12 KiB."""
_EVERY_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run ended. `complete` is False when it was stopped before its work was done."""

    status: Status
    complete: bool
    message: str


class Reporter:
    """Writes one JSON object a line, flushed, so that the operator's log follower sees it at once.

    `stopped` says whether SIGTERM has come.
    """

    def __init__(self, *, stream: TextIO, stopped: Callable[[], bool] = lambda: False) -> None:
        self._stream = stream
        self._stopped = stopped
        self._told = 0.0

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
        self._write(json.dumps(record, default=str, allow_nan=False))

    def file(self, number: int, total: int, name: str) -> None:
        """File `number` of `total` comes next, counted from 1. Raises Stopped once SIGTERM has come."""
        if self._stopped():
            raise Stopped(f"stopped after {number - 1} of {total} files; the next attempt goes on from there")
        now = time.monotonic()
        if now - self._told >= _EVERY_SECONDS:
            self._told = now
            self.line("RUNNING", f"file {number} of {total}: {name}", step=number - 1, max_step=total)

    def _write(self, line: str) -> None:
        # NB: whoever read our stdout may have gone; that must not end the run.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()


def termination_log(environ: Mapping[str, str]) -> Path:
    """Where the verdict is written; Kubernetes' default path unless told otherwise."""
    return Path(environ.get("TRAINYARD_TERMINATION_LOG", "") or DEFAULT_TERMINATION_LOG)


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
    """The JSON of a verdict, its message cut to the limit."""
    record = {"status": verdict.status, "complete": verdict.complete, "message": verdict.message}
    while (excess := len(_encode(record)) - TERMINATION_LIMIT) > 0:
        record["message"] = str(record["message"])[: -max(1, excess // 4) - 1] + "…"
    return _encode(record)


def _encode(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
