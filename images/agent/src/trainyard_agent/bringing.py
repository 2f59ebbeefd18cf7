"""Checking a checkpoint where it is stored, and putting it where a trainer finds it: a link to a volume, or a copy from
a bucket.

Separate because a job's own checkpoints and its parent's are brought alike. Called by `fetching` and `handing`.
"""

from __future__ import annotations

from pathlib import Path

from trainyard_agent import checkpoints, layout
from trainyard_agent.bucket import Bucket
from trainyard_agent.checkpoints import Broken, Manifest
from trainyard_agent.claims import Resume
from trainyard_agent.log import amount, say
from trainyard_agent.receiving import receive
from trainyard_agent.stores import Store, home, read_json
from trainyard_agent.volume import Volume, clear


def look(store: Store, resume: Resume) -> None:
    """Whether all parts seem to be there, without reading them. Raises Broken."""
    if resume.epoch is None:
        if not is_whole(store, resume, rank=0):
            raise Broken("nothing was left")
        return
    first = _manifest(store, resume, rank=0)
    for rank in range(first.world):
        folder = layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank)
        manifest = first if rank == 0 else _manifest(store, resume, rank=rank)
        sizes = store.sizes(folder)
        for file in manifest.files:
            if sizes.get(file.path) != file.size:
                raise Broken(f"{file.path} of rank {rank} is missing or of another size")


def is_whole(store: Store, resume: Resume, *, rank: int) -> bool:
    """Whether a trainer without manifests has left anything. Of a bucket, the list that is written last counts."""
    folder = layout.checkpoints(resume.uid, resume.attempt, rank=rank)
    names = store.names(folder)
    if isinstance(home(store, resume.uid), Volume):
        return any(not _is_ours(name) and not layout.epoch_of(name) for name in names)
    return layout.WHOLE in names


def bring(store: Store, resume: Resume, *, rank: int, to: Path) -> None:
    """Puts this rank's part of a checkpoint, its digests checked, into the folder `to`, which is emptied before.

    Raises Broken.
    """
    _empty(to)
    there = home(store, resume.uid)
    try:
        if isinstance(there, Volume):
            _link(there, resume, rank=rank, to=to)
        elif isinstance(there, Bucket):
            _download(there, resume, rank=rank, to=to)
    except Broken:
        # NB: a trainer takes what it finds there, and a part of it may be there by now.
        _empty(to)
        raise


def receive_listed(bucket: Bucket, *, source: str, listing: str, to: Path) -> bool:
    """Fetches what a list in the folder `source` names. False where there is no such list. Raises Broken."""
    path = f"{source}/{listing}" if source else listing
    said = read_json(bucket, path)
    if said is None:
        return False
    try:
        files = checkpoints.file_list(said)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Broken(f"{path} cannot be read ({error})") from error
    say(f"Fetching {len(files)} files, {amount(sum(file.size for file in files))}, from {bucket.name} ...")
    receive(bucket, files, source=source, to=to)
    return True


def _manifest(store: Store, resume: Resume, *, rank: int) -> Manifest:
    assert resume.epoch is not None
    folder = layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank)
    data = store.read(f"{folder}/{layout.MANIFEST}")
    if data is None:
        raise Broken(f"the {layout.MANIFEST} of rank {rank} is missing")
    return checkpoints.read_manifest(data)


def _rank_of_part(store: Store, resume: Resume, *, rank: int) -> int:
    """Whose part a rank goes on from: its own, or rank 0's where that is the whole checkpoint."""
    if resume.epoch is None:
        return rank if is_whole(store, resume, rank=rank) else 0
    return rank if rank < _manifest(store, resume, rank=0).world else 0


def _empty(folder: Path) -> None:
    clear(folder)
    folder.mkdir(parents=True)


def _is_ours(name: str) -> bool:
    return name in (layout.INDEX, layout.WHOLE)


def _link(store: Volume, resume: Resume, *, rank: int, to: Path) -> None:
    rank = _rank_of_part(store, resume, rank=rank)
    if resume.epoch is None:
        folder = store.path(layout.checkpoints(resume.uid, resume.attempt, rank=rank))
        for path in folder.iterdir():
            if not _is_ours(path.name):
                (to / path.name).symlink_to(path)
        return
    folder = store.path(layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank))
    checkpoints.verify(folder, _manifest(store, resume, rank=rank))
    (to / folder.name).symlink_to(folder)


def _download(store: Bucket, resume: Resume, *, rank: int, to: Path) -> None:
    rank = _rank_of_part(store, resume, rank=rank)
    if resume.epoch is None:
        source = layout.checkpoints(resume.uid, resume.attempt, rank=rank)
        receive_listed(store, source=source, listing=layout.WHOLE, to=to)
        return
    source = layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank)
    data = store.read(f"{source}/{layout.MANIFEST}")
    manifest = _manifest(store, resume, rank=rank)
    say(f"Fetching {resume}: {len(manifest.files)} files, {amount(manifest.size)} ...")
    final = to / layout.epoch_name(resume.epoch)
    temporary = final.with_name(f".{final.name}.tmp")
    temporary.mkdir()
    receive(store, manifest.files, source=source, to=temporary)
    (temporary / layout.MANIFEST).write_bytes(data or b"")
    temporary.rename(final)
