"""`trainyard delete`: TrainingJobs with their record, Experiments and MLModels with their jobs; what is in their output
stays.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer

from trainyard.cli import connection, errors, reading, selecting, waits
from trainyard.cli.changes import changes
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode, UsageError
from trainyard.cli.kinds import reference
from trainyard.cli.selecting import Selection
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

_WITH_JOBS = ("Experiment", "MLModel")


def command(
    jobs: connection.Runs = None,
    selector: selecting.Selector = None,
    everything: selecting.All = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until they are gone.")] = False,
    timeout: waits.Timeout = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Delete TrainingJobs with their record and their pods. Checkpoints and artifacts stay in their output.

    An Experiment or an MLModel that is named goes with the jobs that it has made. On a terminal it asks first;
    elsewhere it wants --yes.
    """
    chosen = selecting.selection(jobs, selector, everything, also=("MLModel",))
    waits.check_timeout(timeout, wait=wait)
    if not yes and not sys.stdin.isatty():
        raise UsageError("Say --yes to delete without being asked.")
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_delete(where, chosen, ask=not yes, wait=wait, limit=timeout))


async def _delete(where: Where, chosen: Selection, *, ask: bool, wait: bool, limit: int | None) -> int:
    codes: list[ExitCode] = []
    async with connection.connected(where) as there:
        found: list[Json] = []
        async for job in selecting.selected(there, chosen):
            if isinstance(job, CommandError):
                typer.echo(f"Error: {job.message}", err=True)
                codes.append(job.code)
            else:
                found.append(job)
        if found and ask:
            typer.confirm(_question(found, there.namespace), abort=True, err=True)
        deleted = [job for job in found if await _one(there, job, codes)]
        if wait and deleted and not await _gone(there, deleted, limit=limit):
            codes.append(ExitCode.TIMED_OUT)
    return next((code for code in codes if code), ExitCode.OK)


def _question(found: Sequence[Json], namespace: str) -> str:
    names = ", ".join(job["metadata"]["name"] for job in found)
    alive = [job["metadata"]["name"] for job in found if job["kind"] != "MLModel" and not reading.ended(job)]
    still = f" ({', '.join(alive)} not ended yet)" if alive else ""
    kinds = {job["kind"] for job in found}
    kind = kinds.pop() if len(kinds) == 1 else "object"
    what = kind if len(found) == 1 else f"{len(found)} {kind}s"
    with_jobs = " with all of their jobs" if any(job["kind"] in _WITH_JOBS for job in found) else ""
    return f"Delete {what} {names}{with_jobs} in namespace {namespace}{still}?"


async def _one(there: Connection, job: Json, codes: list[ExitCode]) -> bool:
    """Whether it was deleted; why not is said, and its code added."""
    try:
        with errors.told():
            await _request(there, job)
    except CommandError as error:
        typer.echo(f"Error: {error.message}", err=True)
        codes.append(error.code)
        return False
    typer.echo(f"{reference(job['kind'], job['metadata']['name'])} deleted")
    return True


async def _request(there: Connection, job: Json) -> None:
    path = resources.path(job["kind"], there.namespace, job["metadata"]["name"])
    options = {"propagationPolicy": "Background", "preconditions": {"uid": job["metadata"]["uid"]}}
    try:
        await there.client.delete(path, options)
    except ApiError as error:
        # NB: 409: another one of this name, so that the one that was meant is gone.
        if error.status not in (404, 409):
            raise


async def _gone(there: Connection, found: Sequence[Json], *, limit: int | None) -> bool:
    """Whether the jobs have gone within the time."""
    try:
        async with asyncio.timeout(limit):
            for job in found:
                await _until_gone(there, job)
    except TimeoutError:
        typer.echo(
            f"Error: not everything is gone after {limit} s: a finalizer or a node holds it; "
            "`kubectl describe` tells which.",
            err=True,
        )
        return False
    return True


async def _until_gone(there: Connection, job: Json) -> None:
    path, name = resources.path(job["kind"], there.namespace), job["metadata"]["name"]
    selector = {"fieldSelector": f"metadata.name={name}"}
    async with aclosing(changes(there.client, path, selector, seen=[job])) as states:
        async for exists, now in states:
            if now["metadata"]["uid"] == job["metadata"]["uid"] and not exists:
                return
