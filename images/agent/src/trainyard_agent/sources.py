"""What `survey` and `pull` ask of a source, whatever it is, and which one an order names.

Separate because only here all kinds of sources are known. Called by `surveying` and `pulling`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from trainyard_agent.dataorder import DataOrder
from trainyard_agent.listings import Entry, Listing
from trainyard_agent.patience import Patience
from trainyard_agent.troubles import Trouble

#: What `read` gives at once, so that memory is bounded.
CHUNK_BYTES = 1 << 20

_OBJECTS = ("s3", "gs", "abfs")


class Source(Protocol):
    """Asked in many threads at once. Its methods raise Trouble for what no other attempt can help."""

    #: What users call it.
    name: str

    def listing(self) -> Listing:
        """The files, after filters. It has tried again by itself."""

    def read(self, entry: Entry, start: int, end: int) -> Generator[bytes]:
        """The bytes of a file, in chunks, from `start` to before `end`. It is one attempt."""

    def reads_ranges(self, entry: Entry) -> bool:
        """Whether a file can be read from its middle."""

    def refused(self) -> None:
        """Called before another attempt after a refusal: it reads the Secret again."""


def source_of(order: DataOrder, patience: Patience) -> Source:
    """The order's source. Raises Trouble ("unsupported") for a kind that is not pulled."""
    place = order.source.place
    kind = place.uri.partition(":")[0]
    if order.source.files or kind in ("https", "http"):
        from trainyard_agent.websource import WebSource

        return WebSource(order, patience)
    if kind == "hf":
        from trainyard_agent.hubsource import HubSource

        return HubSource(order, patience)
    if kind in _OBJECTS:
        from trainyard_agent.objectsource import ObjectSource

        return ObjectSource(order, patience)
    if kind == "pvc":
        why = "a claim is mounted as it is, and nothing is pulled"
    elif kind == "ngc":
        why = "NVIDIA's registry is not read; copy it to a bucket, or give its https:// address"
    else:
        why = "the kinds that are pulled are s3://, gs://, abfs://, hf:// and https://"
    raise Trouble("unsupported", f"{order.source.name} cannot be pulled: {why}.")
