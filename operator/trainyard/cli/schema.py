"""`trainyard schema`: what may stand in spec.parameters, as JSON schema with the catalogue's defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from trainyard.cli import catalogues, connection, output
from trainyard.cli.connection import Where
from trainyard.cli.exits import CommandError
from trainyard.planning.runtime import Runtime, RuntimeAction, Unresolved, choose, named

Json = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def command(
    what: Annotated[str, typer.Argument(metavar="ARCHITECTURE|TYPE|RUNTIME", show_default=False)],
    action: Annotated[str, typer.Argument(show_default=False)],
    form: Annotated[Literal["json", "yaml"], typer.Option("-o", "--output")] = "json",
    folders: catalogues.Folders = None,
    cluster: catalogues.Cluster = False,
    operator_namespace: catalogues.OperatorNamespace = connection.OPERATOR_NAMESPACE,
    context: connection.Context = None,
    kubeconfig: connection.Kubeconfig = None,
) -> None:
    """Print the JSON schema of the parameters of ACTION, with the catalogue's defaults."""
    where = Where(namespace=operator_namespace, context=context, kubeconfig=kubeconfig)
    found = _find(what, action, catalogues.load(folders, where if cluster else None))
    if isinstance(found, Unresolved):
        raise CommandError(found.message)
    output.print_data(with_defaults(*found), form=form)


def _find(what: str, action: str, entries: tuple[Runtime, ...]) -> tuple[Runtime, RuntimeAction] | Unresolved:
    if any(what in entry.kinds for entry in entries) or not any(what == entry.name for entry in entries):
        return choose(what, action, entries)
    return named(what, action, entries)


def with_defaults(entry: Runtime, action: RuntimeAction) -> Json:
    """The action's schema with the entry's defaults and ranges in their places; any object where it has none."""
    raw: Json = action.schema.raw if action.schema is not None else {}
    if not raw:
        raw = {"type": "object", "description": f"Runtime {entry.name} takes any parameters for this action."}
    filled = _filled(raw, action.defaults)
    said = action.schema.tunable if action.schema is not None else {}
    for name, found in sorted(action.tunable.items()):
        if said.get(name) != found:
            filled = _with_range(filled, name.split("."), found)
    return {"$schema": _DIALECT, **filled}


def _filled(schema: Json, defaults: Any) -> Json:
    properties = dict(schema.get("properties") or {})
    for name, value in defaults.items():
        rule = properties.get(name)
        rule = dict(rule) if isinstance(rule, dict) else {}
        nested = isinstance(value, dict) and isinstance(rule.get("properties"), dict)
        properties[name] = _filled(rule, value) if nested else {**rule, "default": value}
    return {**schema, "properties": properties} if properties else dict(schema)


def _with_range(schema: Json, name: list[str], found: Json) -> Json:
    """The schema with an `x-tunable` for a property that may be nested and need not be listed."""
    properties = dict(schema.get("properties") or {})
    rule = properties.get(name[0])
    rule = dict(rule) if isinstance(rule, dict) else {}
    properties[name[0]] = (
        _with_range(rule, name[1:], found) if len(name) > 1 else {**rule, "x-tunable": found}
    )
    return {**schema, "properties": properties}
