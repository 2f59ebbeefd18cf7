"""How a job that is waited for is shown: a bar on a terminal, a line for each change on a pipe.

Separate because `watch` shows it on stdout and `--wait` of other commands on stderr.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import typer

from trainyard.cli.reading import advance, headline, progress_line

Json = dict[str, Any]

_REPEAT_SECONDS = 60.0


class View:
    """What is shown of a job: its last state, and the seconds for which it has been watched."""

    def __init__(self, job: Json) -> None:
        self.job = job
        self.elapsed = 0.0

    def opened(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def show(self, job: Json) -> None:
        self.job = job

    def tick(self, elapsed: float) -> None:
        self.elapsed = elapsed


class PlainView(View):
    """A line for each change, for pipes and logs of CI; the same again when none has come for a minute."""

    def __init__(self, job: Json, *, err: bool = False) -> None:
        super().__init__(job)
        self._err = err
        # NB: on stderr several jobs may be waited for at once.
        self._begin = f"{job['metadata']['name']}: " if err else ""
        self._last = ""
        self._said_at = 0.0

    def show(self, job: Json) -> None:
        super().show(job)
        text = "  ".join(filter(None, (headline(job), progress_line(job))))
        if text != self._last:
            self._say(text)
        self._last = text

    def tick(self, elapsed: float) -> None:
        super().tick(elapsed)
        if self._last and elapsed - self._said_at >= _REPEAT_SECONDS:
            self._say(f"{self._last}  (watched for {clock(elapsed)})")

    def _say(self, text: str) -> None:
        typer.echo(f"{self._begin}{text}", err=self._err)
        self._said_at = self.elapsed


class LiveView(View):
    """A bar that stays in place, with the time since the start of the watch, for terminals."""

    def __init__(self, job: Json, *, err: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(job)
        self._live = Live(auto_refresh=False, console=Console(stderr=err, highlight=False))

    def opened(self) -> AbstractContextManager[Any]:
        return self._live

    def show(self, job: Json) -> None:
        super().show(job)
        self._draw(job)

    def tick(self, elapsed: float) -> None:
        super().tick(elapsed)
        self._draw(self.job)

    def _draw(self, job: Json) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        name = Text(job["metadata"]["name"], style="bold")
        lines = Table.grid()
        lines.add_row(Text.assemble(name, "  ", headline(job)))
        percent = advance(job).get("percent")
        if percent is not None:
            lines.add_row(ProgressBar(total=100, completed=percent, width=60))
        if text := progress_line(job):
            lines.add_row(Text(text))
        lines.add_row(Text(f"watched for {clock(self.elapsed)}", style="dim"))
        self._live.update(lines, refresh=True)


def of(job: Json, *, err: bool = False, alone: bool = True) -> View:
    """A bar for a job that is alone on a terminal, else lines."""
    stream = sys.stderr if err else sys.stdout
    return LiveView(job, err=err) if alone and stream.isatty() else PlainView(job, err=err)


def clock(seconds: float) -> str:
    """A duration as hours, minutes and seconds."""
    return str(timedelta(seconds=int(seconds)))
