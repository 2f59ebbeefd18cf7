"""`trainyard get`: tables of jobs, datasets, experiments and models, one in full, or their objects for programs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from trainyard.api import names
from trainyard.api.reasons import Phase
from trainyard.cli import completing, connection, details, errors, kinds, output, tables
from trainyard.cli.changes import changes
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError, ExitCode, UsageError
from trainyard.cli.output import Format
from trainyard.cli.selecting import Selector
from trainyard.cli.tables import Table
from trainyard.cluster import resources

Json = dict[str, Any]


class Form(StrEnum):
    """What `get` prints."""

    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the command line asks for: objects by kind and name, or all of some kinds."""

    named: tuple[tuple[str, str], ...]
    listed: tuple[str, ...]
    selectors: dict[str, str]
    everywhere: bool
    form: Form | None
    watch: bool
    doubtful: str | None
    """A word that is taken for a job's name, as it is no kind."""

    @property
    def data(self) -> Format | None:
        return Format(self.form) if self.form not in (None, Form.WIDE) else None


def command(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND|NAME",
            help="Kinds with commas (trainingjobs, datasets, experiments, mlmodels; default: the first), or one "
            "and names.",
            show_default=False,
            autocompletion=completing.objects,
        ),
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="All namespaces.")] = False,
    selector: Selector = None,
    phase: Annotated[
        Phase | None, typer.Option(help="Only those in this phase.", case_sensitive=False, show_default=False)
    ] = None,
    form: Annotated[
        Form | None, typer.Option("-o", "--output", help="More columns, or data.", show_default=False)
    ] = None,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Go on with every change.")] = False,
    namespace: connection.Namespace = None,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> int:
    """List jobs, datasets, experiments and models, or show those that are named.

    One that is named is shown in full: why it is where it is, progress, attempts, callbacks, artifacts.
    """
    named, listed = _meant(what or [])
    if named and (selector or phase or all_namespaces):
        raise UsageError(f"Names go without -A, -l and --phase; kinds are {', '.join(kinds.WORDS)}.")
    selectors = {"labelSelector": selector or "", "fieldSelector": f"status.phase={phase}" if phase else ""}
    if watch and len(named) + len(listed) != 1:
        raise UsageError("--watch shows one kind, or one object.")
    wanted = _Wanted(
        named=named,
        listed=listed,
        selectors={key: value for key, value in selectors.items() if value},
        everywhere=all_namespaces,
        form=form,
        watch=watch,
        doubtful=what[0] if what and kinds.known(what[0]) is None else None,
    )
    return connection.run(_get(Where(namespace=namespace, context=context, kubeconfig=kubeconfig), wanted))


def _meant(words: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """What is named, and which kinds are listed."""
    if not words:
        return (), ("TrainingJob",)
    if words[0] in ("all", "trainyard") and len(words) == 1:
        return (), tuple(kinds.PLURALS)
    listed = [kinds.known(word) for word in words[0].split(",")]
    if len(words) == 1 and all(listed):
        return (), tuple(dict.fromkeys(kind for kind in listed if kind))
    kind = kinds.known(words[0])
    rest = words[1:] if kind else words
    return tuple(kinds.named(word, kind=kind or "TrainingJob") for word in rest), ()


async def _get(where: Where, wanted: _Wanted) -> int:
    async with connection.connected(where) as there:
        if wanted.watch:
            await _watch(there, wanted)
            return ExitCode.OK
        return await (_some(there, wanted) if wanted.named else _all(there, wanted))


async def _some(there: Connection, wanted: _Wanted) -> int:
    found: list[Json] = []
    code = ExitCode.OK
    for kind, name in wanted.named:
        try:
            with errors.told():
                found.append(await _found(there, wanted, kind, name))
        except CommandError as error:
            typer.echo(f"Error: {error.message}", err=True)
            code = error.code
    if wanted.data is not None:
        if found:
            output.print_objects(found, wanted.data, as_list=len(wanted.named) > 1)
    elif len(wanted.named) == 1 and wanted.form is None:
        for raw in found:
            details.show(raw)
    else:
        for kind in dict.fromkeys(raw["kind"] for raw in found):
            chosen = [raw["metadata"]["name"] for raw in found if raw["kind"] == kind]
            rows = [await tables.listed(there.client, _path(there, kind, name), {}) for name in chosen]
            merged = {**rows[0], "rows": [row for one in rows for row in one["rows"]]}
            _print(merged, wanted)
    return code


async def _found(there: Connection, wanted: _Wanted, kind: str, name: str) -> Json:
    """The object. Raises CommandError when there is none, also for a word that may have been meant as a kind."""
    try:
        return await there.object(kind, name)
    except CommandError as error:
        if name != wanted.doubtful or error.message == errors.NOT_INSTALLED:
            raise
        kinds_are = f"If {name} is meant as a kind: those of Trainyard are {', '.join(kinds.WORDS)}."
        raise CommandError(f"{error.message} {kinds_are}") from None


async def _all(there: Connection, wanted: _Wanted) -> int:
    namespace = None if wanted.everywhere else there.namespace
    items: list[Json] = []
    empty = 0
    for kind in wanted.listed:
        path = resources.path(kind, namespace)
        if wanted.data is not None:
            listing = await there.client.get(path, wanted.selectors)
            head = {"apiVersion": listing["apiVersion"], "kind": kind}
            items += [{**head, **raw} for raw in listing.get("items") or []]
            continue
        table = await tables.listed(there.client, path, wanted.selectors)
        if not table.get("rows"):
            empty += 1
            continue
        if len(wanted.listed) > 1:
            typer.echo(f"{kinds.PLURALS[kind]}:")
        _print(table, wanted)
        if len(wanted.listed) > 1:
            typer.echo()
    if wanted.data is not None:
        output.print_objects(items, wanted.data, as_list=True)
    elif empty == len(wanted.listed):
        what = wanted.listed[0] if empty == 1 else "object of Trainyard"
        such = " such" if wanted.selectors else ""
        where = "in any namespace" if wanted.everywhere else f"in namespace {there.namespace}"
        typer.echo(f"There is no{such} {what} {where}.", err=True)
    return ExitCode.OK


def _print(table: Json, wanted: _Wanted) -> None:
    shown = Table.of(table, wide=wanted.form is Form.WIDE, namespaced=wanted.everywhere)
    typer.echo("\n".join(shown.lines(shown.widths(), titled=True)))


async def _watch(there: Connection, wanted: _Wanted) -> None:
    params = dict(wanted.selectors)
    kind = wanted.named[0][0] if wanted.named else wanted.listed[0]
    seen: list[Json] = []
    if wanted.named:
        seen = [await _found(there, wanted, *wanted.named[0])]
        params["fieldSelector"] = f"metadata.name={wanted.named[0][1]}"
    path = resources.path(kind, None if wanted.everywhere else there.namespace)
    if wanted.data is not None:
        async with aclosing(changes(there.client, path, params, seen=seen, patient=bool(seen))) as states:
            async for exists, raw in states:
                if exists:
                    if wanted.data is Format.YAML:
                        typer.echo("---")
                    whole = {"apiVersion": names.API_VERSION, "kind": kind, **raw}
                    output.print_objects([whole], wanted.data)
        return
    widths: list[int] = []
    async with aclosing(tables.changed(there.client, path, params)) as states:
        async for table in states:
            part = Table.of(table, wide=wanted.form is Form.WIDE, namespaced=wanted.everywhere)
            if not part.rows:
                continue
            titled, widths = not widths, part.widths(widths)
            typer.echo("\n".join(part.lines(widths, titled=titled)))


def _path(there: Connection, kind: str, name: str) -> str:
    return resources.path(kind, there.namespace, name)
