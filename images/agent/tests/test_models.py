"""Base models that a job has stored: what is refused, and that nothing wrong is ever handed on."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_servers import Store
from modelpods import Pod, of_store
from modelstores import FILES, Stored, found, sha256

from trainyard_agent import models

Json = dict[str, Any]
WITH_LIST = {*FILES, "artifacts.json"}


@pytest.mark.parametrize("kind", ["version", "folder"])
@pytest.mark.parametrize("known", [True, False], ids=["its digest known", "its digest not known"])
def test_what_a_job_has_stored_is_checked_and_handed_on_with_its_digest(
    stored: tuple[Stored, Json], pod: Pod, kind: str, known: bool
) -> None:
    folder, said = stored
    beside = {"checkpoints/index.json": b"{}", "rank-1/artifacts.json": b"{}", ".nfs0001": b"x"}
    digest = folder.put(unlisted=beside)
    code, word = pod.fetch(**said, kind=kind, sha256=digest if known else None)
    assert (code, word) == (
        0,
        {"baseModels": [{"name": "champ@3", "sha256": digest, "bytes": sum(map(len, FILES.values()))}]},
    )
    if said.get("mounted"):
        assert not pod.folder.exists()
    else:
        handed = found(pod.folder)
        assert handed.pop("artifacts.json")
        assert handed == FILES
    assert [p.name for p in (pod.root / "work").glob("base-models/*")] == (
        [] if said.get("mounted") else ["0"]
    )


def damaged(folder: Stored) -> None:
    path = folder.folder / "model.joblib"
    path.write_bytes(b"x" * path.stat().st_size)


def rewritten(folder: Stored) -> None:
    """Whoever changes a file can change its list as well."""
    folder.put({**FILES, "labels.json": b'["b", "a"]'})


TAMPERED: list[Any] = [
    pytest.param(
        damaged,
        rf"model\.joblib .*SHA-256.* {sha256(b'x' * len(FILES['model.joblib']))} and not "
        rf"{sha256(FILES['model.joblib'])}",
        id="a file has another content",
    ),
    pytest.param(
        lambda one: (one.folder / "labels.json").write_bytes(b"["), r"labels\.json", id="a file is cut"
    ),
    pytest.param(lambda one: (one.folder / "labels.json").unlink(), r"labels\.json", id="a file is gone"),
    pytest.param(
        rewritten, r"artifacts\.json in .* has the SHA-256 \w{64} and not \w{64}", id="the list is another"
    ),
    pytest.param(
        lambda one: (one.folder / "artifacts.json").unlink(),
        r"holds no artifacts\.json",
        id="the list is gone",
    ),
    pytest.param(
        lambda one: (one.folder / "artifacts.json").write_bytes(b""),
        r"artifacts\.json",
        id="the list is empty",
    ),
]


@pytest.mark.parametrize(("tamper", "says"), TAMPERED)
def test_what_was_tampered_with_is_refused_for_good_and_never_handed_on(
    stored: tuple[Stored, Json], pod: Pod, tamper: Callable[[Stored], object], says: str
) -> None:
    folder, said = stored
    digest = folder.put()
    tamper(folder)
    sentence = pod.refused(**said, sha256=digest)
    assert re.search(says, sentence), sentence
    assert sentence.startswith("Base model champ@3 cannot be used: ")
    assert sentence.endswith("take another version, or train the model again.")


LISTS: list[Any] = [
    pytest.param([], "lists no file", id="of nothing"),
    pytest.param([{"path": "../x", "size": 1, "sha256": ""}], "no path inside the folder", id="that climbs"),
    pytest.param(
        [{"path": "/etc/passwd", "size": 1, "sha256": ""}], "no path inside", id="of an absolute path"
    ),
    pytest.param([{"path": "a\nb", "size": 1, "sha256": ""}], "control characters", id="of a hostile name"),
    pytest.param([{"path": "artifacts.json", "size": 1, "sha256": ""}], "cannot be", id="of itself"),
    pytest.param([{"path": "a", "size": -1, "sha256": ""}], "cannot be", id="of a negative size"),
    pytest.param([{"path": "a", "size": 1}], "no list of a job's artifacts", id="without digests"),
    pytest.param([{"path": "a", "size": 1, "sha256": "x"}] * 2, "there twice", id="with a double"),
    pytest.param(None, "no list of a job's artifacts", id="without files"),
]


@pytest.mark.parametrize(("files", "says"), LISTS)
def test_a_list_that_cannot_be_is_refused(pod: Pod, files: Any, says: str) -> None:
    pod.mounted.mkdir(parents=True)
    Stored(pod.mounted).put()
    digest = Stored(pod.mounted).put_list(files)
    assert says in pod.refused(mounted=True, folder=str(pod.mounted), uri="pvc://m", sha256=digest)


def test_a_file_that_was_added_on_a_volume_is_refused_as_a_trainer_would_find_it(pod: Pod) -> None:
    pod.mounted.mkdir(parents=True)
    digest = Stored(pod.mounted).put(unlisted={"plots/pytorch_model.bin": b"x"})
    said = pod.refused(mounted=True, folder=str(pod.mounted), uri="pvc://m/u/attempt-1", sha256=digest)
    assert (
        "plots/pytorch_model.bin lies in pvc://m/u/attempt-1, and its artifacts.json does not list it" in said
    )


def test_of_a_file_that_has_grown_no_more_is_handed_on_than_was_stored(
    stored: tuple[Stored, Json], pod: Pod
) -> None:
    folder, said = stored
    digest = folder.put()
    with (folder.folder / "labels.json").open("ab") as file:
        file.write(b"x" * 10_000)
    if said.get("mounted"):
        assert "labels.json in pvc://" in pod.refused(**said, sha256=digest)
    else:
        assert pod.fetch(**said, sha256=digest)[0] == 0
        assert (pod.folder / "labels.json").read_bytes() == FILES["labels.json"]


def test_a_link_that_leaves_a_mounted_folder_is_no_artifact(pod: Pod) -> None:
    pod.mounted.mkdir(parents=True)
    digest = Stored(pod.mounted).put()
    (pod.root / "elsewhere").write_bytes(FILES["labels.json"])
    (pod.mounted / "labels.json").unlink()
    (pod.mounted / "labels.json").symlink_to(pod.root / "elsewhere")
    said = pod.refused(mounted=True, folder=str(pod.mounted), uri="pvc://m", sha256=digest)
    assert "labels.json in pvc://m is a link that leaves the folder" in said


def test_what_a_bucket_holds_besides_is_not_handed_on(s3: Store, pod: Pod, tmp_path: Path) -> None:
    for kind in ("version", "folder"):
        folder = Stored(s3.buckets / "models" / f"besides-{kind}")
        digest = folder.put(unlisted={"pytorch_model.bin": b"x", "checkpoints/epoch-000001/state": b"x"})
        said = of_store(s3, tmp_path, f"s3://models/besides-{kind}")
        assert pod.fetch(**said, kind=kind, sha256=digest)[0] == 0
        assert found(pod.folder).keys() == WITH_LIST


def test_a_folder_without_a_list_is_taken_as_it_is(stored: tuple[Stored, Json], pod: Pod) -> None:
    folder, said = stored
    folder.put()
    (folder.folder / "artifacts.json").unlink()
    lines = sorted(f"{sha256(data)}  {path}\n" for path, data in FILES.items())
    digest = sha256("".join(lines).encode())
    # NB: an object store knows no empty folder, and lists an empty object as any other.
    assert pod.fetch(**said, kind="folder")[1]["baseModels"][0]["sha256"] == digest
    if not said.get("mounted"):
        assert found(pod.folder) == FILES
    assert pod.fetch(**said, kind="folder", sha256=digest)[0] == 0
    if pod.folder.exists():
        pod.folder.rename(pod.root / "before")
    assert f"has the SHA-256 {digest} and not {'0' * 64}" in pod.refused(
        **said, kind="folder", sha256="0" * 64
    )


def test_one_file_is_known_by_its_own_digest(stored: tuple[Stored, Json], pod: Pod) -> None:
    folder, said = stored
    folder.put()
    one = {"uri": f"{said['uri']}/labels.json"}
    if said.get("mounted"):
        one["folder"] = f"{said['folder']}/labels.json"
    digest = sha256(FILES["labels.json"])
    code, word = pod.fetch(**{**said, **one}, kind="folder", sha256=digest)
    assert (code, word["baseModels"]) == (0, [{"name": "champ@3", "sha256": digest, "bytes": 10}])
    if not said.get("mounted"):
        assert found(pod.folder) == {"labels.json": FILES["labels.json"]}
        pod.folder.rename(pod.root / "before")
    sentence = pod.refused(**{**said, **one}, kind="folder", sha256="0" * 64)
    assert digest in sentence
    assert "0" * 64 in sentence
    assert "labels.json" in sentence


def test_an_empty_folder_is_no_model(stored: tuple[Stored, Json], pod: Pod) -> None:
    assert "nothing" in pod.refused(**stored[1], kind="folder")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_of_another_user_is_told(pod: Pod) -> None:
    pod.mounted.mkdir(parents=True)
    Stored(pod.mounted).put()
    pod.mounted.chmod(0)
    try:
        code, word = pod.fetch(mounted=True, folder=str(pod.mounted), uri="pvc://m")
    finally:
        pod.mounted.chmod(0o755)
    assert code == 1
    assert "modelFailed" not in word
    assert "Base model champ@3 cannot be read in pvc://m by the agent" in word["error"]


CARD = b"# champ 3\n"


def test_a_card_is_put_beside_its_model(s3: Store, pod: Pod, tmp_path: Path) -> None:
    digest = Stored(s3.buckets / "models" / "u" / "attempt-1").put()
    (s3.buckets / "models" / "u" / "models").mkdir()
    (s3.buckets / "models" / "u" / "models" / "champ-3.md").write_bytes(CARD)
    said = of_store(s3, tmp_path, "s3://models/u/attempt-1")
    assert pod.fetch(**said, sha256=digest, card="s3://models/u/models/champ-3.md")[0] == 0
    assert (pod.root / "work" / "base-models" / "0.card.md").read_bytes() == CARD


@pytest.mark.parametrize("card", ["s3://models/nowhere.md", "s3://nowhere/x.md"])
def test_a_card_that_cannot_be_had_is_no_failure(
    s3: Store,
    pod: Pod,
    tmp_path: Path,
    card: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(models, "_CARD_SECONDS", 0.2)
    digest = Stored(s3.buckets / "models" / "cardless").put({"a": b"a"})
    said = of_store(s3, tmp_path, "s3://models/cardless")
    code, word = pod.fetch(**said, sha256=digest, card=card)
    assert (code, word["baseModels"][0]["sha256"]) == (0, digest)
    assert not (pod.root / "work" / "base-models" / "0.card.md").exists()
    assert "The card of base model champ@3" in capsys.readouterr().err


class Room:
    free = 1000


def test_a_node_without_room_says_what_to_ask_for(
    s3: Store, pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Stored(s3.buckets / "models" / "large").put()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Room())
    for kind in ("version", "folder"):
        code, word = pod.fetch(**of_store(s3, tmp_path, "s3://models/large"), sha256=digest, kind=kind)
        assert code == 1
        assert "modelFailed" not in word
        assert "no room for base model champ@3: raise the ephemeral-storage" in word["error"]
