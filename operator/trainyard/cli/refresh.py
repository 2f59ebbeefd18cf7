"""`trainyard refresh dataset`: the operator looks at the source again; what has changed becomes a new revision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from trainyard.api import names
from trainyard.cli import connection, errors, output, pushtarget, waits
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode
from trainyard.cli.kinds import reference
from trainyard.cli.output import Format

Json = dict[str, Any]


def command(
    what: connection.DatasetKind,
    datasets: connection.Datasets,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is looked at, and pulled.")] = False,
    timeout: waits.Timeout = None,
    form: output.Output = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Have the sources of Datasets looked at again: what has changed is pulled as a new revision.

    Jobs that run keep theirs. Sets the annotation trainyard.dev/refresh-requested-at. With --wait the exit code is 0
    once jobs can use what was found, 4 when it cannot be had.
    """
    waits.check_timeout(timeout, wait=wait)
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_refresh(where, datasets, wait=wait, limit=timeout, form=form))


async def _refresh(
    where: Where, wanted: Sequence[str], *, wait: bool, limit: int | None, form: Format | None
) -> int:
    codes: list[ExitCode] = []
    asked: list[Json] = []
    async with connection.connected(where) as there:
        for name in dict.fromkeys(wanted):
            try:
                with errors.told():
                    asked.append(await _one(there, name))
            except CommandError as error:
                typer.echo(f"Error: {error.message}", err=True)
                codes.append(error.code)
                continue
            if form is None:
                typer.echo(f"{reference('Dataset', name)} is looked at again")
        if wait and asked:
            reached = await waits.reach(there, asked, waits.refreshed, limit=limit)
            asked = [one.job for one in reached]
            codes += [one.outcome.code for one in reached]
    if form is not None:
        output.print_objects(asked, form, as_list=len(wanted) > 1)
    return next((code for code in codes if code), ExitCode.OK)


async def _one(there: Connection, name: str) -> Json:
    """The Dataset with the request. Raises CommandError for one that has nothing to look at."""
    found = await there.object("Dataset", name)
    source = found["spec"].get("source") or {}
    if "upload" in source:
        raise CommandError(
            f"Dataset {name} has no source to look at: `trainyard push dataset FOLDER {name}` brings new data."
        )
    if not source:
        raise CommandError(f"Dataset {name} is a draft: say where its data is in spec.source first.")
    stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return await pushtarget.changed(
        there,
        found,
        {names.REFRESH_REQUESTED_AT: stamp},
        f"Dataset {name} was deleted or replaced meanwhile; look again by `trainyard get dset`.",
    )
