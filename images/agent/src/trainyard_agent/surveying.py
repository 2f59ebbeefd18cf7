"""`trainyard-agent survey`: what a source holds now, pinned by a digest.

Separate from the pull because the volume is made after it, in the size that it finds. Called by `__main__`.
"""

from __future__ import annotations

import io
from typing import Any

from trainyard_agent import zips
from trainyard_agent.dataorder import DataOrder
from trainyard_agent.listings import Entry, Listing
from trainyard_agent.log import amount, say
from trainyard_agent.patience import Patience
from trainyard_agent.sources import Source, source_of

#: How long a source is borne that does not answer.
TOLERANCE_SECONDS = 300.0
#: The list at the end of a zip archive that is read for the sizes in it.
_MOST_OF_ZIP = 32 << 20
_BUFFER = 256 << 10


def survey(order: DataOrder) -> dict[str, Any]:
    """What the pod's last word says. Raises Trouble."""
    patience = Patience(tolerance=TOLERANCE_SECONDS)
    source = source_of(order, patience)
    listing = source.listing()
    say(f"{source.name} has {len(listing.entries)} files, {amount(listing.bytes)}.")
    return {
        "listing": listing.digest,
        "revision": listing.revision,
        "bytes": listing.bytes,
        "files": len(listing.entries),
        "archive": listing.unpack,
        "unpackedBytes": _unpacked(source, listing) if listing.unpack else None,
    }


def _unpacked(source: Source, listing: Listing) -> int | None:
    """The size of what is in the archive, where that is known without reading all of it: of tar and zip."""
    (entry,) = listing.entries
    name = entry.path.lower()
    if name.endswith(".tar"):
        return entry.size
    if not name.endswith(".zip") or not source.reads_ranges(entry):
        return None
    try:
        ranges = _Ranges(source, entry)
        return zips.unpacked_bytes(io.BufferedReader(ranges, _BUFFER))
    except Exception as error:
        # NB: only a hint for the volume's size; what is wrong with the archive is told when it is unpacked.
        say(f"The size of what is in {entry.path} is not known beforehand ({type(error).__name__}: {error}).")
        return None


class _Ranges(io.RawIOBase):
    """A file at the source, to be read from any place."""

    def __init__(self, source: Source, entry: Entry) -> None:
        self._source = source
        self._entry = entry
        self._at = 0
        self._left = _MOST_OF_ZIP

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        end = min(self._at + len(view), self._entry.size)
        if end <= self._at:
            return 0
        self._left -= end - self._at
        if self._left < 0:
            raise ValueError("its list of files is too long")
        data = b"".join(self._source.read(self._entry, self._at, end))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
