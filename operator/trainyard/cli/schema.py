"""`trainyard schema`: what may stand in spec.parameters, as JSON schema with the catalogue's defaults and ranges."""

from __future__ import annotations

from typing import Any

import click

from trainyard.cli import known_runtimes
from trainyard.planning.runtime import Runtime, RuntimeAction, Unresolved, choose, named

Json = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schema")
@click.argument("what", metavar="ARCHITECTURE|TYPE|RUNTIME")
@click.argument("action")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="json", show_default=True)
@known_runtimes.options
def command(
    *,
    entries: tuple[Runtime, ...],
    what: str,
    action: str,
    output: str,
) -> None:
    """Print the JSON schema of the parameters of ACTION, with the catalogue's defaults."""
    found = _find(what, action, entries)
    if isinstance(found, Unresolved):
        raise click.ClickException(found.message)
    known_runtimes.print_data(with_defaults(*found), output=output)


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
