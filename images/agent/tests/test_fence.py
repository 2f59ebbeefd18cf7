"""Attempts that overlap in every order: what a later one goes on from is never changed by an earlier one."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trainyard_agent import claims, fetching, index, layout
from trainyard_agent.claims import Claim, Resume
from trainyard_agent.following import Following
from trainyard_agent.order import Order, Place
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import Volume

UID = "0e6ad5a1"


def an_order(root: Path, attempt: int) -> Order:
    folder = root / "store" / UID / f"attempt-{attempt}"
    work = root / f"work-{attempt}"
    return Order(
        namespace="team",
        job="digits",
        uid=UID,
        origins=(),
        attempt=attempt,
        rank=0,
        ranks=1,
        output=Place(path=root / "store"),
        store="pvc://models",
        output_dir=folder,
        checkpoint_dir=folder / "checkpoints",
        resume_dir=work / "resume",
        parent=None,
        parent_dir=work / "parent",
        resumable=True,
        grace_seconds=30,
        upload_seconds=300,
        verdict=None,
        secrets=root / "secrets",
        termination_log=root / "message",
    )


def close(folder: Path, epoch: int, data: bytes) -> None:
    """A checkpoint as a trainer writes it."""
    final = folder / f"epoch-{epoch:06d}"
    final.mkdir(parents=True, exist_ok=True)
    (final / "state").write_bytes(data)
    entry = {"path": "state", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (final / "manifest.json").write_text(json.dumps({"epoch": epoch, "step": epoch, "files": [entry]}))


class Attempts(RuleBasedStateMachine):
    """Any attempt that has begun may still write, promote or look, however many have begun after it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store = Volume(self.root / "store", "pvc://models")
        self.followers: list[Following] = []
        self.resumed: dict[int, tuple[Resume | None, bytes | None]] = {}
        self.saved = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule()
    def begins(self) -> None:
        attempt = len(self.followers)
        order = an_order(self.root, attempt)
        (self.root / "store").mkdir(exist_ok=True)
        fetching.fetch(order, store=self.store, parent=None)
        claim = claims.read(self.store, UID, attempt)
        assert claim is not None
        self.resumed[attempt] = (claim.resume, self.state(order))
        self.followers.append(Following(order=order, store=self.store, sender=None))

    @precondition(lambda self: self.followers)
    @rule(data=st.data(), epoch=st.integers(1, 4))
    def saves(self, data: st.DataObject, epoch: int) -> None:
        follower = data.draw(st.sampled_from(self.followers))
        self.saved += 1
        if not (follower.order.checkpoint_dir / f"epoch-{epoch:06d}").exists():
            close(follower.order.checkpoint_dir, epoch, b"%d" % self.saved)

    @precondition(lambda self: self.followers)
    @rule(data=st.data())
    def looks(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.followers)).look()

    @precondition(lambda self: self.followers)
    @rule(data=st.data())
    def fetches_again(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.followers)).order
        newest = len(self.followers) - 1
        if order.attempt < newest:
            with pytest.raises(Trouble) as refused:
                fetching.fetch(order, store=self.store, parent=None)
            assert (refused.value.kind, refused.value.claimed) == ("fenced", newest)
        else:
            fetching.fetch(order, store=self.store, parent=None)

    @invariant()
    def goes_on_from_what_it_claimed(self) -> None:
        for follower in self.followers:
            claim = claims.read(self.store, UID, follower.order.attempt)
            assert claim is not None
            resume, state = self.resumed[follower.order.attempt]
            assert claim.resume == resume
            assert self.state(follower.order) == state

    @invariant()
    def what_a_next_attempt_would_take_is_the_newest_ones_own_or_what_that_claimed(self) -> None:
        if not self.followers:
            return
        newest = self.followers[-1].order
        best = next(claims.candidates(self.store, uid=UID, origins=(), attempt=newest.attempt + 1), None)
        own = index.read(self.store, UID, newest.attempt)
        if own:
            assert best == Resume(uid=UID, attempt=newest.attempt, epoch=max(own))
        else:
            # Without a checkpoint of its own it hands on its claim, whatever has come to the store since.
            found = [
                one
                for one in claims.candidates(self.store, uid=UID, origins=(), attempt=newest.attempt + 1)
                if one.attempt != newest.attempt
            ]
            assert (found[0] if found else None) == self.resumed[newest.attempt][0]

    def state(self, order: Order) -> bytes | None:
        found = list(order.resume_dir.glob("epoch-*/state"))
        assert len(found) <= 1
        return found[0].read_bytes() if found else None


TestAttempts = Attempts.TestCase
TestAttempts.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.fixture
def store(tmp_path: Path) -> Volume:
    (tmp_path / "store").mkdir()
    return Volume(tmp_path / "store", "pvc://models")


def promote(store: Volume, attempt: int, *epochs: int) -> None:
    """Checkpoints of an attempt, in the index."""
    entries = [index.Entry(epoch=epoch, step=0, size=1, sha256="", time="") for epoch in epochs]
    for epoch in epochs:
        close(store.path(layout.checkpoints(UID, attempt)), epoch, b"x")
    index.write(store, UID, attempt, entries)


def names(store: Volume, attempt: int) -> list[tuple[int, int | None]]:
    found = claims.candidates(store, uid=UID, origins=("old",), attempt=attempt)
    return [(one.attempt, one.epoch) for one in found if one.epoch is not None]


def test_all_ranks_of_an_attempt_go_on_from_what_the_first_of_them_claimed(store: Volume) -> None:
    first = Claim(attempt=1, resume=Resume(uid=UID, attempt=0, epoch=3))
    assert claims.write(store, UID, first) == first
    assert claims.write(store, UID, replace(first, resume=None)) == first


def test_what_comes_late_to_an_attempt_without_claimed_checkpoints_is_not_gone_on_from(store: Volume) -> None:
    claims.write(store, UID, Claim(attempt=0, resume=None))
    claims.write(store, UID, Claim(attempt=1, resume=None))
    promote(store, 0, 1, 2)
    assert names(store, 2) == []


def test_an_attempt_hands_on_what_it_claimed_and_what_was_before(store: Volume) -> None:
    claims.write(store, UID, Claim(attempt=0, resume=None))
    promote(store, 0, 1, 2)
    claims.write(store, UID, Claim(attempt=1, resume=Resume(uid=UID, attempt=0, epoch=2)))
    promote(store, 0, 1, 2, 3)
    assert names(store, 2) == [(0, 2), (0, 1)]
    promote(store, 1, 5)
    assert names(store, 2) == [(1, 5), (0, 2), (0, 1)]


def test_a_checkpoint_that_is_marked_is_passed_over(store: Volume) -> None:
    claims.write(store, UID, Claim(attempt=0, resume=None))
    promote(store, 0, 1, 2)
    claims.mark(store, uid=UID, resume=Resume(uid=UID, attempt=0, epoch=2), why="damaged")
    assert names(store, 1) == [(0, 1)]


def test_a_restored_job_goes_on_from_its_origin(store: Volume) -> None:
    claims.write(store, "old", Claim(attempt=4, resume=None))
    index.write(store, "old", 4, [index.Entry(epoch=7, step=0, size=1, sha256="", time="")])
    assert names(store, 0) == [(4, 7)]


class Bystander:
    """A store that lets something else happen just before one of its calls."""

    def __init__(self, store: Volume, *, before: str, what: Callable[[], None]) -> None:
        self._store, self._before, self._what = store, before, what

    def __getattr__(self, name: str) -> object:
        if name == self._before:
            self._before = ""
            self._what()
        return getattr(self._store, name)


def test_a_checkpoint_that_leaves_the_index_while_it_is_claimed_is_not_gone_on_from(
    store: Volume, tmp_path: Path
) -> None:
    claims.write(store, UID, Claim(attempt=0, resume=None))
    promote(store, 0, 1, 2)
    order = an_order(tmp_path, 1)
    beside = Bystander(store, before="create", what=lambda: promote(store, 0, 1))
    claimed = fetching._claimed(order, beside)  # type: ignore[arg-type]  # a store of the test
    assert claimed == Resume(uid=UID, attempt=0, epoch=2)
    fetching.fetch(order, store=store, parent=None)
    assert [path.name for path in order.resume_dir.iterdir()] == ["epoch-000001"]
