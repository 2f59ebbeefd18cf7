"""What is known of an archive's entry, whatever the archive's format, and why an archive is refused.

Separate because the readers of tar and zip tell, and only `unpacking` decides and writes. Called by these three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainyard_agent.safenames import shown
from trainyard_agent.troubles import Kind

#: No data set has more files; what claims to have is made to fill memory, or a disk with empty files.
MOST_ENTRIES = 10_000_000
#: What deflate makes of nothing but zeros is 1,030 times smaller, of real data hardly ever 100 times.
MOST_RATIO = 500
#: Small archives may be of zeros alone.
HARMLESS_BYTES = 64 << 20
#: Bytes that are handed on at once.
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A folder, or a file of `size` bytes, which `blocks` gives. Take all of them before the next entry."""

    name: str
    folder: bool
    size: int
    blocks: Iterator[bytes]


class Refused(Exception):
    """Why an archive is not unpacked: the rest of a sentence that begins with its name."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def damaged(what: str) -> Refused:
    return Refused("broken", f"is damaged or cut off ({what}): pack it anew, or upload it again")


def no_plain_file(name: str, what: str) -> Refused:
    """Of links, devices and the like."""
    return Refused(
        "hostile",
        f"is refused: {shown(name)} is {what}, and only files and folders are unpacked. Pack the files themselves"
        " (tar --dereference, zip without --symlinks)",
    )


def too_many() -> Refused:
    return Refused("hostile", f"is refused: it has more than {MOST_ENTRIES:,} entries")


def check_ratio(unpacked: int, packed: int) -> None:
    """Raises Refused for a bomb."""
    if unpacked > HARMLESS_BYTES and unpacked > MOST_RATIO * packed:
        raise Refused(
            "hostile",
            f"is refused as a bomb: {packed:,} bytes of it become more than {MOST_RATIO} times as many. If that is"
            " what the data is like, give it as files, not as an archive",
        )
