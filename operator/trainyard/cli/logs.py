"""`trainyard logs`: a TrainingJob's log, from its pod while that runs, afterwards from the store where it is kept; of
an Experiment that of its newest job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from trainyard.api import names
from trainyard.api.reasons import FINAL, Phase
from trainyard.cli import connection, durations, errors, experimentjobs, keptlog, kinds
from trainyard.cli.connection import Connection, Where
from trainyard.cli.excerpts import Excerpt
from trainyard.cli.exits import CommandError, UsageError
from trainyard.cli.livelog import Printer, begins_late, print_log
from trainyard.cli.logpods import (
    Start,
    ended,
    find_pod,
    has_begun,
    is_over,
    newest_attempt,
    restarted,
    started,
    wait_for_start,
)
from trainyard.cli.reading import headline, phase

Json = dict[str, Any]


class Source(StrEnum):
    """Where a log is read."""

    POD = "pod"
    STORE = "store"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    job: str
    attempt: int | None
    rank: int
    follow: bool
    timestamps: bool
    excerpt: Excerpt
    source: Source | None
    operator_namespace: str
    of_all: bool = False

    def printer(self) -> Printer:
        """Of all ranks each line begins with its rank."""
        return Printer(timestamps=self.timestamps, prefix=f"[{self.rank}] " if self.of_all else "")

    def say(self, text: str) -> None:
        """On stderr; of what all ranks have in common only once."""
        if self.rank == 0 or not self.of_all:
            typer.echo(text, err=True)


def command(
    job: connection.Run,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Wait for more, also for a job that has not started yet."),
    ] = False,
    previous: Annotated[
        bool,
        typer.Option(
            "-p", "--previous", help="The attempt before, or the container before where pods restart theirs."
        ),
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(min=0, help="Which attempt, from 0; default: the newest.", show_default=False),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            min=0, help="Which pod of the job, from 0; default: 0, which leads.", show_default=False
        ),
    ] = None,
    all_ranks: Annotated[
        bool, typer.Option("--all-ranks", help="Of every pod of the job, each line with its rank before it.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Only so many of the last lines.", show_default=False)
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(
            parser=durations.seconds,
            metavar="TIME",
            help="Only what is younger: seconds, or 90s, 10m, 1h30m.",
            show_default=False,
        ),
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", help="Print each line's stamp before it.")
    ] = False,
    from_start: Annotated[
        bool,
        typer.Option(
            "--since-beginning/--from-now",
            help="From the first line (default), or only what is logged from now on (with -f).",
            show_default=False,
        ),
    ] = True,
    source: Annotated[
        Source | None,
        typer.Option(
            "--from",
            help="Read it there; default: of the pod while it runs, else the store, else a pod that has ended.",
            show_default=False,
        ),
    ] = None,
    operator_namespace: Annotated[
        str, typer.Option(help="Namespace of the operator, which keeps the logs of pods that are gone.")
    ] = connection.OPERATOR_NAMESPACE,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Print the log of the TrainingJob JOB: of its pod while that runs, afterwards the stored one.

    Of an Experiment that of its newest job that has started: with --follow of the ones after it, too.
    """
    kind, name = kinds.run(job)
    if previous and follow:
        raise UsageError("--previous is a log that has ended; take it without --follow.")
    if source is Source.STORE and follow:
        raise UsageError("--from store is what is kept so far; take it without --follow.")
    if all_ranks and rank is not None:
        raise UsageError("--all-ranks is every rank; take it without --rank.")
    wanted = Wanted(
        job=name,
        attempt=attempt,
        rank=rank or 0,
        follow=follow,
        timestamps=timestamps,
        excerpt=Excerpt(tail=tail if from_start else 0, since=since),
        source=source,
        operator_namespace=operator_namespace,
        of_all=all_ranks,
    )
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    work = _of_experiment if kind == "Experiment" else _of_job
    connection.run(work(where, wanted, previous=previous))


async def _of_job(where: Where, wanted: Wanted, *, previous: bool) -> None:
    async with connection.connected(where) as there:
        await _logs(there, await there.training_job(wanted.job), wanted, previous=previous)


async def _of_experiment(where: Where, wanted: Wanted, *, previous: bool) -> None:
    """The log of the newest job; with --follow those that start after it, until the Experiment has ended."""
    job: Json | None = None
    async with connection.connected(where) as there:
        while (
            job := await experimentjobs.next_started(there, wanted.job, job, wait=wanted.follow)
        ) is not None:
            name = str(job["metadata"]["name"])
            typer.echo(f"{name} of experiment {wanted.job}:", err=True)
            await _logs(there, job, replace(wanted, job=name), previous=previous)
            if not wanted.follow:
                return


async def _logs(there: Connection, job: Json, wanted: Wanted, *, previous: bool) -> None:
    nodes = job["spec"].get("nodes") or 1
    if wanted.rank >= nodes:
        raise CommandError(
            f"TrainingJob {wanted.job} has no rank {wanted.rank}; its highest is {nodes - 1} (spec.nodes: {nodes})."
        )
    newest = newest_attempt(job)
    if wanted.attempt is not None and wanted.attempt > newest:
        raise CommandError(
            f"TrainingJob {wanted.job} has no attempt {wanted.attempt}; its newest is {newest}."
        )
    attempt = newest if wanted.attempt is None else wanted.attempt
    if not wanted.of_all:
        await _rank(there, job, attempt, wanted, previous=previous)
        return
    ranks = [replace(wanted, rank=rank) for rank in range(nodes)]
    if wanted.follow:
        # NB: not a group of tasks, which would wrap what a closed pipe raises.
        await asyncio.gather(
            *(_told(_rank(there, job, attempt, one, previous=previous), one) for one in ranks)
        )
        return
    said = [await _told(_rank(there, job, attempt, one, previous=previous), one) for one in ranks]
    if not all(said):
        raise CommandError(f"The logs of {said.count(False)} of {nodes} ranks could not be printed.")


async def _told(work: Coroutine[Any, Any, None], wanted: Wanted) -> bool:
    """Of one rank of several: what goes wrong with it is said, and holds up no other."""
    try:
        with errors.told():
            await work
    except CommandError as error:
        typer.echo(f"Rank {wanted.rank}: {error.message}", err=True)
        return False
    return True


async def _rank(there: Connection, job: Json, attempt: int, wanted: Wanted, *, previous: bool) -> None:
    """The log of one rank, and with --follow those of the attempts that come."""
    pod = await find_pod(there, job, attempt=attempt, rank=wanted.rank)
    if previous:
        if pod is not None and restarted(pod) and wanted.source is not Source.STORE:
            await print_log(there, pod, wanted.excerpt, wanted.printer(), follow=False, previous=True)
            return
        attempt -= 1
        if attempt < 0:
            raise CommandError(f"TrainingJob {wanted.job} has made no attempt before this one.")
        pod = await find_pod(there, job, attempt=attempt, rank=wanted.rank)
    if pod is not None and started(pod):
        out = wanted.printer()
        await _print_begun(there, job, pod, attempt, wanted, out)
        if out.first is None and wanted.excerpt == Excerpt() and not wanted.follow:
            typer.echo(f"Attempt {attempt} of {wanted.job} printed nothing. {headline(job)}", err=True)
    elif pod is not None or (phase(job) == Phase.PENDING and not has_begun(job, attempt)):
        if not wanted.follow:
            again = f"Attempt {attempt} of {wanted.job}" if attempt else wanted.job
            before = " --previous prints the log of the attempt before." if attempt else ""
            wanted.say(f"{again} has not started. {headline(job)}{before}")
            return
        attempt -= 1
    else:
        await _print_gone(there, job, attempt, wanted)
    if wanted.follow:
        await _follow_on(there, job, wanted, after=attempt)


async def _follow_on(there: Connection, job: Json, wanted: Wanted, *, after: int) -> None:
    """The attempts that start after `after`, one by one, until the job has ended."""
    wanted = replace(wanted, excerpt=Excerpt())
    while wanted.attempt is None or after < wanted.attempt:
        start = Start(after=after, attempt=wanted.attempt, rank=wanted.rank)
        pod = await wait_for_start(there, job, start, say=wanted.say)
        if pod is None:
            return
        after = int(pod["metadata"]["labels"][names.LABEL_ATTEMPT])
        if after > 0 and wanted.attempt is None:
            wanted.say(f"Attempt {after} of {wanted.job} has started.")
        await print_log(there, pod, wanted.excerpt, wanted.printer(), follow=True)


async def _print_begun(
    there: Connection, job: Json, pod: Json, attempt: int, wanted: Wanted, out: Printer
) -> None:
    """The log of a pod that is there; of one that has ended from the store, which outlives the kubelet's rotation."""
    if wanted.source is Source.STORE:
        await _print_kept(there, job, attempt, wanted, out)
        return
    kept = bool((job.get("status") or {}).get("logs"))
    remedy = f" `trainyard logs {wanted.job} --from store` has them." if kept else ""
    if wanted.source is None and kept and ended(pod) and is_over(job, attempt):
        try:
            with errors.told():
                await _print_kept(there, job, attempt, wanted, out)
            return
        except CommandError as error:
            # NB: what is printed already must not come again.
            if out.first is not None:
                raise
            remedy = f" What is kept cannot be read: {error.message}"
    await print_log(there, pod, wanted.excerpt, out, follow=wanted.follow)
    if not wanted.follow and wanted.excerpt == Excerpt() and (late := begins_late(pod, out)):
        typer.echo(f"{late}{remedy}", err=True)


async def _print_gone(there: Connection, job: Json, attempt: int, wanted: Wanted) -> None:
    """What is kept of an attempt whose pod is gone."""
    if wanted.source is Source.POD:
        raise CommandError(
            f"The pod of attempt {attempt} of {wanted.job} is gone; `--from store` prints what is kept of its log."
        )
    out = wanted.printer()
    try:
        with errors.told():
            await _print_kept(there, job, attempt, wanted, out)
    except CommandError as error:
        if not wanted.follow or wanted.attempt is not None or phase(job) in FINAL:
            raise
        said = f"The log of attempt {attempt} of {wanted.job} cannot be shown: {error.message}"
        typer.echo(f"{said} The next attempt is followed.", err=True)


async def _print_kept(there: Connection, job: Json, attempt: int, wanted: Wanted, out: Printer) -> None:
    log = keptlog.Kept(attempt=attempt, rank=wanted.rank, operator_namespace=wanted.operator_namespace)
    await keptlog.print_kept(there, job, log, wanted.excerpt, out)
