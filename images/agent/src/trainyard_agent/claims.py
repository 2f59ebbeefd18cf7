"""The fence between attempts: who has begun, and what each goes on from.

Separate because it is what a node that comes back from the dead meets, and each rule here answers one way in which
it could do harm:

- An attempt writes a claim once, before its trainer runs, and the claim says what it goes on from. What an earlier
  attempt brings to the store afterwards can no longer change that, nor what comes later: an attempt without a
  checkpoint of its own hands on what its claim says.
- An attempt that finds a claim above its own does not start, promotes nothing and removes nothing.
- A claim is written, then the index that it relies on is read once more. Whoever removes a checkpoint takes it from the
  index first and reads the claims then. So one of the two sees the other.

Called by `fetching` and `following`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainyard_agent import index, layout
from trainyard_agent.order import plain
from trainyard_agent.stores import Store, dumped, read_json
from trainyard_agent.troubles import Trouble


@dataclass(frozen=True, kw_only=True)
class Resume:
    """What is gone on from. Without an epoch: all that an attempt without manifests has left in its folder."""

    uid: str
    attempt: int
    epoch: int | None

    def __str__(self) -> str:
        what = "the checkpoints" if self.epoch is None else f"the checkpoint of epoch {self.epoch}"
        return f"{what} of attempt {self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That an attempt has begun, and from where."""

    attempt: int
    resume: Resume | None


Marks = frozenset[tuple[str, int, int]]


def later_attempt(store: Store, uid: str, attempt: int) -> int | None:
    """The latest attempt that has begun after this one."""
    later = [number for number in _attempts(store, uid) if number > attempt]
    return max(later, default=None)


def read(store: Store, uid: str, attempt: int) -> Claim | None:
    said = read_json(store, layout.claim(uid, attempt))
    if said is None:
        return None
    resume = said.get("resume")
    if not resume:
        return Claim(attempt=attempt, resume=None)
    try:
        # NB: a UID becomes part of a path, and on a volume trainers can write here.
        from_ = Resume(uid=plain(resume["uid"]), attempt=int(resume["attempt"]), epoch=resume["epoch"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Trouble(
            "broken",
            f"{store.name}/{layout.claim(uid, attempt)} cannot be read ({error}): something else than an agent has"
            " written there. Remove that file: the attempts before it count then.",
        ) from error
    return Claim(attempt=attempt, resume=from_)


def write(store: Store, uid: str, claim: Claim) -> Claim:
    """Claims; gives what counts, which is another rank's claim where that came first."""
    resume = claim.resume
    said = {
        "attempt": claim.attempt,
        "resume": {"uid": resume.uid, "attempt": resume.attempt, "epoch": resume.epoch} if resume else None,
    }
    if store.create(layout.claim(uid, claim.attempt), dumped(said)):
        return claim
    return read(store, uid, claim.attempt) or claim


def candidates(
    store: Store,
    *,
    uid: str,
    origins: tuple[str, ...],
    attempt: int | None,
    marks: Marks = frozenset(),
) -> Iterator[Resume]:
    """What attempt `attempt` of the job can go on from, the best first; without a number, what all of them have left.

    What has one of these `marks` is left out, too.
    """
    marks |= marked(store, uid)
    for one in (uid, *origins):
        below = [
            number for number in _attempts(store, one) if one != uid or attempt is None or number < attempt
        ]
        if below:
            yield from _own(store, one, max(below), marks, above=None)
            yield from _handed_on(store, one, max(below), marks)
            return


def after(store: Store, *, uid: str, resume: Resume) -> Iterator[Resume]:
    """The same, beginning with what a claim says: it comes first, unless it is marked as broken."""
    marks = marked(store, uid)
    yield from _claimed(store, resume, marks)
    yield from _handed_on(store, resume.uid, resume.attempt, marks)


def mark(store: Store, *, uid: str, resume: Resume, why: str) -> None:
    """Says to all later attempts that this checkpoint cannot be gone on from."""
    if resume.epoch is not None:
        path = layout.broken(uid, of=resume.uid, attempt=resume.attempt, epoch=resume.epoch)
        store.create(path, dumped({"why": why}))


def marked(store: Store, uid: str) -> Marks:
    names = store.names(layout.claims(uid))
    return frozenset(mark for name in names if (mark := layout.marked(name)) is not None)


def is_listed(store: Store, resume: Resume) -> bool:
    """Whether it still is in the index that it was found in."""
    return resume.epoch is None or resume.epoch in index.read(store, resume.uid, resume.attempt)


def _own(store: Store, uid: str, attempt: int, marks: Marks, *, above: int | None) -> Iterator[Resume]:
    """An attempt's own checkpoints up to epoch `above`, newest first; all that it left where it promoted none."""
    listed = index.read(store, uid, attempt)
    for epoch in sorted(listed, reverse=True):
        if (above is None or epoch <= above) and (uid, attempt, epoch) not in marks:
            yield Resume(uid=uid, attempt=attempt, epoch=epoch)
    if not listed and above is None:
        yield Resume(uid=uid, attempt=attempt, epoch=None)


def _claimed(store: Store, resume: Resume, marks: Marks) -> Iterator[Resume]:
    """What a claim says, and what is before it. NB: nothing newer, which may have come after the claim."""
    if resume.epoch is None:
        yield resume
    else:
        yield from _own(store, resume.uid, resume.attempt, marks, above=resume.epoch)


def _handed_on(store: Store, uid: str, attempt: int, marks: Marks) -> Iterator[Resume]:
    """What an attempt went on from itself, and so on back to the first."""
    seen: set[tuple[str, int]] = set()
    while (uid, attempt) not in seen:
        seen.add((uid, attempt))
        claim = read(store, uid, attempt)
        if claim is None or claim.resume is None:
            return
        yield from _claimed(store, claim.resume, marks)
        uid, attempt = claim.resume.uid, claim.resume.attempt


def _attempts(store: Store, uid: str) -> list[int]:
    names = store.names(layout.claims(uid))
    return [number for name in names if (number := layout.claimed(name)) is not None]
