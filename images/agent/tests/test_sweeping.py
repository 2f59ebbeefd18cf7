"""What `sweep` removes of jobs, and all that it must not touch."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from storedjobs import PARENT, Stored

from trainyard_agent import __main__, sweeping
from trainyard_agent.sweeporder import read_sweep_order
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import Volume


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    (tmp_path / "volume").mkdir()
    return Volume(tmp_path / "volume", "pvc://models")


def a_job(volume: Volume, uid: str = PARENT) -> Stored:
    """Two attempts with checkpoints, artifacts in folders, and a result."""
    job = Stored(volume, uid)
    job.attempt(0, 1, 2)
    job.attempt(1, 3)
    folder = volume.path(f"{uid}/attempt-1/plots/deep")
    folder.mkdir(parents=True)
    (folder / "curve.csv").write_bytes(b"1,2\n")
    volume.write(f"{uid}/attempt-1/model.bin", b"m" * 1000)
    volume.write(f"{uid}/result.json", b"{}")
    return job


def tree(volume: Volume) -> dict[str, bytes]:
    top = volume.root
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def swept(volume: Volume, *uids: str) -> dict[str, object]:
    said = {"namespace": "n", "store": volume.name, "output": {"path": str(volume.root)}, "uids": list(uids)}
    return sweeping.sweep(read_sweep_order({"TRAINYARD_SWEEP": json.dumps(said)}), volume)


KEPT = [f"{PARENT}/claims/attempt-0.json", f"{PARENT}/claims/attempt-1.json", f"{PARENT}/result.json"]


def test_checkpoints_and_artifacts_go_and_the_record_stays(volume: Volume) -> None:
    a_job(volume)
    a_job(volume, "other")
    before = tree(volume)
    told = swept(volume, PARENT, "never-was", PARENT)
    after = tree(volume)
    assert sorted(name for name in after if name.startswith(PARENT)) == KEPT
    assert {n: d for n, d in after.items() if n.startswith("other")} == {
        n: d for n, d in before.items() if n.startswith("other")
    }
    gone = before.keys() - after.keys()
    assert told == {"removed": len(gone), "bytes": sum(len(before[name]) for name in gone)}
    assert sorted(path.name for path in volume.path(PARENT).iterdir()) == ["claims", "result.json"]
    assert swept(volume, PARENT) == {"removed": 0, "bytes": 0}


def test_no_link_is_followed(volume: Volume, tmp_path: Path) -> None:
    a_job(volume)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_bytes(b"p")
    a_job(volume, "other")
    attempt = volume.path(f"{PARENT}/attempt-1")
    (attempt / "out").symlink_to(tmp_path / "outside")
    (attempt / "file").symlink_to(tmp_path / "outside" / "precious")
    (attempt / "beside").symlink_to(volume.path("other/attempt-0"))
    volume.path(f"{PARENT}/attempt-2").symlink_to(volume.path("other/attempt-1"))
    (volume.root / "linked").symlink_to(volume.path("other"))
    other = {name: data for name, data in tree(volume).items() if name.startswith("other")}
    told = swept(volume, PARENT, "linked")
    assert "it is a link, and no folder of a job" in str(told["error"])
    assert (tmp_path / "outside" / "precious").read_bytes() == b"p"
    assert {name: data for name, data in tree(volume).items() if name.startswith("other")} == other
    assert not list(volume.path(PARENT).glob("attempt-*"))


def test_a_folder_that_no_job_has_claimed_is_left_and_told_and_the_rest_is_swept(volume: Volume) -> None:
    (volume.root / "photos" / "attempt-0").mkdir(parents=True)
    (volume.root / "photos" / "attempt-0" / "one.png").write_bytes(b"1")
    a_job(volume)
    told = swept(volume, "photos", PARENT)
    assert told["removed"]
    assert "no job has claimed it" in str(told["error"])
    assert (volume.root / "photos" / "attempt-0" / "one.png").exists()
    assert not list(volume.path(PARENT).glob("attempt-*"))


@pytest.mark.parametrize("uid", ["", ".", "..", "../other", "a/b", "/etc", ".hidden", 3, None])
def test_a_uid_that_is_none_is_refused_before_anything_is_removed(volume: Volume, uid: object) -> None:
    a_job(volume)
    before = tree(volume)
    with pytest.raises(Trouble, match="cannot be read"):
        swept(volume, PARENT, uid)  # type: ignore[arg-type]  # whatever an order may say
    assert tree(volume) == before


@pytest.mark.parametrize(
    "said", ["", "[]", "{}", '{"namespace": "n", "store": "s", "output": {}, "uids": "a"}']
)
def test_an_order_that_cannot_be_read_says_so(said: str) -> None:
    with pytest.raises(Trouble, match=r"settings\.agent\.image"):
        read_sweep_order({"TRAINYARD_SWEEP": said})


def test_a_folder_of_many_files_goes_some_at_a_time(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_NAMES_AT_ONCE", 7)
    a_job(volume)
    for number in range(100):
        volume.path(f"{PARENT}/attempt-1/{number}").write_bytes(b"x")
    assert int(str(swept(volume, PARENT)["removed"])) > 100
    assert not list(volume.path(PARENT).glob("attempt-*"))


def test_killed_anywhere_it_is_finished_by_the_next_one(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each removal may be the last one of a run."""
    unlink, chance = os.unlink, random.Random(4)

    class Killed(BaseException):
        pass

    def perhaps(path: str, *, dir_fd: int | None = None) -> None:
        if chance.random() < 0.2:
            raise Killed
        unlink(path, dir_fd=dir_fd)

    a_job(volume)
    monkeypatch.setattr(os, "unlink", perhaps)
    for _ in range(200):
        try:
            told = swept(volume, PARENT)
        except Killed:
            continue
        break
    monkeypatch.undo()
    assert sorted(tree(volume)) == KEPT
    assert "error" not in told
    assert not list(volume.path(PARENT).glob("attempt-*"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may remove everything")
def test_files_of_another_user_are_told(volume: Volume) -> None:
    a_job(volume)
    locked = volume.path(f"{PARENT}/attempt-1/plots")
    locked.chmod(0o555)
    try:
        told = swept(volume, PARENT)
    finally:
        locked.chmod(0o755)
    assert "as another user than the agent" in str(told["error"])


def test_the_last_word_is_what_was_removed(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_job(volume)
    said = {"namespace": "n", "store": volume.name, "output": {"path": str(volume.root)}, "uids": [PARENT]}
    monkeypatch.setenv("TRAINYARD_SWEEP", json.dumps(said))
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "word"))
    assert __main__.command(["sweep"]) == 0
    word = json.loads((tmp_path / "word").read_text())
    assert word["removed"] > 5
    assert set(word) == {"removed", "bytes"}
    monkeypatch.setenv("TRAINYARD_SWEEP", json.dumps({**said, "uids": [".."]}))
    assert __main__.command(["sweep"]) == 1
    assert "'..' is no UID" in json.loads((tmp_path / "word").read_text())["error"]
