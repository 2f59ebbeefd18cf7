"""`trainyard deprecate|archive|activate model` and `trainyard alias model`: the levers that people have on a model.

Separate from `modelintents`, which decides what is changed, because this talks to the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from trainyard.cli import completing, connection, errors, modelintents, output, patching
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode
from trainyard.cli.intents import Intent, Refusal
from trainyard.cli.kinds import reference
from trainyard.cli.modelintents import Stage
from trainyard.cli.output import Format
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

_TRIES = 5
_CONFLICT = 409


def _command(stage: Stage, help: str) -> Callable[..., int]:
    def command(
        kind: connection.ModelKind,
        names: connection.Models,
        form: output.Output = None,
        namespace: connection.Namespace = None,
        context: connection.Context = None,
        kubeconfig: connection.Kubeconfig = None,
    ) -> int:
        where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
        return connection.run(_stage(where, names, stage, form=form))

    command.__doc__ = help
    return command


async def _stage(where: Where, names: Sequence[str], stage: Stage, *, form: Format | None) -> int:
    codes: list[ExitCode] = []
    found: list[Json] = []
    async with connection.connected(where) as there:
        for name in dict.fromkeys(names):
            try:
                with errors.told():
                    model = await there.object("MLModel", name)
                    found.append(
                        await _done(there, model, modelintents.staged(model, stage), quiet=form is not None)
                    )
            except CommandError as error:
                typer.echo(f"Error: {error.message}", err=True)
                codes.append(error.code)
    if form is not None:
        output.print_objects(found, form, as_list=len(names) > 1)
    return next((code for code in codes if code), ExitCode.OK)


deprecate = _command(
    "deprecated",
    """Deprecate MLModels: they stay in use, and are trained no more.

    Sets spec.stage; who starts a job from one is warned. `trainyard activate` takes it back.
    """,
)
archive = _command(
    "archived",
    """Archive MLModels: they are a record, and nothing starts from them any more.

    Sets spec.stage; versions, records and model cards stay. `trainyard activate` takes it back.
    """,
)
activate = _command(
    "active",
    """Take MLModels that were deprecated or archived into use again.

    Sets spec.stage; the model is in its life where its versions and its monitoring say.
    """,
)


def alias(
    kind: connection.ModelKind,
    name: connection.Model,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="ALIAS=VERSION|ALIAS-",
            help="champion=3 lets the alias stand for version 3; champion- removes it.",
            show_default=False,
            autocompletion=completing.aliases,
        ),
    ],
    form: output.Output = None,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """Move aliases of the MLModel NAME between its versions, all of them at once or none.

    Changes spec.aliases. A job that has begun keeps the version that it began with.
    """
    wanted = modelintents.moves(words)
    where = Where(namespace=namespace, context=context, kubeconfig=kubeconfig)
    return connection.run(_alias(where, name, wanted, form=form))


async def _alias(where: Where, name: str, wanted: dict[str, int | None], *, form: Format | None) -> int:
    async with connection.connected(where) as there:
        for again in range(_TRIES, 0, -1):
            model = await there.object("MLModel", name)
            decided = modelintents.aliased(model, wanted)
            if isinstance(decided, Refusal):
                raise CommandError(decided.said)
            try:
                after = await _done(there, model, decided, quiet=form is not None)
                break
            except ApiError as error:
                # NB: somebody has changed the model since it was read, whose change must not be lost.
                if error.status != _CONFLICT or again == 1:
                    raise
    if form is not None:
        output.print_objects([after], form)
    return ExitCode.OK


async def _done(there: Connection, model: Json, decided: Intent, *, quiet: bool) -> Json:
    """The model afterwards."""
    after = model if decided.patch is None else await patching.patched(there, model, decided.patch)
    for note in decided.notes:
        typer.echo(note, err=True)
    if not quiet:
        typer.echo(f"{reference('MLModel', model['metadata']['name'])} {decided.said}")
    return after
