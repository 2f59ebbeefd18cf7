"""`trainyard-agent record`: what it stores beside a version's artifacts, and what it refuses to speak for."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile_servers import Store
from modelstores import ATTEMPT, Stored, found, sha256

from trainyard_agent import __main__, bucket, volume
from trainyard_agent.recordorder import read_record_order
from trainyard_agent.troubles import Trouble

Json = dict[str, Any]
UID = ATTEMPT.partition("/")[0]
FILES = {
    "model.joblib": b"m" * 5000,
    "metrics.json": json.dumps(
        {"task": "classification", "target": "digit", "featureImportance": {"x": 1}}
    ).encode(),
    "confusion_matrix.csv": b"true\\predicted,a,b\na,5,1\nb,0,6\n",
    "profile.json": b"{}",
}
RECORD: Json = {
    "model": "digits",
    "namespace": "team",
    "number": 3,
    "parameters": {"depth": 4},
    "sha256": "s",
}
NAMES = {f"{UID}/models/digits-3.json", f"{UID}/models/digits-3.md"}


@dataclass
class Place:
    """A store with one job's folder in it, and the agent that records there."""

    root: Path
    word: Path
    output: Json
    name: str

    @property
    def artifacts(self) -> Stored:
        return Stored(self.root / ATTEMPT)

    def order(self, digest: str, **more: Any) -> str:
        said = {
            "namespace": "team",
            "store": self.name,
            "output": self.output,
            "uid": UID,
            "artifacts": ATTEMPT,
            "sha256": digest,
            "model": "digits",
            "version": 3,
            "record": RECORD,
        }
        return json.dumps({**said, **more})

    def record(self, digest: str, **more: Any) -> tuple[int, Json]:
        """Exit code and last word."""
        self.word.unlink(missing_ok=True)
        os.environ["TRAINYARD_RECORD"] = self.order(digest, **more)
        code = __main__.command(["record"])
        return code, json.loads(self.word.read_text())

    def stored(self) -> dict[str, bytes]:
        return found(self.root)


@pytest.fixture(params=["on a claim", "in a bucket"])
def place(
    request: pytest.FixtureRequest, s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None
) -> Place:
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "word"))
    monkeypatch.setenv("TRAINYARD_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.setenv("TRAINYARD_RECORD", "")
    monkeypatch.setattr(__main__, "FETCH_SECONDS", 1.0)
    if request.param == "on a claim":
        root, name, output = tmp_path / "volume", "pvc://out", {"path": str(tmp_path / "volume")}
    else:
        folder = sha256(str(tmp_path).encode())[:12]
        root, name = s3.buckets / "models" / folder, f"s3://models/{folder}"
        output = {"uri": name, "endpoint": s3.endpoint}
        (tmp_path / "secrets" / "output").mkdir(parents=True)
        for key, value in s3.secret.items():
            (tmp_path / "secrets" / "output" / key).write_text(value)
    (root / ATTEMPT).mkdir(parents=True)
    return Place(root, tmp_path / "word", output, name)


def test_record_and_card_lie_beside_the_artifacts(place: Place) -> None:
    digest = place.artifacts.put(FILES)
    before = place.stored()
    code, word = place.record(digest)
    assert code == 0, word
    after = place.stored()
    assert after.keys() - before.keys() == NAMES
    assert {name: after[name] for name in before} == before
    record, card = (after[f"{UID}/models/digits-3{ending}"] for ending in (".json", ".md"))
    assert json.loads(record) == RECORD
    text = card.decode()
    assert "# digits, version 3" in text
    assert "| **a** | 5 | 1 |" in text
    assert "It predicts the column digit." in text
    assert '"depth": 4' in text
    assert word == {
        "record": {"path": f"{UID}/models/digits-3.json", "sha256": sha256(record)},
        "card": {"path": f"{UID}/models/digits-3.md", "sha256": sha256(card)},
        "profile": {"path": f"{ATTEMPT}/profile.json", "sha256": sha256(b"{}")},
    }


def test_the_same_again_changes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = place.artifacts.put(FILES)
    first = place.record(digest)
    before = place.stored()

    def write(*_: Any) -> None:
        raise AssertionError("it is written again")

    monkeypatch.setattr(volume.Volume, "write", write)
    monkeypatch.setattr(bucket.Bucket, "write", write)
    assert place.record(digest) == first
    assert place.stored() == before


def test_another_version_of_the_same_job_has_files_of_its_own(place: Place) -> None:
    digest = place.artifacts.put(FILES)
    place.record(digest)
    code, _ = place.record(digest, version=4, model="copy", record={**RECORD, "number": 4})
    assert code == 0
    assert {name for name in place.stored() if "/models/" in name} == NAMES | {
        f"{UID}/models/copy-4.json",
        f"{UID}/models/copy-4.md",
    }


def test_artifacts_that_say_little_have_a_card_too(place: Place) -> None:
    digest = place.artifacts.put({"weights.bin": b"w", "metrics.json": b"[1", "confusion_matrix.csv": b"no"})
    code, word = place.record(digest)
    assert code == 0, word
    assert "profile" not in word
    assert b"Confusion matrix" not in place.stored()[f"{UID}/models/digits-3.md"]


def test_tables_that_are_too_large_are_in_no_card(place: Place) -> None:
    digest = place.artifacts.put({**FILES, "metrics.json": b" " * (5 << 20)})
    assert place.record(digest)[0] == 0
    assert b"It predicts" not in place.stored()[f"{UID}/models/digits-3.md"]


TAMPERED: list[Any] = [
    pytest.param(
        lambda one: one.put({**FILES, "more": b"x"}),
        r"artifacts.json in .* has the SHA-256",
        id="the list is another",
    ),
    pytest.param(
        lambda one: (one.folder / "artifacts.json").unlink(), "holds no artifacts.json", id="the list is gone"
    ),
    pytest.param(
        lambda one: (one.folder / "metrics.json").write_bytes(b"{}"),
        "metrics.json has the SHA-256",
        id="other metrics",
    ),
    pytest.param(
        lambda one: (one.folder / "metrics.json").unlink(),
        "metrics.json is not there",
        id="the metrics are gone",
    ),
    pytest.param(
        lambda one: (one.folder / "confusion_matrix.csv").write_bytes(b"x" * 100),
        "confusion_matrix.csv has the SHA-256",
        id="another table",
    ),
]


@pytest.mark.parametrize(("tamper", "says"), TAMPERED)
def test_of_what_was_tampered_with_nothing_is_said(
    place: Place, tamper: Callable[[Stored], object], says: str
) -> None:
    digest = place.artifacts.put(FILES)
    tamper(place.artifacts)
    before = place.stored()
    code, word = place.record(digest)
    assert code == 1
    assert word["error"].startswith("Version 3 of MLModel digits is not what was stored: ")
    assert says.split(" .* ")[-1] in word["error"]
    assert place.stored() == before


def test_killed_anywhere_each_file_is_whole_or_not_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = place.artifacts.put(FILES)
    chance = random.Random(3)

    class Killed(BaseException):
        pass

    def perhaps(really: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **more: Any) -> Any:
            if chance.random() < 0.4:
                raise Killed
            return really(*arguments, **more)

        return act

    with monkeypatch.context() as patch:
        for owner, name in (
            (Path, "replace"),
            (os, "fsync"),
            (bucket.Bucket, "write"),
            (volume, "_sync_folder"),
        ):
            patch.setattr(owner, name, perhaps(getattr(owner, name)))
        seen: dict[str, set[bytes]] = {}
        for _ in range(100):
            try:
                code, word = place.record(digest)
            except Killed:
                pass
            else:
                break
            finally:
                for path, data in place.stored().items():
                    if path in NAMES:
                        seen.setdefault(path, set()).add(data)
    assert code == 0
    assert {path: len(contents) for path, contents in seen.items()} == dict.fromkeys(NAMES, 1)
    assert {path for path in place.stored() if "/models/" in path} >= NAMES
    assert word["card"]["sha256"] == sha256(place.stored()[f"{UID}/models/digits-3.md"])


@pytest.mark.parametrize("link", [UID, f"{UID}/models", f"{ATTEMPT}/metrics.json"])
def test_no_link_on_a_claim_is_followed_out_of_the_jobs_folder(
    tmp_path: Path, link: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "word"))
    monkeypatch.setenv("TRAINYARD_RECORD", "")
    place = Place(tmp_path / "volume", tmp_path / "word", {"path": str(tmp_path / "volume")}, "pvc://out")
    (place.root / ATTEMPT).mkdir(parents=True)
    digest = place.artifacts.put(FILES)
    outside = tmp_path / "volume" / "other"
    if link.endswith(".json"):
        outside.write_bytes((place.root / link).read_bytes())
        (place.root / link).unlink()
    else:
        outside.mkdir()
        if link == UID:
            (place.root / UID).rename(outside / "real")
            outside = outside / "real"
    (place.root / link).symlink_to(outside)
    before = place.stored()
    code, word = place.record(digest)
    assert code == 1
    assert "is a link" in word["error"] or "metrics.json is not there" in word["error"]
    assert place.stored() == before


def test_a_store_that_refuses_us_is_told(s3: Store, tmp_path: Path, monkeypatch: Any, soon: None) -> None:
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "word"))
    monkeypatch.setenv("TRAINYARD_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.setenv("TRAINYARD_RECORD", "")
    monkeypatch.setattr(__main__, "FETCH_SECONDS", 0.5)
    (tmp_path / "secrets" / "output").mkdir(parents=True)
    for key, value in {**s3.secret, "AWS_SECRET_ACCESS_KEY": "wrong"}.items():
        (tmp_path / "secrets" / "output" / key).write_text(value)
    place = Place(
        tmp_path, tmp_path / "word", {"uri": "s3://models/x", "endpoint": s3.endpoint}, "s3://models/x"
    )
    code, word = place.record("a" * 64)
    assert code == 1
    assert "s3://models/x refuses us" in word["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"artifacts": "../other/attempt-0"},
        {"artifacts": f"{UID}/../other"},
        {"artifacts": "other/attempt-0"},
        {"uid": "../x"},
        {"model": "a/b"},
        {"model": ".."},
        {"version": "3"},
        {"record": []},
        {"output": {}},
        {"digest": None},
    ],
)
def test_an_order_that_cannot_be_read_says_so(change: Json) -> None:
    place = Place(Path("/nowhere"), Path("/nowhere"), {"path": "/volume"}, "pvc://out")
    assert read_record_order({"TRAINYARD_RECORD": place.order("a" * 64)}).stem == f"{UID}/models/digits-3"
    with pytest.raises(Trouble, match=r"settings\.agent\.image"):
        read_record_order({"TRAINYARD_RECORD": place.order(**{"digest": "a" * 64, **change})})
