"""`trainyard runtimes`: the catalogue as a table, one entry in full, or all of it for programs."""

from __future__ import annotations

import sys
from typing import Any

import click

from trainyard.cli import known_runtimes
from trainyard.planning.nearest import hint
from trainyard.planning.runtime import Details, Runtime, RuntimeAction

Json = dict[str, Any]

_WIDE = 240


@click.command("runtimes")
@click.argument("name", required=False)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
@known_runtimes.options
def command(
    *,
    entries: tuple[Runtime, ...],
    name: str | None,
    output: str,
) -> None:
    """List the runtimes that jobs can use, or show the one called NAME in full."""
    if name is not None:
        chosen = tuple(entry for entry in entries if entry.name == name)
        if not chosen:
            known = [entry.name for entry in entries]
            raise click.ClickException(f"No runtime is named {name}: {hint(name, known)}")
        entries = chosen
    if output == "table":
        _print_table(entries) if name is None else _print_entry(entries[0])
    else:
        found = [described(entry) for entry in entries]
        known_runtimes.print_data(found[0] if name is not None else found, output=output)


def described(entry: Runtime) -> Json:
    """An entry as data, in the words of the catalogue's files; without what is empty."""
    return _filled(
        {
            "name": entry.name,
            "image": entry.image,
            "architectures": {kind: _details(entry, kind) for kind in sorted(entry.architectures)},
            "types": {kind: _details(entry, kind) for kind in sorted(entry.types)},
            "requires": list(entry.requires),
            "metrics": list(entry.metrics),
            "notes": entry.notes,
            "runAsUser": entry.run_as_user,
            "env": dict(entry.env),
            "actions": {name: _action(action) for name, action in sorted(entry.actions.items())},
        }
    )


def _details(entry: Runtime, kind: str) -> Json:
    details = entry.details.get(kind, Details())
    return _filled(
        {
            "datasetType": details.dataset_type,
            "datasetFormats": list(details.dataset_formats),
            "metrics": list(details.metrics),
            "task": details.task,
            "domain": details.domain,
            "license": details.license,
            "backbones": list(details.backbones),
        }
    )


def _action(action: RuntimeAction) -> Json:
    return _filled(
        {
            "command": list(action.command),
            "args": list(action.args),
            "only": sorted(action.kinds or ()),
            "schema": action.schema.raw if action.schema is not None else None,
            "schemas": {kind: schema.raw for kind, schema in sorted(action.schemas.items())},
            "defaults": dict(action.defaults),
            "tunable": dict(action.tunable),
            "tunables": {kind: dict(ranges) for kind, ranges in sorted(action.tunables.items())},
            "resumable": action.resumable,
            "needsKind": action.needs_kind,
            "needsArgs": action.needs_args,
            "needsParent": action.needs_parent,
        }
    )


def _filled(values: Json) -> Json:
    return {key: value for key, value in values.items() if value}


def _print_table(entries: tuple[Runtime, ...]) -> None:
    from rich.table import Table

    table = Table("NAME", "SERVES", "ACTIONS", "IMAGE", "REQUIRES", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(
            entry.name,
            ", ".join(sorted(entry.kinds)) or "-",
            ", ".join(sorted(entry.actions)),
            entry.image or "your own",
            "; ".join(entry.requires) or "-",
        )
    _print(table)


def _print_entry(entry: Runtime) -> None:
    from rich.table import Table

    head = Table(box=None, show_header=False, pad_edge=False)
    for title, text in (
        ("Name", entry.name),
        ("Image", entry.image or "your own, as spec.image"),
        ("Requires", "; ".join(entry.requires)),
        ("Metrics", ", ".join(entry.metrics)),
        ("Runs as user", str(entry.run_as_user or "")),
        ("Notes", entry.notes),
    ):
        if text:
            head.add_row(title, text)
    _print(head)
    if entry.kinds:
        kinds = Table("SERVES", "ACTIONS", "DATASET TYPE", "FORMATS", "METRICS", box=None, pad_edge=False)
        for kind in sorted(entry.kinds):
            details = entry.details.get(kind, Details())
            kinds.add_row(
                kind,
                ", ".join(sorted(entry.actions_of(kind))),
                details.dataset_type,
                ", ".join(details.dataset_formats),
                ", ".join(details.metrics),
            )
        click.echo()
        _print(kinds)
    else:
        click.echo(f"\nActions: {', '.join(sorted(entry.actions))}")


def _print(table: Any) -> None:
    from rich.console import Console

    # NB: markup off, the texts are an administrator's. A pipe has no width.
    wide = None if sys.stdout.isatty() else _WIDE
    console = Console(width=wide, markup=False, highlight=False, emoji=False)
    with console.capture() as text:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in text.get().splitlines()))
