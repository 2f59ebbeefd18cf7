"""The checkpoint of a parent: which of all that its attempts have left is handed on, and where it is put."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from storedjobs import CHILD, PARENT, Stored, a_choice, an_order, found

from trainyard_agent import claims, fetching
from trainyard_agent.claims import Resume
from trainyard_agent.order import Handed, Order, read_order
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import Volume


@pytest.fixture
def parents(tmp_path: Path) -> Volume:
    """The output of the parent, which is another volume than the job's own."""
    (tmp_path / "parents").mkdir()
    (tmp_path / "store").mkdir()
    return Volume(tmp_path / "parents", "pvc://parents")


@pytest.fixture
def parent(parents: Volume) -> Stored:
    return Stored(parents, PARENT)


@pytest.fixture
def own(tmp_path: Path, parents: Volume) -> Volume:
    return Volume(tmp_path / "store", "pvc://models")


def files(volume: Volume) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in volume.root.rglob("*") if path.is_file()}


def fetch(order: Order, own: Volume | None, parents: Volume) -> dict[str, bytes]:
    """What the trainer finds; the parent's store stays as it is, whatever happens."""
    before = files(parents)
    try:
        fetching.fetch(order, store=own, parent=None, handed=parents)
    finally:
        assert files(parents) == before
    assert order.handed is not None
    return found(order.resume_dir if order.handed.continues else order.handed.folder)


CASES: list[Any] = [
    pytest.param({}, {"epoch-000007": b"1 7"}, id="the newest of the newest attempt"),
    pytest.param({"epoch": 5}, {"epoch-000005": b"1 5"}, id="of an epoch"),
    pytest.param({"epoch": 2}, {"epoch-000002": b"0 2"}, id="of an epoch of the attempt before"),
]


@pytest.mark.parametrize("continues", [True, False], ids=["to go on from", "to work on"])
@pytest.mark.parametrize(("choice", "expected"), CASES)
def test_the_checkpoint_that_was_chosen_is_found_among_all_attempts(
    parent: Stored,
    own: Volume,
    tmp_path: Path,
    choice: dict[str, Any],
    expected: dict[str, bytes],
    continues: bool,
) -> None:
    parent.attempt(0, 1, 2, 3)
    parent.attempt(1, 5, 7, after=Resume(uid=PARENT, attempt=0, epoch=3))
    # It began, and has left nothing.
    parent.attempt(2, after=Resume(uid=PARENT, attempt=1, epoch=7))
    order = an_order(tmp_path, handed=a_choice(tmp_path, continues=continues, **choice))
    there = fetch(order, own, parent.store)
    assert there == {name: b"%s %s 0" % (PARENT.encode(), content) for name, content in expected.items()}
    claimed = claims.read(own, CHILD, 0)
    assert claimed is not None
    assert (claimed.resume is not None) == continues
    assert next((order.resume_dir if continues else order.handed.folder).iterdir()).is_symlink()


def test_what_a_fenced_attempt_has_brought_later_is_not_handed_on(
    parent: Stored, own: Volume, tmp_path: Path
) -> None:
    parent.attempt(0, 1, 2, 3, 4)
    parent.attempt(1, after=Resume(uid=PARENT, attempt=0, epoch=2))
    there = fetch(an_order(tmp_path, handed=a_choice(tmp_path)), own, parent.store)
    assert list(there) == ["epoch-000002"]


def test_a_parent_that_was_restored_has_its_checkpoints_under_its_former_uid(
    parents: Volume, own: Volume, tmp_path: Path
) -> None:
    Stored(parents, "former").attempt(3, 4)
    choice = a_choice(tmp_path, uids=(PARENT, "former", "first"))
    assert fetch(an_order(tmp_path, handed=choice), own, parents) == {"epoch-000004": b"former 3 4 0"}


@pytest.mark.parametrize("continues", [True, False], ids=["to go on from", "to work on"])
def test_a_damaged_one_gives_way_to_the_one_before(
    parent: Stored, own: Volume, tmp_path: Path, continues: bool
) -> None:
    parent.attempt(0, 1, 2, 3)
    parent.damage(0, 3)
    (parent.folder(0) / "epoch-000002" / "state").unlink()
    order = an_order(tmp_path, handed=a_choice(tmp_path, continues=continues))
    assert list(fetch(order, own, parent.store)) == ["epoch-000001"]
    if continues:
        again = an_order(tmp_path, attempt=1, handed=a_choice(tmp_path))
        assert list(fetch(again, own, parent.store)) == ["epoch-000001"]


ABSENT: list[Any] = [
    pytest.param(
        (1, 2, 3), {"epoch": 7}, r"no checkpoint of epoch 7 .*: 1, 2, 3\.", id="an epoch that is not there"
    ),
    pytest.param((1, 2, 3), {"epoch": 3}, r"of epoch 3 .*: 1, 2\.", id="an epoch that is damaged"),
    pytest.param((3,), {}, "has left no checkpoint in pvc://parents", id="the only one is damaged"),
    pytest.param((), {}, "has left no checkpoint in pvc://parents", id="none was ever kept"),
    pytest.param((), {"uids": ("nobody",)}, "has left no checkpoint", id="nothing was ever stored"),
]


@pytest.mark.parametrize("output", [True, False], ids=["with an output", "without an output"])
@pytest.mark.parametrize("continues", [True, False], ids=["to go on from", "to work on"])
@pytest.mark.parametrize(("epochs", "choice", "says"), ABSENT)
def test_what_is_not_there_is_told_before_the_trainer_starts_with_what_is(
    parent: Stored,
    own: Volume,
    tmp_path: Path,
    epochs: tuple[int, ...],
    choice: dict[str, Any],
    says: str,
    continues: bool,
    output: bool,
) -> None:
    parent.attempt(0, *epochs)
    if epochs:
        parent.damage(0, 3)
    handed = a_choice(tmp_path, continues=continues, **choice)
    order = an_order(tmp_path, output=output, handed=handed)
    with pytest.raises(Trouble, match=says) as told:
        fetch(order, own if output else None, parent.store)
    assert told.value.kind == "absent"
    assert "TrainingJob base" in str(told.value)


def test_after_a_crash_it_goes_on_from_its_own_newest_and_not_from_its_parents(
    parent: Stored, own: Volume, tmp_path: Path
) -> None:
    parent.attempt(0, 3, 9)
    child = Stored(own, CHILD)
    handed = a_choice(tmp_path, epoch=3)
    assert list(fetch(an_order(tmp_path, handed=handed), own, parent.store)) == ["epoch-000003"]
    child.attempt(0, 4, 5)
    there = fetch(an_order(tmp_path, attempt=1, handed=handed), own, parent.store)
    assert there == {"epoch-000005": f"{CHILD} 0 5 0".encode()}
    # One that was lost at once hands on what it claimed; and where all of that is damaged, the parent's counts again.
    for epoch in (4, 5):
        child.damage(0, epoch)
    there = fetch(an_order(tmp_path, attempt=2, handed=handed), own, parent.store)
    assert there == {"epoch-000003": f"{PARENT} 0 3 0".encode()}


def test_a_parent_that_had_nothing_left_to_do_hands_on_what_it_went_on_from(
    own: Volume, tmp_path: Path
) -> None:
    first, second = Stored(own, "first"), Stored(own, "second")
    first.attempt(0, 3)
    second.attempt(0, after=Resume(uid="first", attempt=0, epoch=3))
    handed = a_choice(tmp_path, uids=("second",), output=None, store="pvc://models")
    order = an_order(tmp_path, handed=handed)
    fetching.fetch(order, store=own, parent=None, handed=own)
    assert found(order.resume_dir) == {"epoch-000003": b"first 0 3 0"}


def test_without_an_output_each_attempt_takes_it_from_the_parent(parent: Stored, tmp_path: Path) -> None:
    parent.attempt(0, 1, 2)
    for attempt in (0, 1):
        order = an_order(tmp_path, attempt=attempt, output=False, handed=a_choice(tmp_path))
        assert list(fetch(order, None, parent.store)) == ["epoch-000002"]
    assert not list((tmp_path / "store").iterdir())


def test_a_retraining_resumes_from_its_own_and_has_its_parents_beside_it(
    parent: Stored, own: Volume, tmp_path: Path
) -> None:
    parent.attempt(0, 5)
    Stored(own, CHILD).attempt(0, 2)
    order = an_order(tmp_path, attempt=1, handed=a_choice(tmp_path, continues=False))
    assert fetch(order, own, parent.store) == {"epoch-000005": f"{PARENT} 0 5 0".encode()}
    assert found(order.resume_dir) == {"epoch-000002": f"{CHILD} 0 2 0".encode()}


def test_each_rank_gets_its_part_and_one_that_is_damaged_stops_all(
    parent: Stored, own: Volume, tmp_path: Path
) -> None:
    parent.attempt(0, 1, 2, ranks=2)
    for rank in (0, 1):
        order = replace(an_order(tmp_path, handed=a_choice(tmp_path)), rank=rank, ranks=2)
        assert fetch(order, own, parent.store) == {"epoch-000002": f"{PARENT} 0 2 {rank}".encode()}
    parent.damage(0, 2, rank=1)
    with pytest.raises(Trouble, match="next attempt goes on from the one before"):
        fetch(order, own, parent.store)
    again = replace(an_order(tmp_path, attempt=1, handed=a_choice(tmp_path)), ranks=2)
    assert list(fetch(again, own, parent.store)) == ["epoch-000001"]
    beside = replace(
        an_order(tmp_path, handed=a_choice(tmp_path, continues=False), attempt=2), rank=1, ranks=2
    )
    with pytest.raises(Trouble, match="cannot be used by rank 1"):
        fetch(beside, own, parent.store)
    # One pod works on a checkpoint of two ranks by the part of the first.
    alone = an_order(tmp_path, handed=a_choice(tmp_path, continues=False, epoch=1), attempt=2)
    assert fetch(alone, own, parent.store) == {"epoch-000001": f"{PARENT} 0 1 0".encode()}


def test_what_a_trainer_without_manifests_has_left_is_handed_on_as_a_whole(
    parent: Stored, own: Volume, tmp_path: Path
) -> None:
    parent.attempt(0)
    parent.folder(0).mkdir(parents=True)
    (parent.folder(0) / "last.ckpt").write_bytes(b"weights")
    order = an_order(tmp_path, handed=a_choice(tmp_path, continues=False))
    fetch(order, own, parent.store)
    assert order.handed is not None
    assert (order.handed.folder / "last.ckpt").read_bytes() == b"weights"
    wanted = an_order(tmp_path, handed=a_choice(tmp_path, continues=False, epoch=1))
    with pytest.raises(Trouble, match="has left no checkpoint"):
        fetch(wanted, own, parent.store)


def test_a_claim_that_names_another_folder_is_not_followed(
    parent: Stored, own: Volume, tmp_path: Path
) -> None:
    parent.attempt(0)
    resume = {"uid": "../../secrets", "attempt": 0, "epoch": 1}
    (parent.store.root / PARENT / "claims" / "attempt-0.json").write_text(json.dumps({"resume": resume}))
    with pytest.raises(Trouble, match=r"claims/attempt-0\.json cannot be read"):
        fetch(an_order(tmp_path, handed=a_choice(tmp_path)), own, parent.store)


SAID: dict[str, Any] = {"namespace": "team", "job": "j", "uid": "u", "attempt": 0}
HANDED: dict[str, Any] = {
    "job": "base",
    "uids": ["a", "b"],
    "output": {"path": "/parents"},
    "store": "pvc://parents/",
    "epoch": 0,
    "continues": True,
    "folder": "/f",
}


def test_the_order_says_which_checkpoint() -> None:
    order = read_order({"TRAINYARD_AGENT": json.dumps({**SAID, "handed": HANDED})})
    assert isinstance(order.handed, Handed)
    assert (order.handed.uids, order.handed.epoch, order.continues) == (("a", "b"), 0, True)
    assert order.handed.store == "pvc://parents"


@pytest.mark.parametrize("lacking", sorted(HANDED.keys() - {"epoch"}))
def test_an_order_that_lacks_something_says_so(lacking: str) -> None:
    said = {**SAID, "handed": {name: value for name, value in HANDED.items() if name != lacking}}
    with pytest.raises(Trouble, match=r"settings\.agent\.image"):
        read_order({"TRAINYARD_AGENT": json.dumps(said)})
