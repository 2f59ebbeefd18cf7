"""`trainyard watch`: a TrainingJob's progress until it ends.

Scripts wait for a training by the exit code: 0 when the job is Done, 1 when it ended otherwise, 3 when it is stalled
and will not go on by itself, 124 (as of timeout(1)) when `--timeout` has passed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AbstractContextManager, aclosing, nullcontext
from datetime import timedelta
from typing import Any

import click

from trainyard.api.reasons import FINAL, ConditionType, Phase
from trainyard.cli import connection
from trainyard.cli.connection import Connection, Where
from trainyard.cli.watching import changes
from trainyard.cluster import resources
from trainyard.planning import conditions

Json = dict[str, Any]

NOT_DONE, STALLED, TIMED_OUT = 1, 3, 124

_METRICS = 6
_TICK_SECONDS = 1.0
_REPEAT_SECONDS = 60.0


@click.command("watch")
@click.argument("job")
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Give up after so long; default: wait for ever.",
)
@connection.options
@click.pass_context
def command(
    ctx: click.Context,
    job: str,
    timeout: int | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Watch the TrainingJob JOB until it ends.

    The exit code is 0 when it is Done, 1 when it ended otherwise, 3 when it is stalled and will not go on by itself,
    124 when --timeout has passed.
    """
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    ctx.exit(connection.run(_watch(where, job, limit=timeout)))


async def _watch(where: Where, name: str, *, limit: int | None) -> int:
    async with connection.connected(where) as there:
        job = await there.training_job(name)
        view = LiveView(job) if sys.stdout.isatty() else PlainView(job)
        with view.opened():
            ended = await _until_end(there, name, view, limit=limit)
    if not ended:
        click.echo(f"Error: {name} has not ended after {limit} s: {headline(view.job)}", err=True)
        return TIMED_OUT
    if is_stalled(view.job):
        click.echo(f"Error: {name} is stalled, nothing will happen by itself: {headline(view.job)}", err=True)
        return STALLED
    return 0 if phase(view.job) == Phase.DONE else NOT_DONE


async def _until_end(there: Connection, name: str, view: View, *, limit: int | None) -> bool:
    """Whether the job has ended, or stalled, within the time."""
    watching = asyncio.create_task(_show_changes(there, name, view))
    ticking = asyncio.create_task(_tick(view))
    try:
        done, _ = await asyncio.wait({watching, ticking}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return watching in done
    finally:
        for task in (watching, ticking):
            task.cancel()
        await asyncio.gather(watching, ticking, return_exceptions=True)


async def _show_changes(there: Connection, name: str, view: View) -> None:
    path = resources.path("TrainingJob", there.namespace)
    async with aclosing(changes(there.client, path, {"fieldSelector": f"metadata.name={name}"})) as states:
        async for exists, job in states:
            if not exists:
                raise click.ClickException(f"TrainingJob {name} was deleted.")
            view.show(job)
            if phase(job) in FINAL or is_stalled(job):
                return


async def _tick(view: View) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        view.tick(time.monotonic() - began)


def is_stalled(job: Json) -> bool:
    """Whether the job waits for what only a change of it, or another operator, can bring."""
    status = job.get("status") or {}
    # NB: a status of an earlier generation says nothing of the change that may have mended it.
    told = (status.get("observedGeneration") or 0) >= (job["metadata"].get("generation") or 0)
    return told and phase(job) not in FINAL and conditions.is_true(status, ConditionType.STALLED)


def phase(job: Json) -> str:
    """The phase in status; Pending for an object that no operator has seen."""
    return str((job.get("status") or {}).get("phase") or Phase.PENDING)


def headline(job: Json) -> str:
    """Phase, reason and message as one line."""
    status = job.get("status") or {}
    head = " ".join(part for part in (phase(job), status.get("reason")) if part)
    message = printable(status.get("message") or "")
    return f"{head}: {message}" if message else head


def progress_line(job: Json) -> str:
    """Epoch, time left and metrics as one line; empty while nothing is reported."""
    status = job.get("status") or {}
    progress = status.get("progress") or {}
    parts = [
        progress.get("summary"),
        f"{progress['percent']}%" if "percent" in progress else None,
        f"{progress['eta']} left" if progress.get("eta") else None,
        *metrics(job),
    ]
    return "  ".join(printable(str(part)) for part in parts if part)


def metrics(job: Json) -> list[str]:
    """The key metric first, then the others, a few."""
    status = job.get("status") or {}
    key = status.get("keyMetric") or {}
    others = [m for m in status.get("metrics") or [] if m.get("name") != key.get("name")]
    shown = [key.get("display"), *(f"{m.get('name')} {m.get('value')}" for m in others)]
    return [text for text in shown if text][:_METRICS]


def printable(text: str) -> str:
    """Text of strangers for a terminal: on one line, without control sequences."""
    return "".join(c if c.isprintable() else " " for c in text)


def clock(seconds: float) -> str:
    """A duration as hours, minutes and seconds."""
    return str(timedelta(seconds=int(seconds)))


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

    def __init__(self, job: Json) -> None:
        super().__init__(job)
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
        click.echo(text)
        self._said_at = self.elapsed


class LiveView(View):
    """A bar that stays in place, with the time since the start of the watch, for terminals."""

    def __init__(self, job: Json) -> None:
        from rich.live import Live

        super().__init__(job)
        self._live = Live(auto_refresh=False)

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
        percent = ((job.get("status") or {}).get("progress") or {}).get("percent")
        if percent is not None:
            lines.add_row(ProgressBar(total=100, completed=percent, width=60))
        if text := progress_line(job):
            lines.add_row(Text(text))
        lines.add_row(Text(f"watched for {clock(self.elapsed)}", style="dim"))
        self._live.update(lines, refresh=True)
