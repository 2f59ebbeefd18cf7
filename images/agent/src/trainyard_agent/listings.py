"""What a source holds at one moment: the files that are pulled, and the digest that pins them.

Separate because the survey and the pull must come to the same digest, whatever the source. Made by the sources, called
by `surveying` and `pulling`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from trainyard_agent import safenames
from trainyard_agent.filters import chosen
from trainyard_agent.troubles import Trouble

#: The list is kept in memory, with about 500 bytes a file.
MOST_FILES = 250_000


class Entry(NamedTuple):
    """A file: its path in the dataset, its size, what changes when it does, and its SHA-256 where that is known."""

    path: str
    size: int
    version: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files by path. `single` is for a source that is one file; `unpack` for one that is an archive."""

    digest: str
    revision: str
    entries: tuple[Entry, ...]
    single: bool
    unpack: bool

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


class Collector:
    """Takes a source's files as they are listed. Raises Trouble where there are too many."""

    def __init__(self, *, place: str, filters: Iterable[str] = ()) -> None:
        self._place = place
        self._chosen = chosen(filters)
        self.entries: list[Entry] = []
        self.seen = 0

    def add(self, entry: Entry) -> None:
        self.seen += 1
        if not self._chosen(entry.path):
            return
        if len(self.entries) >= MOST_FILES:
            raise Trouble(
                "unsupported",
                f"{self._place} has more than {MOST_FILES:,} files: pack them into archives or larger files (parquet,"
                " WebDataset), or take a part of them with source.filters.",
            )
        self.entries.append(entry)


def pinned(
    collector: Collector,
    *,
    place: str,
    origin: str,
    revision: str,
    single: bool,
    unpack: bool,
    wanted: str = "",
) -> Listing:
    """The listing of what was collected. Raises Trouble: empty, hostile.

    `origin` tells sources apart: a version is told by the server, and two servers may well tell the same one. `wanted`
    is the SHA-256 that the source says: what was published without it, or by another, was never compared with it.
    """
    entries = tuple(sorted(collector.entries))
    if not entries:
        left_out = f" ({collector.seen} files there match none of source.filters)" if collector.seen else ""
        what = "source.filters" if collector.seen else "its address"
        raise Trouble("empty", f"There is nothing to pull at {place}{left_out}: check {what}.")
    for entry in entries:
        safenames.checked(entry.path)
    safenames.together(entry.path for entry in entries)
    said = {"origin": origin, "unpack": unpack, **({"sha256": wanted} if wanted else {})}
    digest = hashlib.sha256(json.dumps(said).encode())
    for entry in entries:
        digest.update(json.dumps(entry).encode())
    pin = digest.hexdigest()
    return Listing(digest=pin, revision=revision or pin[:12], entries=entries, single=single, unpack=unpack)
