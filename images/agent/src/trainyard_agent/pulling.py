"""`trainyard-agent pull`: brings a dataset to its volume, where it appears whole or not at all.

Separate because it is the order of the steps, each of which can be the last before a kill. Called by `__main__`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainyard_agent.contents import Contents
from trainyard_agent.dataorder import DataOrder
from trainyard_agent.listings import Listing
from trainyard_agent.log import amount, say
from trainyard_agent.patience import Patience
from trainyard_agent.progress import Progress
from trainyard_agent.publishing import Published, publish, published
from trainyard_agent.sources import source_of
from trainyard_agent.staging import Staging, local
from trainyard_agent.surveying import TOLERANCE_SECONDS
from trainyard_agent.transfer import Transfer
from trainyard_agent.troubles import Trouble
from trainyard_agent.unpacking import unpack
from trainyard_agent.volume import clear


def pull(order: DataOrder, progress: Progress) -> dict[str, Any]:
    """What the container's last word says. `progress` is told how far it is. Raises Trouble."""
    record = _pulled(order, progress)
    return {**asdict(record), "pulled": progress.pulled}


def _pulled(order: DataOrder, progress: Progress) -> Published:
    with local(order.volume):
        present = published(order.volume)
    if present is not None and order.listing and present.listing == order.listing:
        say("This data is on the volume already.")
        # NB: of a puller that was killed just after it had published.
        Staging(order.volume, order.listing).remove()
        return present
    patience = Patience(tolerance=TOLERANCE_SECONDS)
    source = source_of(order, patience)
    listing = source.listing()
    if order.listing and listing.digest != order.listing:
        raise Trouble("changed", f"{source.name} has changed since it was surveyed.")
    staging = Staging(order.volume, listing.digest)
    staging.open()
    try:
        # NB: once more, as another puller may have been at work until now.
        with local(order.volume):
            present = published(order.volume)
        if present is None or present.listing != listing.digest:
            contents = Contents(staging.scratch)
            progress.begin(total_bytes=listing.bytes, total_files=len(listing.entries))
            _check_room(staging, listing)
            say(f"Pulling {len(listing.entries)} files, {amount(listing.bytes)}, from {source.name} ...")
            transfer = Transfer(
                source, staging=staging, contents=contents, progress=progress, patience=patience
            )
            transfer.bring(listing.entries)
            progress.tell()
            present = _published(order, listing, staging, contents)
        staging.remove()
    finally:
        staging.close()
    return present


def _published(order: DataOrder, listing: Listing, staging: Staging, contents: Contents) -> Published:
    wanted, staged = order.source.sha256, staging.files
    with local(order.volume):
        digest = contents.total().sha256
        if listing.unpack:
            staged, contents = _unpacked(listing, staging)
        if wanted and wanted != digest and wanted != contents.total().sha256:
            raise Trouble(
                "mismatch",
                f"{order.source.name} has the SHA-256 {digest} and not {wanted}, as source.sha256 says: either the"
                " source has other data, or that digest is wrong.",
            )
        return publish(order.volume, staged, listing=listing.digest, contents=contents)


def _unpacked(listing: Listing, staging: Staging) -> tuple[Path, Contents]:
    (entry,) = listing.entries
    into, contents = staging.root / "unpacked", Contents(staging.scratch)
    # NB: before its room is measured.
    clear(into)
    say(f"Unpacking {entry.path} ...")
    unpack(
        staging.files / entry.path,
        into,
        name=entry.path,
        max_bytes=staging.room(),
        contents=contents,
    )
    return into, contents


def _check_room(staging: Staging, listing: Listing) -> None:
    """NB: what an earlier run has brought takes its room already, also of files that are not whole."""
    missing = sum(
        entry.size - staging.taken(entry) for entry in listing.entries if staging.finished(entry) is None
    )
    if missing > (room := staging.room()):
        raise Trouble(
            "full",
            f"The volume has room for {amount(room)}, but {amount(missing)} are still to come: raise spec.cache.size.",
        )
