"""`trainyard describe KIND NAME`: objects in full; of a Dataset also what is in it, and which jobs use it; of an
Experiment also its steps, its trials and its rungs; of an MLModel its versions, and what works for it.

Separate from `get`, which shows one object in full as well, because this looks further than the object itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import aiohttp
import typer

from trainyard.cli import (
    completing,
    connection,
    datasetdetails,
    details,
    errors,
    experimentjobs,
    kinds,
    modeldetails,
    output,
)
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode, UsageError
from trainyard.cli.output import Format
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

_MOST_JOBS = "1000"


def command(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="KIND NAME",
            help="A kind and names, as dataset digits; or dset/digits.",
            show_default=False,
            autocompletion=completing.objects,
        ),
    ],
    form: output.Output = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Show objects in full: why each is where it is, and what has come of it.

    Of a Dataset: how far its pull is, what the check found, its classes, columns, splits and image sizes, and the jobs
    that use it. Of an Experiment: its steps, the best trials with their parameters, the rungs, and its newest trials.
    Of an MLModel: its versions, where the newest comes from, recommendation, monitoring, what is published, its jobs.
    """
    kind = kinds.known(what[0])
    words = what[1:] if kind else what
    if not words:
        raise UsageError(
            f"Name one: trainyard describe {what[0]} NAME; `trainyard get {what[0]}` lists them."
        )
    named = tuple(kinds.named(word, kind=kind or "TrainingJob") for word in words)
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_describe(where, named, form=form))


async def _describe(where: Where, named: Sequence[tuple[str, str]], *, form: Format | None) -> int:
    code = ExitCode.OK
    found: list[Json] = []
    async with connection.connected(where) as there:
        for kind, name in named:
            try:
                with errors.told():
                    found.append(await there.object(kind, name))
            except CommandError as error:
                typer.echo(f"Error: {error.message}", err=True)
                code = error.code
        if form is None:
            for number, raw in enumerate(found):
                if number:
                    typer.echo()
                details.show(
                    raw,
                    jobs=await _jobs(there, raw),
                    history=await experimentjobs.shown(there, raw) if raw["kind"] == "Experiment" else None,
                )
    if form is not None and found:
        output.print_objects(found, form, as_list=len(named) > 1)
    return code


async def _jobs(there: Connection, raw: Json) -> list[Json] | None:
    """The jobs that use a Dataset, or what works for an MLModel; None for another kind, and where they may not be
    listed.
    """
    name = raw["metadata"]["name"]
    if raw["kind"] == "Dataset":
        jobs = await _listed(there, "TrainingJob")
        return None if jobs is None else datasetdetails.users(jobs, name)
    if raw["kind"] == "MLModel":
        found = [await _listed(there, kind) for kind in kinds.RUNS]
        return modeldetails.workers([one for listing in found for one in listing or []], name)
    return None


async def _listed(there: Connection, kind: str) -> list[Json] | None:
    try:
        listing = await there.client.get(resources.path(kind, there.namespace), {"limit": _MOST_JOBS})
    except (ApiError, aiohttp.ClientError, TimeoutError):
        return None
    return [{"kind": kind, **one} for one in listing.get("items") or []]
