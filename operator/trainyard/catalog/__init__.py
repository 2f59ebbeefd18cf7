"""The runtime catalogue: which image, command and actions serve a type or an architecture.

Separate because entries are data that a release or the settings change without code. They are checked at start; a
wrong one ends it with the file's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from trainyard.planning.runtime import Runtime, RuntimeAction


class CatalogError(ValueError):
    """An entry of the catalogue is wrong."""


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid")

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    image: str
    architectures: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    actions: dict[str, _Action]


def load(images: Mapping[str, str]) -> tuple[Runtime, ...]:
    """All entries, sorted by name; `images` (settings) replaces the image of an entry by its name.

    Raises CatalogError for an entry that is wrong and for an image that is for no entry.
    """
    found: dict[str, Runtime] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            runtime = _runtime(file.name, yaml.safe_load(file.read_text(encoding="utf-8")), images)
            found[runtime.name] = runtime
    unknown = sorted(set(images) - set(found))
    if unknown:
        raise CatalogError(f"settings images: no catalogue entry is named {', '.join(unknown)}.")
    return tuple(found[name] for name in sorted(found))


def _runtime(file: str, raw: Any, images: Mapping[str, str]) -> Runtime:
    try:
        entry = _Entry.model_validate(raw)
    except ValidationError as error:
        raise CatalogError(f"Catalogue entry {file}: {error}") from error
    return Runtime(
        name=entry.name,
        image=images.get(entry.name, entry.image),
        architectures=entry.architectures,
        types=entry.types,
        actions={
            name: RuntimeAction(command=action.command, args=action.args)
            for name, action in entry.actions.items()
        },
    )
