"""A base model that is no job's: a file or a folder from a bucket, a hub or a web server.

Separate because it comes by what pulls datasets, onto the disk of the node instead of a volume. Called by `models`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from trainyard_agent import layout
from trainyard_agent.checkpoints import Broken, File
from trainyard_agent.contents import Contents
from trainyard_agent.dataorder import DataOrder, Source
from trainyard_agent.listings import Entry
from trainyard_agent.log import amount, say
from trainyard_agent.modellists import MOST_BYTES, read_list
from trainyard_agent.order import BaseModel
from trainyard_agent.patience import Patience
from trainyard_agent.progress import Progress
from trainyard_agent.sources import source_of
from trainyard_agent.staging import Staging
from trainyard_agent.transfer import Transfer
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import clear


def fetch(model: BaseModel, patience: Patience) -> tuple[str, int]:
    """Puts it into its folder; gives digest and bytes. What lies beside a list of artifacts is left where it is.

    Raises Broken, or Trouble.
    """
    source = source_of(_order(model), patience)
    listing = source.listing()
    clear(model.folder)
    staging = Staging(model.folder.parent, listing.digest)
    staging.open()
    try:
        contents = Contents(staging.scratch)

        def transfer(entries: Sequence[Entry], into: Contents) -> None:
            Transfer(source, staging=staging, contents=into, progress=Progress(), patience=patience).bring(
                entries
            )

        entries, digest = list(listing.entries), ""
        listed = None if listing.single else next((e for e in entries if e.path == layout.ARTIFACTS), None)
        if listed is not None:
            if listed.size > MOST_BYTES:
                raise Broken(f"{layout.ARTIFACTS} in {source.name} has more than {MOST_BYTES:,} bytes")
            transfer([listed], Contents(staging.scratch))
            data = (staging.files / layout.ARTIFACTS).read_bytes()
            digest, files = read_list(data, wanted=model.sha256, place=source.name)
            entries = _only(entries, files, place=source.name)
        elif len(entries) == 1 and model.sha256:
            entries = [entries[0]._replace(sha256=model.sha256)]
        size = sum(entry.size for entry in entries)
        check_room(staging.root, size - sum(staging.taken(entry) for entry in entries))
        say(f"Fetching {len(entries)} files, {amount(size)}, from {source.name} ...")
        transfer(entries, contents)
        digest = digest or digest_of(contents, model, place=source.name)
        staging.files.rename(model.folder)
        staging.remove()
    finally:
        staging.close()
    return digest, size


def check_room(folder: Path, missing: int) -> None:
    """Raises Trouble ("full") where the node's disk has less room than is missing."""
    room = shutil.disk_usage(folder).free
    if missing > room:
        why = f"{amount(missing)} are still to come, and there is room for {amount(room)}."
        say(why)
        raise Trouble("full", why)


def _order(model: BaseModel) -> DataOrder:
    source = Source(place=model.place, revision="", sha256="", file_type="", filters=(), files=())
    return DataOrder(
        namespace="",
        dataset="",
        source=source,
        volume=model.folder.parent,
        listing="",
        secret=model.secret,
        termination_log=Path(os.devnull),
    )


def _only(entries: Sequence[Entry], files: Sequence[File], *, place: str) -> list[Entry]:
    """The files that the list names, with the digests that it says. Raises Broken where one is not there."""
    there = {entry.path: entry for entry in entries}
    found = []
    for file in files:
        entry = there.get(file.path)
        if entry is None:
            raise Broken(f"{file.path} is not in {place}, and its {layout.ARTIFACTS} lists it")
        if entry.size != file.size:
            raise Broken(f"{file.path} in {place} has {entry.size} bytes and not {file.size}")
        found.append(entry._replace(sha256=file.sha256))
    return found


def digest_of(contents: Contents, model: BaseModel, *, place: str) -> str:
    """That of what has no list. Raises Broken where it is not the one that the model must have."""
    digest = contents.total().sha256
    if model.sha256 not in ("", digest):
        raise Broken(f"what lies in {place} has the SHA-256 {digest} and not {model.sha256}")
    return digest
