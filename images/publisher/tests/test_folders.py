"""Claims and buckets as targets: files with their list last, by runs of the command and a real S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import runs
import servers
from runs import CARD, FILES, Publisher


@dataclass(kw_only=True)
class Target:
    """A place to publish to: what the operator says of it, and the folder behind it."""

    publisher: Publisher
    told: Mapping[str, Any]
    folder: Path

    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".sgwtmp" not in path.parts
        }


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("s3")
    with servers.serving(servers.S3, folder) as said:
        yield {**said, "bucket": folder / "buckets" / "models"}


@pytest.fixture(params=["claim", "bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "claim":
        claim = tmp_path / "claim"
        claim.mkdir()
        publisher = Publisher(folder=tmp_path, claim=claim)
        return Target(publisher=publisher, told={"uri": "pvc://zoo/team/champ"}, folder=claim / "team/champ")
    said = request.getfixturevalue("s3")
    told = {"uri": f"s3://models/{tmp_path.name}/champ", "endpoint": said["endpoint"]}
    publisher = Publisher(folder=tmp_path, secret=said["secret"])
    return Target(publisher=publisher, told=told, folder=said["bucket"] / tmp_path.name / "champ")


def test_a_version_is_there_with_its_list_its_card_and_what_is_ours(target: Target, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    done = target.publisher.publish(folder, **target.told)
    assert done.published == {"uri": target.told["uri"], "digest": runs.digest(folder), "version": "3"}
    assert done.verdict["complete"] is True
    files = target.files()
    record = json.loads(files.pop("trainyard.json"))
    assert files == {**FILES, "README.md": CARD, "artifacts.json": (folder / "artifacts.json").read_bytes()}
    assert (record["owner"], record["version"], record["digest"]) == (
        "team/champ/default",
        3,
        runs.digest(folder),
    )
    assert {name: one["sha256"] for name, one in record["files"].items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }


def test_the_same_again_sends_nothing_and_what_is_damaged_is_sent_again(
    target: Target, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    assert target.publisher.publish(folder, **target.told).sent == 5
    assert target.publisher.publish(folder, **target.told).sent == 0
    (target.folder / "model.joblib").write_bytes(b"changed")
    assert target.publisher.publish(folder, **target.told).sent == 2, "the file and the list"
    assert target.files()["model.joblib"] == FILES["model.joblib"]
    (target.folder / "metrics.json").unlink()
    assert target.publisher.publish(folder, **target.told).sent == 2
    assert target.files()["metrics.json"] == FILES["metrics.json"]


def test_another_version_replaces_the_one_before_and_leaves_what_is_not_ours(
    target: Target, tmp_path: Path
) -> None:
    target.publisher.publish(runs.version(tmp_path / "champ"), **target.told)
    (target.folder / "theirs.txt").write_bytes(b"theirs")
    newer = runs.version(
        tmp_path / "newer", {"model.onnx": b"onnx", "metrics.json": FILES["metrics.json"]}, card=None
    )
    done = target.publisher.publish(newer, **{**target.told, "version": 4})
    assert done.published["version"] == "4"
    assert done.sent == 2, "the metrics are the same, and there"
    files = target.files()
    assert sorted(files) == ["artifacts.json", "metrics.json", "model.onnx", "theirs.txt", "trainyard.json"]
    assert json.loads(files["artifacts.json"])["files"][1]["path"] == "model.onnx"


def test_a_file_of_somebody_else_is_not_overwritten_by_a_newer_version_that_has_that_name(
    target: Target, tmp_path: Path
) -> None:
    target.publisher.publish(runs.version(tmp_path / "champ"), **target.told)
    (target.folder / "notes.txt").write_bytes(b"theirs")
    before = target.files()
    newer = runs.version(tmp_path / "newer", {**FILES, "notes.txt": b"ours"})
    done = target.publisher.publish(newer, **{**target.told, "version": 4})
    assert (done.code, "has a file notes.txt already" in done.message) == (2, True), done.message
    assert target.files() == before
    assert target.publisher.unpublish(**target.told).code == 0
    assert target.files() == {"notes.txt": b"theirs"}


@pytest.mark.parametrize("name", ["../theirs.txt", "/theirs.txt", "plots/../../theirs.txt", ""])
def test_a_record_that_names_what_is_outside_of_the_folder_removes_nothing(
    target: Target, tmp_path: Path, name: str
) -> None:
    folder = runs.version(tmp_path / "champ")
    target.publisher.publish(folder, **target.told)
    outside = target.folder.parent / "theirs.txt"
    outside.write_bytes(b"theirs")
    record = json.loads((target.folder / "trainyard.json").read_bytes())
    record["files"][name] = {"sha256": "0" * 64}
    (target.folder / "trainyard.json").write_text(json.dumps(record))
    for done in (target.publisher.unpublish(**target.told), target.publisher.publish(folder, **target.told)):
        assert (done.code, "no record of what was published" in done.message) == (2, True), done.message
    assert outside.read_bytes() == b"theirs"
    assert FILES.keys() <= target.files().keys()


def test_half_a_file_that_a_killed_run_has_left_in_a_claim_goes_too(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.mkdir()
    publisher = Publisher(folder=tmp_path, claim=claim)
    assert publisher.publish(runs.version(tmp_path / "champ"), uri="pvc://zoo/champ").code == 0
    (claim / "champ" / "model.joblib.trainyard-part").write_bytes(b"half")
    assert publisher.unpublish(uri="pvc://zoo/champ").code == 0
    assert list(claim.iterdir()) == []


def test_unpublished_is_all_that_was_published_and_nothing_else(target: Target, tmp_path: Path) -> None:
    target.publisher.publish(runs.version(tmp_path / "champ"), **target.told)
    (target.folder / "plots" / "theirs.txt").write_bytes(b"theirs")
    done = target.publisher.unpublish(**target.told)
    assert (done.code, done.message) == (0, f"5 files of version 3 are removed from {target.told['uri']}")
    assert target.files() == {"plots/theirs.txt": b"theirs"}
    again = target.publisher.unpublish(**target.told)
    assert (again.code, again.message) == (0, f"nothing is published at {target.told['uri']} any more")


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        pytest.param("file", "a file model.joblib already", id="somebody's file of the same name"),
        pytest.param(
            "target", "other/champ/default (namespace/model/target)", id="what another model has published"
        ),
        pytest.param("record", "no record of what was published", id="a record that cannot be read"),
    ],
)
def test_what_is_not_ours_is_never_overwritten_nor_removed(
    target: Target, tmp_path: Path, there: str, sentence: str
) -> None:
    folder = runs.version(tmp_path / "champ")
    if there == "target":
        other = Publisher(
            folder=tmp_path / "other",
            secret=target.publisher.secret,
            namespace="other",
            claim=target.publisher.claim,
        )
        assert other.publish(folder, **target.told).code == 0
    else:
        target.folder.mkdir(parents=True)
        (target.folder / ("model.joblib" if there == "file" else "trainyard.json")).write_bytes(b"theirs")
    before = target.files()
    done = target.publisher.publish(folder, **target.told)
    assert done.code == 2
    assert sentence in done.message
    assert target.publisher.unpublish(**target.told).code == (2 if there == "record" else 0)
    assert target.files() == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_run_that_is_ended_half_way_is_gone_on_from(
    target: Target, tmp_path: Path, how: signal.Signals
) -> None:
    many = {f"part-{number:03}.bin": os.urandom(2_000_000) for number in range(30)}
    folder = runs.version(tmp_path / "champ", many)
    process = target.publisher.begin("publish", folder, **target.told)
    deadline = time.monotonic() + 60
    while not (target.folder / "part-003.bin").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(how)
    ended = target.publisher.end(process)
    if how == signal.SIGTERM:
        assert (ended.code, ended.verdict["complete"]) == (0, False), ended.log
    assert "artifacts.json" not in target.files(), "what is half there does not look whole"
    done = target.publisher.publish(folder, **target.told)
    assert done.published["digest"] == runs.digest(folder)
    assert {name: data for name, data in target.files().items() if name in many} == many
    assert [name for name in target.files() if name.endswith("part")] == []


def test_what_a_killed_run_has_left_is_unpublished_as_well(target: Target, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    target.publisher.publish(folder, **target.told)
    newer = runs.version(tmp_path / "newer", {"a.bin": b"a", "model.joblib": b"new"})
    (newer / "model.joblib").write_bytes(b"not what the list says")
    failed = target.publisher.publish(newer, **{**target.told, "version": 4})
    assert failed.code == 2
    assert "model.joblib is not what the version's artifacts.json says" in failed.message
    assert "artifacts.json" not in target.files()
    assert target.publisher.unpublish(**target.told).code == 0
    assert target.files() == {}


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        pytest.param({"uri": "s3://nowhere/x"}, 2, "there is no such bucket", id="no such bucket"),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, 1, "does not answer", id="nobody answers"),
        pytest.param({"secret": "wrong"}, 1, "refuses us", id="a wrong key"),
        pytest.param({"uri": "s3://models/../x"}, 2, "has a part that is no name", id="a folder that climbs"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told(
    s3: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setenv("TRAINYARD_PATIENCE_SECONDS", "1")
    secret = {**s3["secret"]}
    if "secret" in change:
        secret["AWS_SECRET_ACCESS_KEY"] = change.pop("secret")
    if "endpoint" in change:
        secret.pop("AWS_ENDPOINT_URL_S3")
    told = {"uri": "s3://models/x", "endpoint": s3["endpoint"], **change}
    done = Publisher(folder=tmp_path, secret=secret).publish(runs.version(tmp_path / "champ"), **told)
    assert (done.code, sentence in done.message) == (code, True), done.message
    assert done.lines[-1]["status"] == "FAILURE"


@pytest.mark.soak
def test_azure_takes_a_version_and_gives_it_up(tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ", {**FILES, "large.bin": os.urandom(40_000_000)})
    with servers.serving(servers.AZURITE, tmp_path) as said:
        publisher = Publisher(folder=tmp_path / "runs", secret=said["secret"])
        told = {"uri": "abfs://models/team/champ"}
        assert publisher.publish(folder, **told).sent == 6
        assert publisher.publish(folder, **told).sent == 0
        newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx"})
        assert publisher.publish(newer, **{**told, "version": 4}).sent == 2
        other = Publisher(folder=tmp_path / "other", secret=said["secret"], namespace="other")
        assert "has what team/champ/default" in other.publish(folder, **told).message
        assert publisher.unpublish(**told).message.startswith("3 files of version 4 are removed")
        assert publisher.unpublish(**told).message.startswith("nothing is published")


def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    publisher = Publisher(folder=tmp_path, secret={"key.json": '{"type": "service_account"}'})
    done = publisher.publish(runs.version(tmp_path / "champ"), uri="gs://models/champ")
    assert (done.code, "check the keys of the target's Secret" in done.message) == (2, True), done.log
