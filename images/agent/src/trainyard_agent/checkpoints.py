"""Checkpoint folders: which are closed, and whether they are what their manifest says.

Separate because the format is the contract with trainers (docs/trainer-contract.md, "Checkpoints"). Called by
`following`, which brings them to the store, and by `fetching`, which brings them back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trainyard_agent import layout
from trainyard_agent.reading import Changed, Gone, sha256_of, unreadable
from trainyard_agent.trees import Local


class Broken(Exception):
    """A checkpoint is not what its manifest says; the message says in what."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One entry of a manifest."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a closed checkpoint says of itself: one part of it where `world` is more than 1."""

    epoch: int
    step: int
    world: int
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def read_manifest(data: bytes) -> Manifest:
    """Raises Broken."""
    try:
        said = json.loads(data)
        return Manifest(
            epoch=int(said["epoch"]),
            step=int(said.get("step") or 0),
            world=max(1, int(said.get("worldSize") or 1)),
            files=file_list(said),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Broken(f"its {layout.MANIFEST} cannot be read ({type(error).__name__}: {error})") from error


def file_list(said: Mapping[str, Any]) -> tuple[File, ...]:
    """The `files` of a manifest. Raises ValueError for paths that leave its folder."""
    files = tuple(
        File(path=str(entry["path"]), size=int(entry["size"]), sha256=str(entry["sha256"]))
        for entry in said["files"]
    )
    for file in files:
        path = PurePosixPath(file.path)
        if not path.parts or path.is_absolute() or ".." in path.parts or path.as_posix() != file.path:
            raise ValueError(f"{file.path!r} is no path inside the folder")
    return files


def closed(folder: Path) -> dict[int, Path]:
    """The closed checkpoints in a folder, by epoch. It costs one listing, and a look at each of them."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise unreadable(folder) from error
    return {
        epoch: Path(entry.path)
        for entry in entries
        if (epoch := layout.epoch_of(entry.name)) is not None
        and os.path.exists(os.path.join(entry.path, layout.MANIFEST))
    }


def local_files(folder: Path, manifest: Manifest) -> list[Local]:
    """The files that a manifest names. Raises Broken where one is not there or of another size.

    Whether it is what the manifest says besides, whoever reads it finds out.
    """
    top = folder.resolve()
    found = []
    for file in manifest.files:
        path = folder / file.path
        if not path.resolve().is_relative_to(top):
            raise Broken(f"{file.path} is a link that leaves the folder")
        if not path.is_file():
            raise Broken(f"{file.path} is missing")
        if (size := path.stat().st_size) != file.size:
            raise Broken(f"{file.path} has {size} bytes instead of {file.size}")
        found.append(Local(path=path, name=file.path, size=file.size))
    return found


def compare(manifest: Manifest, digests: Mapping[str, str]) -> None:
    """Raises Broken where a file's SHA-256 is not the manifest's."""
    for file in manifest.files:
        if digests.get(file.path) != file.sha256:
            raise Broken(f"{file.path} has another SHA-256 than its manifest says")


def verify(folder: Path, manifest: Manifest) -> None:
    """Reads all files of a checkpoint. Raises Broken."""
    try:
        compare(manifest, {file.name: sha256_of(file.path) for file in local_files(folder, manifest)})
    except (Changed, Gone) as error:
        raise Broken(str(error)) from error
