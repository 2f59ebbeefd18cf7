"""`trainyard pause|resume|cancel|retry`: what people ask of a job that is there.

Separate from `intents`, which decides what a verb means for a job, because this talks to the cluster and waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from trainyard.cli import connection, errors, intents, output, patching, selecting, waits
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode
from trainyard.cli.intents import Decide, Intent, Refusal
from trainyard.cli.kinds import reference
from trainyard.cli.output import Format
from trainyard.cli.selecting import Selection
from trainyard.cli.waits import Judge
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

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
        jobs: connection.Runs = None,
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
    experiments: dict[str, Json | None] = {}
    async with connection.connected(where) as there:
        async for job in selecting.selected(there, chosen):
            try:
                if isinstance(job, CommandError):
                    raise job
                with errors.told():
                    decided = _decided(verb, job, await _experiment_of(there, job, experiments), chosen)
                    after = await _done(there, job, decided, quiet=form is not None) if decided else None
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


def _decided(verb: _Verb, job: Json, experiment: Json | None, chosen: Selection) -> Intent | None:
    """What the verb asks of a job; None for one of many that it does not apply to. Raises CommandError."""
    name = job["metadata"]["name"]
    if not chosen.by_name and verb.revives and job["spec"].get("cancel"):
        typer.echo(f"{name} was cancelled and stays so; name it to bring it back.", err=True)
        return None
    decided = verb.decide(job, datetime.now(UTC), experiment)
    if not isinstance(decided, Refusal):
        return decided
    if chosen.by_name:
        raise CommandError(decided.said)
    typer.echo(decided.said, err=True)
    return None


async def _done(there: Connection, job: Json, decided: Intent, *, quiet: bool) -> Json:
    """The job afterwards."""
    for note in decided.notes:
        typer.echo(note, err=True)
    if decided.patch is not None:
        job = await patching.patched(there, job, decided.patch)
    if not quiet:
        typer.echo(f"{reference(job['kind'], job['metadata']['name'])} {decided.said}")
    return job


async def _experiment_of(there: Connection, job: Json, known: dict[str, Json | None]) -> Json | None:
    """The Experiment that a job belongs to, asked for once; None where there is none, or it may not be read."""
    name = job["spec"].get("experiment") if job["kind"] == "TrainingJob" else None
    if name and name not in known:
        try:
            known[name] = await there.client.get(resources.path("Experiment", there.namespace, name))
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            known[name] = None
    return known[name] if name else None


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
