"""What is called safe is there: names of all kinds, stores that refuse a part of what is asked, disks that are full."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainyard_agent import following, index, journal, messages, results, trees, volume
from trainyard_agent.bucket import Bucket
from trainyard_agent.checkpoints import File
from trainyard_agent.following import Following
from trainyard_agent.journal import Journal
from trainyard_agent.order import VARIABLE, Order, Place, Verdict, read_order
from trainyard_agent.patience import Patience
from trainyard_agent.receiving import receive
from trainyard_agent.running import Run
from trainyard_agent.sending import Sender
from trainyard_agent.troubles import Trouble, of
from trainyard_agent.volume import Volume

UID = "0e6ad5a1"
ATTEMPT = f"{UID}/attempt-0"


def an_order(root: Path) -> Order:
    said = {
        "namespace": "team",
        "job": "digits",
        "uid": UID,
        "attempt": 0,
        "output": {"path": str(root / "store")},
        "store": "pvc://models",
        "outputDir": str(root / "store" / ATTEMPT),
        "resumeDir": str(root / "work" / "resume"),
    }
    return read_order({VARIABLE: json.dumps(said)})


def close(folder: Path, epoch: int) -> None:
    """A checkpoint as a trainer writes it."""
    final, data = folder / f"epoch-{epoch:06d}", b"%d" % epoch
    final.mkdir(parents=True)
    (final / "state").write_bytes(data)
    entry = {"path": "state", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (final / "manifest.json").write_text(json.dumps({"epoch": epoch, "files": [entry]}))


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Bucket:
    place = Place(uri=f"memory://{request.node.name}")
    return Bucket(place, name="memory://here", options=dict, patience=Patience())


@pytest.fixture
def followed(bucket: Bucket, tmp_path: Path) -> Following:
    """Checkpoints that go to a bucket."""
    sender = Sender(bucket, prefix=ATTEMPT, journal=Journal(tmp_path / "journal"))
    return Following(order=an_order(tmp_path), store=bucket, sender=sender)


def written(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def kept(order: Order) -> list[str]:
    return [file.name for file in results.artifact_files(order)]


def test_only_folders_of_ranks_that_there_are_are_no_artifacts_of_rank_0(tmp_path: Path) -> None:
    order = an_order(tmp_path)
    written(order.output_dir, "rank-0/a", "rank-1/b", "rank-2/c", "rank-02/d", "model")
    assert kept(order) == ["model", "rank-0/a", "rank-02/d", "rank-1/b", "rank-2/c"]
    assert kept(replace(order, ranks=2)) == ["model", "rank-0/a", "rank-02/d", "rank-2/c"]


def test_names_of_all_kinds_arrive_and_come_back(bucket: Bucket, tmp_path: Path) -> None:
    names = sorted(
        [
            "a b",
            "$(HOME)",
            "a[1].bin",
            "*",
            "ü/日本",
            "n" * 255,
            "line\nfeed",
            "?",
            "#x",
            ".hidden",
            "%41",
            "'q'",
        ]
    )
    written(tmp_path / "output", *names)
    (tmp_path / "output" / "empty folder").mkdir()
    sender = Sender(bucket, prefix=ATTEMPT, journal=Journal(tmp_path / "journal"))
    sent = sender.send(trees.files(tmp_path / "output"), to=ATTEMPT, what="it")
    assert sorted(bucket.sizes(ATTEMPT)) == names
    wanted = [File(path=file.name, size=file.size, sha256=file.sha256) for file in sent]
    receive(bucket, wanted, source=ATTEMPT, to=tmp_path / "back")
    assert [file.name for file in trees.files(tmp_path / "back")] == names
    sender.remove([f"{ATTEMPT}/a[1].bin", f"{ATTEMPT}/*"])
    assert sorted(bucket.sizes(ATTEMPT)) == [name for name in names if name not in ("a[1].bin", "*")]
    sender.close()


def test_a_part_does_not_take_the_place_of_another_file(bucket: Bucket, tmp_path: Path) -> None:
    written(tmp_path, "a", ".a.part")
    wanted = []
    for name in (".a.part", "a"):
        data = (tmp_path / name).read_bytes()
        bucket.write(f"u/{name}", data)
        wanted.append(File(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
    for one in wanted:
        receive(bucket, [one], source="u", to=tmp_path / "back")
    assert [file.name for file in trees.files(tmp_path / "back")] == [".a.part", "a"]


def test_a_name_that_is_no_text_is_told_and_nothing_is_called_safe(tmp_path: Path) -> None:
    order = an_order(tmp_path)
    order.output_dir.mkdir(parents=True)
    (order.output_dir / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    with pytest.raises(Trouble, match=r"caf\\udce9.*is no UTF-8.*let the trainer name it otherwise"):
        results.keep_artifacts(order, Volume(tmp_path / "store", "pvc://models"), None)


def test_the_last_word_fits_in_whatever_characters(tmp_path: Path) -> None:
    for character in ("日", "\x01", "\udce9", '"'):
        assert len(messages.failed(character * 4000)) < 1100
        said = messages.outcome({"uploaded": False, "error": character * 4000}, [{"path": character}])
        assert len(said) <= messages.LIMIT
        json.loads(said)
    strange = messages.complete({"uid": "u", "record": {"a": 1}, "artifacts": {"uri": "x" * 5000}})
    assert len(strange) <= messages.LIMIT
    assert json.loads(strange) == {"complete": True, "result": {"uid": "u", "record": {}}}


def failing_once(action: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    errors = [error]

    def once(*arguments: Any, **more: Any) -> Any:
        if errors:
            raise errors.pop()
        return action(*arguments, **more)

    return once


def test_a_checkpoint_whose_index_could_not_be_written_is_not_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = an_order(tmp_path)
    store = Volume(tmp_path / "store", "pvc://models")
    follower = Following(order=order, store=store, sender=None)
    close(order.checkpoint_dir, 1)
    monkeypatch.setattr(index, "write", failing_once(index.write, OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        follower.look()
    assert follower.newest is None
    follower.look()
    assert follower.newest is not None
    assert list(index.read(store, UID, 0)) == [1]


def test_what_was_removed_from_the_bucket_is_sent_again_when_it_comes_back(
    bucket: Bucket, followed: Following, tmp_path: Path
) -> None:
    folder = followed.order.checkpoint_dir
    for epoch in (1, 2, 3):
        close(folder, epoch)
    followed.look()
    # Another agent of the same pod, which knows by its journal and by a listing what is there.
    sender = Sender(bucket, prefix=ATTEMPT, journal=Journal(tmp_path / "journal"))
    again = Following(order=followed.order, store=bucket, sender=sender)
    again.look()
    assert sender.counter.bytes_sent == 0
    (folder / "epoch-000001").rename(folder / "aside")
    again.look()
    assert not bucket.sizes(f"{ATTEMPT}/checkpoints/epoch-000001")
    (folder / "aside").rename(folder / "epoch-000001")
    again.look()
    assert 1 in index.read(bucket, UID, 0)
    assert set(bucket.sizes(f"{ATTEMPT}/checkpoints/epoch-000001")) == {"manifest.json", "state"}


def test_a_bucket_that_lets_nothing_be_removed_takes_new_checkpoints_all_the_same(
    bucket: Bucket, followed: Following, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, asked = followed.order.checkpoint_dir, list[object]()

    def refuse(paths: object) -> None:
        asked.append(paths)
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(bucket._fs, "rm", refuse)
    for epoch in (1, 2):
        close(folder, epoch)
    followed.look()
    (folder / "epoch-000001").rename(folder / "aside")
    close(folder, 3)
    followed.look()
    close(folder, 4)
    followed.look()
    assert list(index.read(bucket, UID, 0)) == [2, 3, 4]
    assert len(asked) == 1
    assert capsys.readouterr().err.count("What the trainer has removed stays") == 1
    monkeypatch.undo()
    monkeypatch.setattr(following.time, "monotonic", lambda: followed._removes_at + 1)
    followed.look()
    assert not bucket.sizes(f"{ATTEMPT}/checkpoints/epoch-000001")


def test_an_agent_that_may_not_tidy_up_sends_all_the_same(
    bucket: Bucket, followed: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise Trouble("forbidden", "memory://here refuses us.")

    assert followed.sender is not None
    monkeypatch.setattr(followed.sender, "tidy", refuse)
    close(followed.order.checkpoint_dir, 1)
    run = Run(
        order=followed.order,
        store=bucket,
        sender=followed.sender,
        following=followed,
        ending=None,  # type: ignore[arg-type]  # never asked
        left=lambda: 5.0,
    )
    assert run._follow()
    assert list(index.read(bucket, UID, 0)) == [1]


def test_a_full_disk_of_the_node_does_not_keep_files_from_the_bucket(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    written(tmp_path / "output", "a", "b")
    sender = Sender(bucket, prefix=ATTEMPT, journal=Journal(tmp_path / "work" / "journal"))
    monkeypatch.setattr(journal.Path, "mkdir", full)
    assert len(sender.send(trees.files(tmp_path / "output"), to=ATTEMPT, what="it")) == 2
    assert set(bucket.sizes(ATTEMPT)) == {"a", "b"}
    sender.close()


def test_artifacts_on_a_claim_are_on_its_disk_before_their_list_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = an_order(tmp_path)
    written(order.output_dir, "a", "deep/b")
    synced, fsync = list[str](), os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(volume.os, "fsync", watched)
    results.keep_artifacts(order, Volume(tmp_path / "store", "pvc://models"), None)
    assert sorted(synced[:2]) == [str(order.output_dir / "a"), str(order.output_dir / "deep" / "b")]

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(volume.os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        results.keep_artifacts(order, Volume(tmp_path / "store", "pvc://models"), None)


def test_an_answer_that_is_cut_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = failing_once(lambda *_, **__: {"state": "Incomplete"}, http.client.IncompleteRead(b"{"))
    monkeypatch.setattr(results, "_asked", answers)
    verdict = Verdict(url="https://server", ca_file=tmp_path / "ca", token_file=tmp_path / "token")
    assert results._verdict(verdict, left=lambda: 5.0, meanwhile=lambda: None) == {"state": "Incomplete"}


@pytest.mark.parametrize(
    "text",
    [
        "Cannot connect to https://me:SECRET@host:9000/b",
        "403, url='https://acc.blob.net/c/x?sv=1&sig=SECRET'",
    ],
)
def test_no_credential_of_an_address_is_told(text: str) -> None:
    said = str(of(RuntimeError(text), place="abfs://c"))
    assert "SECRET" not in said
    assert "https://" in said
