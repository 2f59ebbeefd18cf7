"""`trainyard runtimes`: the catalogue as a table, one entry in full, or all of it for programs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from trainyard.cli import catalogues, connection, output
from trainyard.cli.connection import Where
from trainyard.cli.exits import CommandError
from trainyard.planning.nearest import hint
from trainyard.planning.runtime import Details, Runtime, RuntimeAction

Json = dict[str, Any]


def command(
    name: Annotated[str | None, typer.Argument(show_default=False)] = None,
    form: Annotated[Literal["table", "json", "yaml"], typer.Option("-o", "--output")] = "table",
    folders: catalogues.Folders = None,
    cluster: catalogues.Cluster = False,
    operator_namespace: catalogues.OperatorNamespace = connection.OPERATOR_NAMESPACE,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """List the runtimes that jobs can use, or show the one called NAME in full."""
    where = Where(namespace=operator_namespace, context=context, kubeconfig=kubeconfig)
    entries = catalogues.load(folders, where if cluster else None)
    if name is not None:
        chosen = tuple(entry for entry in entries if entry.name == name)
        if not chosen:
            known = [entry.name for entry in entries]
            raise CommandError(f"No runtime is named {name}: {hint(name, known)}")
        entries = chosen
    if form == "table":
        _print_table(entries) if name is None else _print_entry(entries[0])
    else:
        found = [described(entry) for entry in entries]
        output.print_data(found[0] if name is not None else found, form=form)


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
            "epochs": list(action.epochs),
            "epochsOf": {kind: list(names) for kind, names in sorted(action.epochs_of.items())},
            "resumable": action.resumable,
            "needsKind": action.needs_kind,
            "needsArgs": action.needs_args,
            "needsParent": action.needs_parent,
            "needsInput": action.needs_input,
            "needsOutput": action.needs_output,
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
            ", ".join(sorted(entry.kinds)) or ("Datasets" if _works_on_datasets(entry) else "-"),
            ", ".join(sorted(entry.actions)),
            entry.image or "your own",
            "; ".join(entry.requires) or "-",
        )
    output.print_table(table)


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
    output.print_table(head)
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
        typer.echo()
        output.print_table(kinds)
    elif _works_on_datasets(entry):
        actions = Table("ACTION", "NEEDS", "PARAMETERS", box=None, pad_edge=False)
        for name, action in sorted(entry.actions.items()):
            needs = (("datasets.input", action.needs_input), ("output", action.needs_output))
            known = sorted(action.schema.names) if action.schema is not None else []
            actions.add_row(name, ", ".join(what for what, needed in needs if needed), ", ".join(known))
        typer.echo()
        output.print_table(actions)
    else:
        typer.echo(f"\nActions: {', '.join(sorted(entry.actions))}")


def _works_on_datasets(entry: Runtime) -> bool:
    return any(action.needs_input for action in entry.actions.values())
