"""The runtime catalogue: which image, command, actions and parameters serve a type or an architecture.

Separate because entries are data that a release or an administrator changes without code. They are read once, at
start; a wrong one ends it with the file and the key named. Called by `trainyard.app` and by the commands
`runtimes` and `schema`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from trainyard.catalog.entries import CatalogError, read
from trainyard.planning.nearest import hint
from trainyard.planning.runtime import Runtime

__all__ = ["CatalogError", "built_in", "load", "texts", "with_files"]

logger = logging.getLogger(__name__)


def load(images: Mapping[str, str], folders: Sequence[str] = ()) -> tuple[Runtime, ...]:
    """All entries, sorted by name: those of the release and, over them, those of the folders.

    `images` (settings) replaces the image of an entry by its name. Raises CatalogError for an entry that is
    wrong, a folder that cannot be read, and an image that is for no entry.
    """
    added: dict[str, str] = {}
    for folder in folders:
        for name, text in texts(folder).items():
            if name in added:
                raise CatalogError(
                    f"Catalogue folder {folder}: there is a file {name} in another folder already."
                )
            added[name] = text
    entries = with_files(added)
    names = [entry.name for entry in entries]
    for name in images:
        if name not in names:
            raise CatalogError(
                f"settings images.{name}: no catalogue entry has this name: {hint(name, names)}"
            )
    return tuple(dataclasses.replace(entry, image=images.get(entry.name, entry.image)) for entry in entries)


def with_files(files: Mapping[str, str]) -> tuple[Runtime, ...]:
    """The release's entries and, over them, those in files given as name to text. Raises CatalogError."""
    ours = built_in()
    theirs = [dataclasses.replace(entry, own=True) for entry in read(files)]
    _refuse_two_for_one(theirs)
    replaced = {entry.name for entry in theirs} & {entry.name for entry in ours}
    for name in sorted(replaced):
        logger.info(
            "Catalogue: your entry %s replaces the one of that name that comes with the release", name
        )
    kept = [entry for entry in ours if entry.name not in replaced]
    for entry in theirs:
        for other in kept:
            for kind, action in _served(entry) & _served(other):
                logger.info(
                    "Catalogue: your entry %s does %s of %s, not %s", entry.name, action, kind, other.name
                )
    return tuple(sorted([*theirs, *kept], key=lambda entry: entry.name))


@cache
def built_in() -> tuple[Runtime, ...]:
    """The entries that come with the release."""
    files = {
        file.name: file.read_text(encoding="utf-8")
        for file in resources.files(__name__).iterdir()
        if file.is_file() and not file.name.startswith("_")
    }
    entries = read(files)
    _refuse_two_for_one(entries)
    return entries


def texts(folder: str) -> dict[str, str]:
    """The files of a folder by name, but those with a leading dot: a mounted ConfigMap has some of its own.

    Raises CatalogError for a folder that cannot be read.
    """
    try:
        return {
            file.name: file.read_text(encoding="utf-8")
            for file in sorted(Path(folder).iterdir())
            if file.is_file() and not file.name.startswith(".")
        }
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"Catalogue folder {folder} cannot be read: {error}") from error


def _served(entry: Runtime) -> set[tuple[str, str]]:
    return {(kind, action) for kind in entry.kinds for action in entry.actions_of(kind)}


def _refuse_two_for_one(entries: Iterable[Runtime]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for entry in entries:
        for kind, action in sorted(_served(entry)):
            other = seen.setdefault((kind, action), entry.name)
            if other != entry.name:
                raise CatalogError(
                    f"Catalogue entries {other} and {entry.name} both do {action} of {kind}: take it out of one."
                )
