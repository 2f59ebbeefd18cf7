"""`trainyard watch`: a TrainingJob's progress until it ends.

Exit code 0 when the job is Done, 1 when it ended otherwise, so that scripts can wait for a training.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any

import click

from trainyard.api.reasons import FINAL, Phase
from trainyard.cli import connection
from trainyard.cli.connection import Connection, Where
from trainyard.cli.watching import changes
from trainyard.cluster import resources

Json = dict[str, Any]

_METRICS = 6


@click.command("watch")
@click.argument("job")
@connection.options
@click.pass_context
def command(
    ctx: click.Context, job: str, namespace: str | None, context: str | None, kubeconfig: str | None
) -> None:
    """Watch the TrainingJob JOB until it ends. The exit code is 0 when it is Done."""
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    ctx.exit(connection.run(_watch(where, job)))


async def _watch(where: Where, name: str) -> int:
    async with connection.connected(where) as there:
        await there.training_job(name)
        view = _LiveView() if sys.stdout.isatty() else _PlainView()
        with view.opened():
            job = await _until_final(there, name, view)
    if job is None:
        raise click.ClickException(f"TrainingJob {name} was deleted.")
    return 0 if phase(job) == Phase.DONE else 1


async def _until_final(there: Connection, name: str, view: _View) -> Json | None:
    path = resources.path("TrainingJob", there.namespace)
    async with aclosing(changes(there.client, path, {"fieldSelector": f"metadata.name={name}"})) as states:
        async for exists, job in states:
            if not exists:
                return None
            view.show(job)
            if phase(job) in FINAL:
                return job
    return None


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


class _View:
    def opened(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def show(self, job: Json) -> None:
        raise NotImplementedError


class _PlainView(_View):
    """A line for each change, for pipes and logs of CI."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, job: Json) -> None:
        text = "  ".join(filter(None, (headline(job), progress_line(job))))
        if text != self._last:
            click.echo(text)
        self._last = text


class _LiveView(_View):
    """A bar that stays in place, for terminals."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False)

    def opened(self) -> AbstractContextManager[Any]:
        return self._live

    def show(self, job: Json) -> None:
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
        self._live.update(lines, refresh=True)
