"""`trainyard logs`: a TrainingJob's log from its pod while there is one, else from the store."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import aiohttp
import typer

from trainyard.api import names
from trainyard.api.reasons import FINAL, Phase
from trainyard.cli import connection, durations
from trainyard.cli.connection import Connection, Where
from trainyard.cli.excerpts import Excerpt
from trainyard.cli.failing import CommandError, UsageError
from trainyard.cli.reading import headline, phase, printable
from trainyard.cli.stored import not_kept, read_from_operator
from trainyard.cli.waiting import (
    Start,
    ended,
    find_pod,
    has_begun,
    newest_attempt,
    restarted,
    started,
    wait_for_start,
)
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError
from trainyard.logs.splice import Line, LineSplitter, Splicer, split
from trainyard.logs.store import LogFile, LogStore
from trainyard.settings import SettingsError

Json = dict[str, Any]

_RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    job: str
    attempt: int | None
    rank: int
    follow: bool
    timestamps: bool
    excerpt: Excerpt
    operator_namespace: str


def command(
    job: connection.Job,
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
    rank: Annotated[int, typer.Option(min=0, help="Which pod of the job, from 0.")] = 0,
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
    operator_namespace: Annotated[
        str, typer.Option(help="Namespace of the operator, which keeps the logs of pods that are gone.")
    ] = connection.OPERATOR_NAMESPACE,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Print the log of the TrainingJob JOB: of its pod while there is one, else the stored one."""
    if previous and follow:
        raise UsageError("--previous is a log that has ended; take it without --follow.")
    wanted = Wanted(
        job=job,
        attempt=attempt,
        rank=rank,
        follow=follow,
        timestamps=timestamps,
        excerpt=Excerpt(tail=tail if from_start else 0, since=since),
        operator_namespace=operator_namespace,
    )
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    connection.run(_logs(where, wanted, previous=previous))


async def _logs(where: Where, wanted: Wanted, *, previous: bool) -> None:
    async with connection.connected(where) as there:
        job = await there.training_job(wanted.job)
        newest = newest_attempt(job)
        if wanted.attempt is not None and wanted.attempt > newest:
            raise CommandError(
                f"TrainingJob {wanted.job} has no attempt {wanted.attempt}; its newest is {newest}."
            )
        attempt = newest if wanted.attempt is None else wanted.attempt
        pod = await find_pod(there, job, attempt=attempt, rank=wanted.rank)
        if previous:
            if pod is not None and restarted(pod):
                await _print_live(there, pod, wanted, previous=True)
                return
            attempt -= 1
            if attempt < 0:
                raise CommandError(f"TrainingJob {wanted.job} has made no attempt before this one.")
            pod = await find_pod(there, job, attempt=attempt, rank=wanted.rank)
        if pod is not None and started(pod):
            await _print_live(there, pod, wanted)
        elif pod is not None or (phase(job) == Phase.PENDING and not has_begun(job, attempt)):
            if not wanted.follow:
                again = f"Attempt {attempt} of {wanted.job}" if attempt else wanted.job
                before = " --previous prints the log of the attempt before." if attempt else ""
                typer.echo(f"{again} has not started. {headline(job)}{before}", err=True)
                return
            attempt -= 1
        else:
            await _print_stored(there, job, attempt, wanted)
        if wanted.follow:
            await _follow_on(there, job, wanted, after=attempt)


async def _follow_on(there: Connection, job: Json, wanted: Wanted, *, after: int) -> None:
    """The attempts that start after `after`, one by one, until the job has ended."""
    wanted = replace(wanted, excerpt=Excerpt())
    while wanted.attempt is None or after < wanted.attempt:
        start = Start(after=after, attempt=wanted.attempt, rank=wanted.rank)
        pod = await wait_for_start(there, job, start, say=lambda text: typer.echo(text, err=True))
        if pod is None:
            return
        after = int(pod["metadata"]["labels"][names.LABEL_ATTEMPT])
        if after > 0 and wanted.attempt is None:
            typer.echo(f"Attempt {after} of {wanted.job} has started.", err=True)
        await _print_live(there, pod, wanted)


async def _print_live(there: Connection, pod: Json, wanted: Wanted, *, previous: bool = False) -> None:
    """One pod's log; when it is followed and cut, from the last line on."""
    name, out = pod["metadata"]["name"], _Printer(timestamps=wanted.timestamps)
    path = resources.path("Pod", there.namespace, name, "log")
    params = {"container": names.TRAINER_CONTAINER, "timestamps": "true"}
    if wanted.follow:
        params["follow"] = "true"
    if previous:
        params["previous"] = "true"
    params |= wanted.excerpt.params()
    splicer = Splicer()
    while True:
        splicer.resume()
        rest = LineSplitter()
        ended = not wanted.follow
        try:
            async with there.client.stream(path, params) as content:
                while chunk := await content.readany():
                    out.lines(splicer.take(rest.feed(chunk)))
            ended = ended or await _has_ended(there, pod)
        except (aiohttp.ClientError, TimeoutError):
            if not wanted.follow:
                raise
        except ApiError as error:
            if error.status == 404:
                return
            if not wanted.follow or error.status < 500:
                raise
        if ended:
            out.lines(splicer.take(rest.finish()))
            return
        await asyncio.sleep(_RECONNECT_SECONDS)
        if splicer.since is not None:
            rest_of_it = {key: value for key, value in params.items() if key not in wanted.excerpt.params()}
            params = {**rest_of_it, "sinceTime": splicer.since}


async def _has_ended(there: Connection, pod: Json) -> bool:
    try:
        now = await there.client.get(resources.path("Pod", there.namespace, pod["metadata"]["name"]))
    except ApiError as error:
        if error.status == 404:
            return True
        raise
    return now["metadata"]["uid"] != pod["metadata"]["uid"] or ended(now)


async def _print_stored(there: Connection, job: Json, attempt: int, wanted: Wanted) -> None:
    metadata, out = job["metadata"], _Printer(timestamps=wanted.timestamps)
    if (sentence := never_started(job)) is not None:
        raise CommandError(sentence)
    uri = (job.get("status") or {}).get("logs")
    if not uri:
        raise CommandError(not_kept(attempt=attempt, rank=wanted.rank))
    file = local_file(uri, namespace=there.namespace, uid=metadata["uid"], attempt=attempt, rank=wanted.rank)
    part = wanted.excerpt.reader(now=time.time())
    if file is not None and file.path.exists():
        out.lines(part.take(file.lines()))
        out.lines(part.rest())
        return
    splitter = LineSplitter()
    await read_from_operator(
        there.client,
        operator_namespace=wanted.operator_namespace,
        namespace=there.namespace,
        uid=metadata["uid"],
        attempt=attempt,
        rank=wanted.rank,
        write=lambda data: out.lines(part.take(filter(None, map(split, splitter.feed(data))))),
    )
    out.lines(part.rest())


def never_started(job: Json) -> str | None:
    """Why a job has ended before its trainer ran, so that there never was a log; None for one that may have run."""
    status = job.get("status") or {}
    ran = status.get("startTime") or any(e.get("startTime") for e in status.get("attempts") or [])
    if phase(job) not in FINAL - {Phase.DONE} or ran:
        return None
    why = printable(": ".join(filter(None, (status.get("reason") or phase(job), status.get("message")))))
    return f"{job['metadata']['name']} never started: {why}"


def local_file(uri: str, *, namespace: str, uid: str, attempt: int, rank: int) -> LogFile | None:
    """The stored log on this machine that `status.logs` means; None when it means no folder of that job.

    NB: status is text that others can write; only `<root>/<namespace>/<uid>/` of this very job is believed.
    """
    folder = Path(unquote(urlsplit(uri).path))
    if urlsplit(uri).scheme != "file" or folder.parts[-2:] != (namespace, uid):
        return None
    try:
        store = LogStore(folder.parent.parent.as_uri())
        return store.file(namespace=namespace, uid=uid, attempt=attempt, rank=rank)
    except (SettingsError, ValueError):
        return None


class _Printer:
    def __init__(self, *, timestamps: bool) -> None:
        self._out = sys.stdout.buffer
        self._timestamps = timestamps

    def lines(self, lines: Iterable[Line]) -> None:
        for stamp, text in lines:
            self._out.write(b"%b %b\n" % (stamp, text) if self._timestamps else text + b"\n")
        self._out.flush()
