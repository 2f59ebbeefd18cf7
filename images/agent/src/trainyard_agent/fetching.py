"""`trainyard-agent fetch`: before the trainer starts, whether to start at all, and what it goes on from.

Separate because it is an init container: what it says with its exit code decides for the whole pod. Called by
`__main__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainyard_agent import bringing, claims, handing, layout
from trainyard_agent.bucket import Bucket
from trainyard_agent.checkpoints import Broken
from trainyard_agent.claims import Claim, Resume
from trainyard_agent.log import say
from trainyard_agent.order import Order
from trainyard_agent.stores import Routed, Store, read_json
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import open_folder


class Complete(Exception):
    """The job has its result already, which is `result`."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("complete")
        self.result = result


def fetch(order: Order, *, store: Store | None, parent: Bucket | None, handed: Store | None = None) -> None:
    """Prepares the pod's folders; `handed` is the output of the parent whose checkpoint is worked on.

    Raises Complete, or Trouble, whose kind is "fenced" after a later attempt.
    """
    order.resume_dir.mkdir(parents=True, exist_ok=True)
    stores = store
    if order.handed is not None and handed is not None:
        stores = Routed(own=store, parent=handed, uids=order.handed.uids)
    if store is not None:
        _refuse_finished(order, store)
    if stores is not None and (store is not None or order.continues):
        resume = _claimed(order, stores)
        if resume is not None:
            _bring(order, stores, resume)
        elif order.handed is not None and order.handed.continues:
            raise handing.absent(stores, order.handed, marks=_marks(order, stores))
        else:
            say("There is no checkpoint to go on from: the training starts from its beginning.")
    if store is not None:
        open_folder(order.checkpoint_dir)
    if order.handed is not None and stores is not None and not order.continues:
        handing.hand_over(order, order.handed, stores)
    if parent is not None:
        _bring_parent(order, parent)


def _refuse_finished(order: Order, store: Store) -> None:
    for uid in (order.uid, *order.origins):
        found = read_json(store, layout.result(uid))
        if found is not None:
            say(f"{store.name}/{layout.result(uid)} says that this job is complete: nothing is run again.")
            raise Complete(found)


def _claimed(order: Order, store: Store) -> Resume | None:
    """Claims the attempt, once for all its ranks, and gives what it goes on from.

    A job without an output claims nothing: each time it begins with what its parent has.
    """
    if order.output is None:
        return _best(order, store)
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
    """What the attempt goes on from. Raises Trouble where it has to go on from something, and nothing is there."""
    if not order.resumable:
        return None
    for candidate in _candidates(order, store):
        try:
            bringing.look(store, candidate)
        except Broken as error:
            if candidate.epoch is not None:
                _set_aside(order, store, candidate, str(error))
            continue
        return candidate
    if order.handed is not None and order.handed.continues:
        raise handing.absent(store, order.handed, marks=_marks(order, store))
    return None


def _candidates(order: Order, store: Store) -> Iterator[Resume]:
    """What there is to go on from, the best first: the job's own checkpoints, then what its parent hands on."""
    if order.output is not None:
        own = claims.candidates(store, uid=order.uid, origins=order.origins, attempt=order.attempt)
        yield from (one for one in own if _may_follow(order, one))
    if order.handed is not None and order.handed.continues:
        yield from handing.candidates(store, order.handed, marks=_marks(order, store))


def _marks(order: Order, store: Store) -> claims.Marks:
    return claims.marked(store, order.uid) if order.output is not None else frozenset()


def _may_follow(order: Order, resume: Resume) -> bool:
    """Whether it is of this job, or what was asked for of the parent."""
    if order.handed is None or resume.uid in (order.uid, *order.origins):
        return True
    return handing.is_asked_for(order.handed, resume)


def _set_aside(order: Order, store: Store, resume: Resume, why: str) -> None:
    say(f"The checkpoint of epoch {resume.epoch} of attempt {resume.attempt} is passed over: {why}.")
    if order.output is not None:
        claims.mark(store, uid=order.uid, resume=resume, why=why)


def _bring(order: Order, store: Store, claimed: Resume) -> None:
    """Puts what the claim says into the resume folder, or, where it is broken, what was before it."""
    broken: list[Resume] = []
    for resume in _usable(order, store, claimed):
        if resume in broken:
            continue
        try:
            if not claims.is_listed(store, resume):
                raise Broken("it was removed in the meantime")
            bringing.bring(store, resume, rank=order.rank, to=order.resume_dir)
        except Broken as error:
            broken.append(resume)
            _set_aside(order, store, resume, str(error))
            if order.ranks > 1:
                raise Trouble(
                    "broken",
                    f"{str(resume).capitalize()} cannot be used: {error}. The next attempt goes on from the one"
                    " before.",
                ) from error
            continue
        of = "" if resume.uid in (order.uid, *order.origins) else _of_parent(order)
        say(f"The training goes on from {resume}{of}.")
        return
    if order.handed is not None and order.handed.continues:
        raise handing.absent(store, order.handed, marks=_marks(order, store), broken=broken)
    say("No checkpoint is left to go on from: the training starts from its beginning.")


def _of_parent(order: Order) -> str:
    return f" of TrainingJob {order.handed.job}" if order.handed is not None else ""


def _usable(order: Order, store: Store, claimed: Resume) -> Iterator[Resume]:
    for resume in claims.after(store, uid=order.uid, resume=claimed):
        if not _may_follow(order, resume):
            continue
        if resume.epoch is not None or bringing.is_whole(store, resume, rank=0):
            yield resume


def _bring_parent(order: Order, parent: Bucket) -> None:
    order.parent_dir.mkdir(parents=True, exist_ok=True)
    try:
        if bringing.receive_listed(parent, source="", listing=layout.ARTIFACTS, to=order.parent_dir):
            return
        why = f"{parent.name} holds no {layout.ARTIFACTS}"
    except Broken as error:
        why = str(error)
    raise Trouble(
        "broken", f"The artifacts of the parent job cannot be used: {why}. Run the parent job again."
    )
