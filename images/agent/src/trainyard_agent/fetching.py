"""`trainyard-agent fetch`: before the trainer starts, whether to start at all, and what it goes on from.

Separate because it is an init container: what it says with its exit code decides for the whole pod. Called by
`__main__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainyard_agent import checkpoints, claims, layout
from trainyard_agent.bucket import Bucket
from trainyard_agent.checkpoints import Broken, Manifest
from trainyard_agent.claims import Claim, Resume
from trainyard_agent.log import amount, say
from trainyard_agent.order import Order
from trainyard_agent.receiving import receive
from trainyard_agent.stores import Store, read_json
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import Volume, clear, open_folder


class Complete(Exception):
    """The job has its result already, which is `result`."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("complete")
        self.result = result


def fetch(order: Order, *, store: Store | None, parent: Bucket | None) -> None:
    """Prepares the pod's folders. Raises Complete, or Trouble, whose kind is "fenced" after a later attempt."""
    order.resume_dir.mkdir(parents=True, exist_ok=True)
    if store is not None:
        _refuse_finished(order, store)
        resume = _claimed(order, store)
        if resume is not None:
            _bring(order, store, resume)
        else:
            say("There is no checkpoint to go on from: the training starts from its beginning.")
        open_folder(order.checkpoint_dir)
    if parent is not None:
        _bring_parent(order, parent)


def _refuse_finished(order: Order, store: Store) -> None:
    for uid in (order.uid, *order.origins):
        found = read_json(store, layout.result(uid))
        if found is not None:
            say(f"{store.name}/{layout.result(uid)} says that this job is complete: nothing is run again.")
            raise Complete(found)


def _claimed(order: Order, store: Store) -> Resume | None:
    """Claims the attempt, once for all its ranks, and gives what it goes on from."""
    _refuse_later(order, store)
    claim = claims.read(store, order.uid, order.attempt)
    if claim is None:
        claim = claims.write(store, order.uid, Claim(attempt=order.attempt, resume=_best(order, store)))
    # NB: once more, as the two could have begun at the same moment.
    _refuse_later(order, store)
    return claim.resume if order.resumable else None


def _refuse_later(order: Order, store: Store) -> None:
    later = claims.later_attempt(store, order.uid, order.attempt)
    if later is not None:
        raise Trouble(
            "fenced",
            f"Attempt {later} of this job has begun: attempt {order.attempt} does not start.",
            claimed=later,
        )


def _best(order: Order, store: Store) -> Resume | None:
    if not order.resumable:
        return None
    for candidate in claims.candidates(store, uid=order.uid, origins=order.origins, attempt=order.attempt):
        try:
            _look(store, candidate)
        except Broken as error:
            if candidate.epoch is not None:
                _set_aside(order, store, candidate, str(error))
            continue
        return candidate
    return None


def _set_aside(order: Order, store: Store, resume: Resume, why: str) -> None:
    say(f"The checkpoint of epoch {resume.epoch} of attempt {resume.attempt} is passed over: {why}.")
    claims.mark(store, uid=order.uid, resume=resume, why=why)


def _look(store: Store, resume: Resume) -> None:
    """Whether all parts seem to be there, without reading them. Raises Broken."""
    if resume.epoch is None:
        if not _whole(store, resume, rank=0):
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


def _manifest(store: Store, resume: Resume, *, rank: int) -> Manifest:
    assert resume.epoch is not None
    folder = layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank)
    data = store.read(f"{folder}/{layout.MANIFEST}")
    if data is None:
        raise Broken(f"the {layout.MANIFEST} of rank {rank} is missing")
    return checkpoints.read_manifest(data)


def _bring(order: Order, store: Store, claimed: Resume) -> None:
    """Puts what the claim says into the resume folder, or, where it is broken, what was before it."""
    for resume in _usable(order, store, claimed):
        clear(order.resume_dir)
        order.resume_dir.mkdir(parents=True)
        try:
            if not claims.is_listed(store, resume):
                raise Broken("it was removed in the meantime")
            if isinstance(store, Volume):
                _link(order, store, resume)
            elif isinstance(store, Bucket):
                _download(order, store, resume)
        except Broken as error:
            _set_aside(order, store, resume, str(error))
            if order.ranks > 1:
                raise Trouble(
                    "broken",
                    f"{str(resume).capitalize()} cannot be used: {error}. The next attempt goes on from the one"
                    " before.",
                ) from error
            continue
        say(f"The training goes on from {resume}.")
        return
    say("No checkpoint is left to go on from: the training starts from its beginning.")


def _usable(order: Order, store: Store, claimed: Resume) -> Iterator[Resume]:
    for resume in claims.after(store, uid=order.uid, resume=claimed):
        if resume.epoch is not None or _whole(store, resume, rank=0):
            yield resume


def _rank_of_part(order: Order, store: Store, resume: Resume) -> int:
    """Whose part this rank goes on from: its own, or rank 0's where that is the whole checkpoint."""
    if resume.epoch is None:
        return order.rank if _whole(store, resume, rank=order.rank) else 0
    world = _manifest(store, resume, rank=0).world
    return order.rank if order.rank < world else 0


def _whole(store: Store, resume: Resume, *, rank: int) -> bool:
    """Whether a trainer without manifests has left anything. Of a bucket, the list that is written last counts."""
    folder = layout.checkpoints(resume.uid, resume.attempt, rank=rank)
    names = store.names(folder)
    if isinstance(store, Volume):
        return any(not _is_ours(name) and not layout.epoch_of(name) for name in names)
    return layout.WHOLE in names


def _is_ours(name: str) -> bool:
    return name in (layout.INDEX, layout.WHOLE)


def _link(order: Order, store: Volume, resume: Resume) -> None:
    rank = _rank_of_part(order, store, resume)
    if resume.epoch is None:
        folder = store.path(layout.checkpoints(resume.uid, resume.attempt, rank=rank))
        for path in folder.iterdir():
            if not _is_ours(path.name):
                (order.resume_dir / path.name).symlink_to(path)
        return
    folder = store.path(layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank))
    checkpoints.verify(folder, _manifest(store, resume, rank=rank))
    (order.resume_dir / folder.name).symlink_to(folder)


def _download(order: Order, store: Bucket, resume: Resume) -> None:
    rank = _rank_of_part(order, store, resume)
    if resume.epoch is None:
        source = layout.checkpoints(resume.uid, resume.attempt, rank=rank)
        _receive(store, source=source, listing=layout.WHOLE, to=order.resume_dir)
        return
    source = layout.epoch(resume.uid, resume.attempt, resume.epoch, rank=rank)
    data = store.read(f"{source}/{layout.MANIFEST}")
    manifest = _manifest(store, resume, rank=rank)
    say(f"Fetching {resume}: {len(manifest.files)} files, {amount(manifest.size)} ...")
    final = order.resume_dir / layout.epoch_name(resume.epoch)
    temporary = final.with_name(f".{final.name}.tmp")
    temporary.mkdir()
    receive(store, manifest.files, source=source, to=temporary)
    (temporary / layout.MANIFEST).write_bytes(data or b"")
    temporary.rename(final)


def _receive(bucket: Bucket, *, source: str, listing: str, to: Path) -> bool:
    """Fetches what a list in the folder `source` names. False where there is no such list."""
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


def _bring_parent(order: Order, parent: Bucket) -> None:
    order.parent_dir.mkdir(parents=True, exist_ok=True)
    try:
        if _receive(parent, source="", listing=layout.ARTIFACTS, to=order.parent_dir):
            return
        why = f"{parent.name} holds no {layout.ARTIFACTS}"
    except Broken as error:
        why = str(error)
    raise Trouble(
        "broken", f"The artifacts of the parent job cannot be used: {why}. Run the parent job again."
    )
