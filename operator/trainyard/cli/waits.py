"""Waiting until jobs are as somebody has asked for: what is looked for, and how the wait ends.

Separate because `watch` and `--wait` of every verb do it, and their exit codes must agree. Which state is reached is
judged by pure functions on the raw job.

NB: each judges only a status that has seen the change that was asked for, by its generation or, for an annotation,
by what the operator acknowledges.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trainyard.api import names
from trainyard.api.reasons import FINAL, Phase, Reason
from trainyard.cli import durations, exits, reading, views
from trainyard.cli.changes import changes
from trainyard.cli.connection import Connection
from trainyard.cli.errors import as_sentence
from trainyard.cli.exits import ExitCode, UsageError
from trainyard.cli.reading import headline, phase
from trainyard.cli.views import View
from trainyard.cluster import resources

Json = dict[str, Any]

Timeout = Annotated[
    int | None,
    typer.Option(
        parser=durations.seconds,
        metavar="TIME",
        help="Give up waiting after so long: seconds, or 90s, 10m, 1h30m; default: wait for ever.",
        show_default=False,
    ),
]

_TICK_SECONDS = 1.0


def check_timeout(limit: int | None, *, wait: bool) -> None:
    """Raises UsageError for a --timeout of a command that does not wait."""
    if limit is not None and not wait:
        raise UsageError("--timeout is for --wait: give both, or neither.")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a wait ended: the exit code, and what there is to say about it."""

    code: ExitCode
    said: str = ""


Judge = Callable[[Json], Outcome | None]
"""What has been reached by this state of a job; None: the wait goes on."""


def end(job: Json) -> Outcome | None:
    """Waits for the end of a job."""
    if phase(job) in FINAL and reading.told(job):
        return Outcome(code=exits.of_end(phase(job)))
    return stalled(job)


def paused(job: Json) -> Outcome | None:
    """Waits until nothing of a job runs, and it can be resumed."""
    if reading.is_paused(job):
        return Outcome(code=ExitCode.OK)
    if not (job["spec"].get("suspend") or reading.ended(job)):
        return Outcome(
            code=ExitCode.FAILED, said=f"{_name(job)} was told to go on by somebody else meanwhile."
        )
    return end(job)


def canceled(job: Json) -> Outcome | None:
    """Waits until nothing of a job runs for good: any end will do."""
    if reading.ended(job):
        return Outcome(code=ExitCode.OK)
    if not job["spec"].get("cancel"):
        return Outcome(
            code=ExitCode.FAILED, said=f"{_name(job)} was told to go on by somebody else meanwhile."
        )
    return stalled(job)


def running(job: Json) -> Outcome | None:
    """Waits until a job trains again."""
    if not reading.told(job):
        return None
    if phase(job) == Phase.RUNNING and not (job.get("status") or {}).get("stop"):
        return Outcome(code=ExitCode.OK)
    if reading.is_paused(job) and job["spec"].get("suspend"):
        return Outcome(
            code=ExitCode.STALLED,
            said=f"{_name(job)} is paused: `trainyard resume {_called(job)}` lets it go on.",
        )
    experiment = ((job.get("status") or {}).get("stop") or {}).get("experiment")
    if reading.is_paused(job) and experiment:
        return Outcome(
            code=ExitCode.STALLED,
            said=f"{_name(job)} is paused with Experiment {experiment}: `trainyard resume experiment {experiment}` "
            "lets it go on.",
        )
    return end(job)


def retried(job: Json) -> Outcome | None:
    """Waits until another attempt of a failed job trains."""
    asked = (job["metadata"].get("annotations") or {}).get(names.RETRY_REQUESTED_AT)
    return running(job) if (job.get("status") or {}).get("retryRequestedAt") == asked else None


def looked_at(before: Json) -> Judge:
    """Waits until what was pushed to a Dataset is checked; `before` is the Dataset as it was before that."""
    former = _pull(before).get("of")

    def judge(dataset: Json) -> Outcome | None:
        # NB: by the digest of what was looked at, as an annotation is no new generation.
        invalid = (dataset.get("status") or {}).get("reason") == Reason.INVALID_SPEC
        return end(dataset) if _pull(dataset).get("of") != former or invalid else stalled(dataset)

    return judge


def refreshed(dataset: Json) -> Outcome | None:
    """Waits until a Dataset's source was looked at, and what has changed was pulled."""
    asked = (dataset["metadata"].get("annotations") or {}).get(names.REFRESH_REQUESTED_AT)
    seen = (dataset.get("status") or {}).get("refreshRequestedAt") == asked
    over = _pull(dataset).get("state") not in ("starting", "in_progress")
    if not (seen and over):
        return stalled(dataset)
    if (dataset.get("status") or {}).get("reason") == Reason.REFRESH_FAILED:
        return Outcome(code=ExitCode.JOB_FAILED, said=f"{_name(dataset)}: {headline(dataset)}")
    return end(dataset)


def _pull(dataset: Json) -> Json:
    return (dataset.get("status") or {}).get("pull") or {}


def stalled(job: Json) -> Outcome | None:
    """The end of a wait for what will not go on by itself."""
    if not reading.is_stalled(job):
        return None
    return Outcome(
        code=ExitCode.STALLED,
        said=f"{_name(job)} is stalled, nothing will happen by itself: {headline(job)}",
    )


def _name(job: Json) -> str:
    return str(job["metadata"]["name"])


def _called(job: Json) -> str:
    """How a command names it."""
    return f"experiment {_name(job)}" if job.get("kind") == "Experiment" else _name(job)


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How the wait for one job ended, and the last that was seen of it."""

    job: Json
    outcome: Outcome


async def reach(
    there: Connection, jobs: Sequence[Json], judge: Judge, *, limit: int | None, err: bool = True
) -> list[Reached]:
    """Waits for all of them at once, at most `limit` seconds, and says on stderr what went otherwise."""
    alone = len(jobs) == 1
    found = await asyncio.gather(
        *(_reach(there, job, judge, limit=limit, view=views.of(job, err=err, alone=alone)) for job in jobs)
    )
    for one in found:
        if one.outcome.said:
            typer.echo(f"Error: {one.outcome.said}", err=True)
    return found


async def _reach(there: Connection, job: Json, judge: Judge, *, limit: int | None, view: View) -> Reached:
    watching = asyncio.create_task(_look(there, job, judge, view))
    ticking = asyncio.create_task(_tick(view))
    try:
        with view.opened():
            done, _ = await asyncio.wait(
                {watching, ticking}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
        for task in done:
            task.result()
        if watching in done:
            return Reached(job=view.job, outcome=watching.result())
    finally:
        for task in (watching, ticking):
            task.cancel()
        await asyncio.gather(watching, ticking, return_exceptions=True)
    what = "has not ended" if judge is end else "is not there yet"
    said = f"{_name(job)} {what} after {limit} s: {headline(view.job)}"
    if not reading.told(view.job):
        said = f"{as_sentence(said)} No operator has taken notice of it: does Trainyard's run?"
    return Reached(job=view.job, outcome=Outcome(code=ExitCode.TIMED_OUT, said=said))


async def _look(there: Connection, job: Json, judge: Judge, view: View) -> Outcome:
    kind = job.get("kind") or "TrainingJob"
    path = resources.path(kind, job["metadata"].get("namespace") or there.namespace)
    selector = {"fieldSelector": f"metadata.name={_name(job)}"}
    async with aclosing(changes(there.client, path, selector, seen=[job])) as states:
        async for exists, now in states:
            if now["metadata"]["uid"] != job["metadata"]["uid"] or not exists:
                break
            view.show(now)
            if (outcome := judge(now)) is not None:
                return outcome
    return Outcome(code=ExitCode.FAILED, said=f"{kind} {_name(job)} was deleted.")


async def _tick(view: View) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        view.tick(time.monotonic() - began)
