"""The checkpoint of a parent job that this one works on: which one that is, and what to say where there is none.

Separate because a parent is another job, which has ended: nothing of it is claimed or marked where it lies. Which of
its attempts counts, and whether a checkpoint is whole, follows the rules of `claims` and `bringing`. Called by
`fetching`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from trainyard_agent import bringing, claims
from trainyard_agent.checkpoints import Broken
from trainyard_agent.claims import Marks, Resume
from trainyard_agent.log import say
from trainyard_agent.order import Handed, Order
from trainyard_agent.stores import Store
from trainyard_agent.troubles import Trouble


def candidates(store: Store, handed: Handed, *, marks: Marks = frozenset()) -> Iterator[Resume]:
    """What of the parent is asked for and listed, the best first."""
    return (one for one in _all(store, handed, marks=marks) if is_asked_for(handed, one))


def is_asked_for(handed: Handed, resume: Resume) -> bool:
    """Whether a checkpoint of the parent, or of what the parent itself went on from, is of the epoch that was named."""
    return handed.epoch is None or resume.epoch == handed.epoch


def hand_over(order: Order, handed: Handed, store: Store) -> None:
    """Puts the checkpoint into the order's folder for it. Raises Trouble, which is "absent" where there is none."""
    broken: list[Resume] = []
    for resume in candidates(store, handed):
        try:
            bringing.look(store, resume)
        except Broken as error:
            passed_over(handed, resume, error)
            continue
        try:
            bringing.bring(store, resume, rank=order.rank, to=handed.folder)
        except Broken as error:
            passed_over(handed, resume, error)
            broken.append(resume)
            if order.ranks > 1:
                raise Trouble(
                    "broken",
                    f"{str(resume).capitalize()} of TrainingJob {handed.job} cannot be used by rank {order.rank}: "
                    f"{error}. Name another epoch in spec.checkpoint.",
                ) from error
            continue
        say(f"{str(resume).capitalize()} of TrainingJob {handed.job} is what is worked on.")
        return
    raise absent(store, handed, broken=broken)


def passed_over(handed: Handed, resume: Resume, why: Exception) -> None:
    if resume.epoch is not None:
        say(f"{str(resume).capitalize()} of TrainingJob {handed.job} is passed over: {why}.")


def absent(
    store: Store, handed: Handed, *, marks: Marks = frozenset(), broken: Collection[Resume] = ()
) -> Trouble:
    """What to say where nothing is there that was asked for: which epochs are. What was found `broken` is not."""
    epochs = sorted(
        {
            one.epoch
            for one in _all(store, handed, marks=marks)
            if one.epoch is not None and one not in broken and _seems_whole(store, one)
        }
    )
    place = f"TrainingJob {handed.job} has left"
    if not epochs or handed.epoch is None:
        return Trouble(
            "absent",
            f"{place} no checkpoint in {handed.store} that could be used. Let it keep checkpoints and run it again, or"
            " work on its artifacts: leave spec.checkpoint out of a new job.",
        )
    listed = ", ".join(map(str, epochs))
    return Trouble(
        "absent",
        f"{place} no checkpoint of epoch {handed.epoch} in {handed.store} that could be used. Those of these epochs are"
        f" there: {listed}. Name one of them in spec.checkpoint.epoch of a new job, or take the method latest_model.",
    )


def _all(store: Store, handed: Handed, *, marks: Marks = frozenset()) -> Iterator[Resume]:
    uid, *origins = handed.uids
    return claims.candidates(store, uid=uid, origins=tuple(origins), attempt=None, marks=marks)


def _seems_whole(store: Store, resume: Resume) -> bool:
    try:
        bringing.look(store, resume)
    except Broken:
        return False
    return True
