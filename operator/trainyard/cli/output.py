"""Data for programs on stdout: JSON, YAML, names. What is said to people beside it goes to stderr.

Separate because every command that prints objects prints them in the same way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml

from trainyard.cli import kinds

Json = dict[str, Any]

# A pipe has no width.
_WIDE = 240


class Format(StrEnum):
    """Of one or several objects."""

    JSON = "json"
    YAML = "yaml"
    NAME = "name"


Output = Annotated[
    Format | None,
    typer.Option("-o", "--output", help="Print the objects for programs.", show_default=False),
]


def print_objects(objects: Sequence[Json], form: Format, *, as_list: bool = False) -> None:
    """One object as it is, several as a List, as kubectl does; without managedFields."""
    if form is Format.NAME:
        for one in objects:
            typer.echo(kinds.reference(one["kind"], one["metadata"]["name"], version=one["apiVersion"]))
        return
    shown = [without_managed_fields(one) for one in objects]
    whole = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": shown}
    print_data(shown[0] if len(shown) == 1 and not as_list else whole, form=form)


def print_data(found: Any, *, form: str) -> None:
    """As `json` or `yaml`."""
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if form == Format.YAML:
        # NB: by way of JSON, or shared parts would become anchors.
        text = yaml.safe_dump(json.loads(text), sort_keys=False, width=110, allow_unicode=True).rstrip()
    typer.echo(text)


def without_managed_fields(raw: Json) -> Json:
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    return {**raw, "metadata": metadata}


def print_table(table: Any) -> None:
    """A table of rich, without trailing blanks."""
    from rich.console import Console

    # NB: markup off, the texts are strangers'.
    wide = None if sys.stdout.isatty() else _WIDE
    console = Console(width=wide, markup=False, highlight=False, emoji=False)
    with console.capture() as text:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in text.get().splitlines()))
