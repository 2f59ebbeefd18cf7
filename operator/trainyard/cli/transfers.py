"""How a download or an upload is shown: a bar on a terminal, a line now and then on a pipe; both on stderr.

Separate from `views`, which shows jobs: this counts bytes and files. Called by `download` and `push`.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import typer

from trainyard.cli.amounts import size_of

_REPEAT_SECONDS = 10.0


class Transfer:
    """Counts; says nothing. Bytes that are taken back, as of a broken part, are negative."""

    def __init__(self, *, files: int, size: int, doing: str = "") -> None:
        self.files, self.size = files, size
        self.doing = f"{doing} " if doing else ""
        self.done_files, self.done_size = 0, 0

    def opened(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def advance(self, size: int) -> None:
        self.done_size += size

    def finished(self) -> None:
        """One more file is there, and right."""
        self.done_files += 1


class PlainTransfer(Transfer):
    """A line every ten seconds."""

    def __init__(self, *, files: int, size: int, doing: str = "") -> None:
        super().__init__(files=files, size=size, doing=doing)
        self._said_at = time.monotonic()
        self._said_size = 0

    def advance(self, size: int) -> None:
        super().advance(size)
        now = time.monotonic()
        if (span := now - self._said_at) >= _REPEAT_SECONDS:
            speed = size_of(int(max(0, self.done_size - self._said_size) / span))
            of = f"{size_of(self.done_size)} of {size_of(self.size)}"
            typer.echo(f"{self.doing}{self.done_files} of {self.files} files, {of}, {speed}/s", err=True)
            self._said_at, self._said_size = now, self.done_size


class LiveTransfer(Transfer):
    """A bar with the speed and the time that is left."""

    def __init__(self, *, files: int, size: int, doing: str = "") -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        super().__init__(files=files, size=size, doing=doing)
        self._progress = Progress(
            TextColumn("{task.fields[files]}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=size or None, files=self._counted())

    def opened(self) -> AbstractContextManager[Any]:
        return self._progress

    def advance(self, size: int) -> None:
        super().advance(size)
        self._progress.update(self._task, completed=self.done_size)

    def finished(self) -> None:
        super().finished()
        self._progress.update(self._task, files=self._counted())

    def _counted(self) -> str:
        return f"{self.doing}{self.done_files}/{self.files} files"


def of(*, files: int, size: int, doing: str = "") -> Transfer:
    """A bar on a terminal, else lines; `doing` says what with, as in `sending`."""
    return (LiveTransfer if sys.stderr.isatty() else PlainTransfer)(files=files, size=size, doing=doing)
