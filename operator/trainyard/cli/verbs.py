"""`trainyard pause|resume|cancel|retry`: what people ask of a job that is there.

Separate from `intents`, which decides what a verb means for a job, because this talks to the cluster and waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from trainyard.cli import connection, errors, intents, output, selecting, waits
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode
from trainyard.cli.intents import FIELD_MANAGER, Decide, Refusal
from trainyard.cli.kinds import reference
from trainyard.cli.output import Format
from trainyard.cli.selecting import Selection
from trainyard.cli.waits import Judge
from trainyard.cluster import resources
from trainyard.cluster.client import MERGE_PATCH, ApiError

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Verb:
    """What it asks, when that is reached, and whether it brings a cancelled job back."""

    decide: Decide
    reached: Judge
    help: str
    revives: bool = False


def _command(verb: _Verb) -> Callable[..., int]:
    def command(
        jobs: connection.Jobs = None,
        selector: selecting.Selector = None,
        everything: selecting.All = False,
        wait: Annotated[bool, typer.Option("--wait", help="Wait until it is so.")] = False,
        timeout: waits.Timeout = None,
        form: output.Output = None,
        namespace: connection.Namespace = None,
        context: connection.Context = None,
        kubeconfig: connection.Kubeconfig = None,
    ) -> int:
        chosen = selecting.selection(jobs, selector, everything)
        waits.check_timeout(timeout, wait=wait)
        where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
        return connection.run(_ask(where, verb, chosen, wait=wait, limit=timeout, form=form))

    command.__doc__ = verb.help
    return command


async def _ask(
    where: Where, verb: _Verb, chosen: Selection, *, wait: bool, limit: int | None, form: Format | None
) -> int:
    codes: list[ExitCode] = []
    asked: list[Json] = []
    async with connection.connected(where) as there:
        async for job in selecting.selected(there, chosen):
            try:
                if isinstance(job, CommandError):
                    raise job
                with errors.told():
                    after = await _one(there, verb, job, by_name=chosen.by_name, quiet=form is not None)
                asked += [after] if after is not None else []
            except CommandError as error:
                typer.echo(f"Error: {error.message}", err=True)
                codes.append(error.code)
        if wait and asked:
            reached = await waits.reach(there, asked, verb.reached, limit=limit)
            asked = [one.job for one in reached]
            codes += [one.outcome.code for one in reached]
    if form is not None:
        output.print_objects(asked, form, as_list=not chosen.by_name)
    return next((code for code in codes if code), ExitCode.OK)


async def _one(there: Connection, verb: _Verb, job: Json, *, by_name: bool, quiet: bool) -> Json | None:
    """The job afterwards; None for one of many that the verb does not apply to."""
    name = job["metadata"]["name"]
    if not by_name and verb.revives and job["spec"].get("cancel"):
        typer.echo(f"{name} was cancelled and stays so; name it to bring it back.", err=True)
        return None
    decided = verb.decide(job, datetime.now(UTC))
    if isinstance(decided, Refusal):
        if by_name:
            raise CommandError(decided.said)
        typer.echo(decided.said, err=True)
        return None
    for note in decided.notes:
        typer.echo(note, err=True)
    if decided.patch is not None:
        job = await _patched(there, job, decided.patch)
    if not quiet:
        typer.echo(f"{reference('TrainingJob', name)} {decided.said}")
    return job


async def _patched(there: Connection, job: Json, patch: Json) -> Json:
    """The very job after a merge patch of these fields alone."""
    metadata = {**(patch.get("metadata") or {}), "uid": job["metadata"]["uid"]}
    name = job["metadata"]["name"]
    try:
        return await there.client.request(
            "PATCH",
            resources.path("TrainingJob", there.namespace, name),
            body={**patch, "metadata": metadata},
            content_type=MERGE_PATCH,
            params={"fieldManager": FIELD_MANAGER},
        )
    except ApiError as error:
        if error.status == 404 or (error.status == 409 and "uid" in error.message.lower()):
            raise CommandError(
                f"TrainingJob {name} was deleted or replaced meanwhile; look again by `trainyard get`."
            ) from None
        raise


pause = _command(
    _Verb(
        decide=intents.pause,
        reached=waits.paused,
        help="""Pause TrainingJobs: they save a checkpoint, end their pods and keep their place.

        Sets spec.suspend; `trainyard resume` lets them go on from the checkpoint. With --wait the exit code is 0 once
        nothing of them runs.
        """,
    )
)
resume = _command(
    _Verb(
        decide=intents.resume,
        reached=waits.running,
        revives=True,
        help="""Let paused TrainingJobs go on from their checkpoint, also cancelled ones that are named.

        Takes back spec.suspend and spec.cancel. With --wait the exit code is 0 once they train again.
        """,
    )
)
cancel = _command(
    _Verb(
        decide=intents.cancel,
        reached=waits.canceled,
        help="""Cancel TrainingJobs: they end for good; their record, logs and checkpoints stay.

        Sets spec.cancel; a job that has ended already is left as it is. With --wait the exit code is 0 once nothing of
        them runs.
        """,
    )
)
retry = _command(
    _Verb(
        decide=intents.retry,
        reached=waits.retried,
        revives=True,
        help="""Try TrainingJobs again that ended in Error or were cancelled, as a new attempt of the same job.

        With --wait the exit code is 0 once they train again.
        """,
    )
)
