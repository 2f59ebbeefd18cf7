"""Which files a download is made of, from what lies in the store.

Separate and free of I/O because everything here is text of strangers: a manifest is written by a trainer's pod, and
its paths become paths on the user's machine. Called by `download`.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from trainyard.cli.exits import CommandError
from trainyard.cli.reading import printable

Json = dict[str, Any]

ARTIFACTS = "artifacts.json"
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"
#: What a trainer without manifests has left in its checkpoint folder.
WHOLE = "files.json"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_PATH = 4096
_MOST_NAME = 255
_MOST_RANKS = 100_000


@dataclass(frozen=True, kw_only=True)
class File:
    """One file: where it goes below the user's folder, where it lies below the job's, and what it must be."""

    path: str
    source: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A manifest that has been read already, to be kept beside what it lists."""

    path: str
    content: str


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def listed(text: str, *, what: str, source: str, under: str = "") -> list[File]:
    """The files of a manifest that lies in the folder `source` of the store; they go into `under` of the user's.

    Raises CommandError for one that is broken, or that would write anywhere else.
    """
    files = []
    entries = _object(text, what).get("files")
    for entry in entries if isinstance(entries, list) else [None]:
        path, size, sha256 = (
            (entry.get("path"), entry.get("size"), entry.get("sha256"))
            if isinstance(entry, dict)
            else (None,) * 3
        )
        if (
            not isinstance(path, str)
            or not isinstance(sha256, str)
            or not _DIGEST.fullmatch(sha256)
            or not isinstance(size, int)
            or isinstance(size, bool)
            or size < 0
        ):
            raise CommandError(f"{what} is broken: an entry is not a path with a size and a sha256.")
        if (why := unsafe(path)) is not None:
            raise CommandError(
                f"{what} names the file {printable(path)[:200]!r}, {why}. Nothing was downloaded; such a name must not "
                "be trusted."
            )
        files.append(File(path=_joined(under, path), source=_joined(source, path), size=size, sha256=sha256))
    return files


def unsafe(path: str) -> str | None:
    """Why a path of a manifest must not become a path on this machine; None for one that stays in its folder."""
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).anchor:
        return "which is absolute"
    if "\\" in path or any(not c.isprintable() for c in path):
        return "which has characters that no file of a download may have"
    parts = path.split("/")
    if ".." in parts:
        return "which leads out of the folder"
    if "" in parts or "." in parts:
        return "which is no plain path"
    if len(path) > _MOST_PATH or any(len(part.encode()) > _MOST_NAME for part in parts):
        return "which is too long"
    return None


def checked(files: Sequence[File], texts: Sequence[Text] = ()) -> None:
    """Raises CommandError when two would be written to the same place, or one is a folder of another."""
    seen: set[str] = set()
    folders: set[str] = set()
    for path in [*(file.path for file in files), *(text.path for text in texts)]:
        if path in seen:
            raise CommandError(f"The manifest lists {path} twice; nothing was downloaded.")
        seen.add(path)
        folders |= {str(parent) for parent in PurePosixPath(path).parents}
    if both := sorted(seen & folders):
        raise CommandError(f"The manifest lists {both[0]} as a file and as a folder; nothing was downloaded.")


def chosen(files: Sequence[File], patterns: Sequence[str]) -> list[File]:
    """Those whose path, or whose name, is matched by any of the patterns; all without patterns."""
    if not patterns:
        return list(files)
    return [
        file
        for file in files
        if any(
            fnmatch.fnmatchcase(file.path, pattern)
            or fnmatch.fnmatchcase(file.path.rpartition("/")[2], pattern)
            for pattern in patterns
        )
    ]


def rank_folder(rank: int) -> str:
    """What the files of a rank lie in, below those of rank 0."""
    return f"rank-{rank}" if rank else ""


def by_rank(found: Mapping[str, Any]) -> dict[int, str]:
    """The manifests in an answer, in the order of ranks."""
    texts = {int(rank): text for rank, text in found.items() if rank.isdecimal() and isinstance(text, str)}
    return dict(sorted(texts.items()))


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """A checkpoint that an index lists."""

    number: int
    sha256: str

    @property
    def folder(self) -> str:
        return f"{CHECKPOINTS}/epoch-{self.number:06d}"


def epochs(index: str | None) -> list[Epoch]:
    """The checkpoints of an index, the oldest first; none without one. Raises CommandError for a broken one."""
    if index is None:
        return []
    found = []
    for entry in _object(index, "The index of checkpoints").get("checkpoints") or []:
        number, sha256 = (
            (entry.get("epoch"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        )
        if (
            not isinstance(number, int)
            or isinstance(number, bool)
            or number < 0
            or not isinstance(sha256, str)
        ):
            raise CommandError("The index of checkpoints is broken: an entry is not an epoch with a sha256.")
        found.append(Epoch(number=number, sha256=sha256))
    return sorted(found, key=lambda one: one.number)


def parts(manifest: str, *, what: str) -> int:
    """Of how many ranks a checkpoint is made; 1 where its manifest says nothing of it."""
    ranks = _object(manifest, what).get("worldSize", 1)
    if not isinstance(ranks, int) or isinstance(ranks, bool) or not 1 <= ranks <= _MOST_RANKS:
        raise CommandError(f"{what} is broken: its worldSize is no number of ranks.")
    return ranks


def total(files: Iterable[File]) -> int:
    """Bytes."""
    return sum(file.size for file in files)


def _object(text: str, what: str) -> Json:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CommandError(f"{what} is broken: it is no JSON object.")
    return found


def _joined(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path
