"""Base models: what is fetched from where, what is refused, and that nothing wrong or half is ever handed on."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile_servers import Store, storing
from modelstores import ATTEMPT, FILES, Stored, found, hub_of, sha256

from trainyard_agent import __main__, messages, models, receiving, transfer
from trainyard_agent.order import read_order
from trainyard_agent.troubles import Trouble

Json = dict[str, Any]
Files = Any
SOURCES = Path(__file__).parents[1] / "src"
SECONDS = 60.0
WITH_LIST = {*FILES, "artifacts.json"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storing(tmp_path_factory.mktemp("s3"), "models") as server:
        yield server


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AWS_", "HF_")):
            monkeypatch.delenv(name)


@dataclass
class Pod:
    """The folders of one pod, and the agent in it."""

    root: Path
    environ: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where a trainer finds what is fetched."""
        return self.root / "work" / "base-models" / "0"

    @property
    def mounted(self) -> Path:
        """Where a claim would be mounted."""
        return self.root / "mounted" / "0"

    def order(self, **model: Any) -> str:
        said: Json = {
            "name": "champ@3",
            "folder": str(self.folder),
            "mounted": False,
            "kind": "version",
            **model,
        }
        common = {"namespace": "team", "job": "j", "uid": "u", "attempt": 0}
        return json.dumps({**common, "resumeDir": str(self.root / "work" / "resume"), "baseModels": [said]})

    def fetch(self, **model: Any) -> tuple[int, Json]:
        """Exit code and last word."""
        word = self.root / "word"
        word.unlink(missing_ok=True)
        os.environ |= {**self.environ, "TRAINYARD_AGENT": self.order(**model)}
        code = __main__.command(["fetch"])
        return code, json.loads(word.read_text())

    def refused(self, **model: Any) -> str:
        """The sentence of a model that is refused for good; nothing of it is handed on."""
        code, word = self.fetch(**model)
        assert (code, word.get("modelFailed"), word.get("baseModel")) == (1, True, "champ@3"), word
        assert not self.folder.exists()
        assert "baseModels" not in word
        return str(word["error"])


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None) -> Pod:
    environ = {"TRAINYARD_TERMINATION_LOG": str(tmp_path / "word")}
    for name in (*environ, "TRAINYARD_AGENT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(__main__, "FETCH_SECONDS", 1.0)
    return Pod(tmp_path, environ)


def of_store(s3: Store, tmp_path: Path, uri: str) -> Json:
    """What an order says of a model in the S3 server."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(exist_ok=True)
    for name, value in s3.secret.items():
        (secrets / name).write_text(value)
    return {"uri": uri, "endpoint": s3.endpoint, "secrets": str(secrets)}


@pytest.fixture(params=["mounted", "in a bucket"])
def stored(request: pytest.FixtureRequest, pod: Pod, s3: Store, tmp_path: Path) -> tuple[Stored, Json]:
    """A folder for a version's artifacts, and what an order says of it."""
    if request.param == "mounted":
        pod.mounted.mkdir(parents=True)
        uri = f"pvc://models/{ATTEMPT}"
        return Stored(pod.mounted), {"mounted": True, "folder": str(pod.mounted), "uri": uri}
    name = sha256(str(tmp_path).encode())[:12]
    folder = s3.buckets / "models" / name / ATTEMPT
    return Stored(folder), of_store(s3, tmp_path, f"s3://models/{name}/{ATTEMPT}")


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


def test_a_file_on_a_web_server_is_known_by_its_digest(files: Files, pod: Pod) -> None:
    files.contents["nets/net.onnx"] = data = os.urandom(3 << 20)
    said = {"uri": files.url("nets/net.onnx"), "endpoint": files.endpoint, "kind": "file"}
    files.cuts["nets/net.onnx"] = [100_000, 5]
    code, word = pod.fetch(**said, sha256=sha256(data))
    assert (code, found(pod.folder)) == (0, {"net.onnx": data})
    assert word["baseModels"] == [{"name": "champ@3", "sha256": sha256(data), "bytes": len(data)}]
    pod.folder.rename(pod.root / "before")
    sentence = pod.refused(**said, sha256="0" * 64)
    assert f"net.onnx has the SHA-256 {sha256(data)} and not {'0' * 64}" in sentence


@pytest.mark.parametrize(
    ("status", "says"), [(404, "is not there"), (503, "cannot be reached"), (403, "refuses us")]
)
def test_what_others_can_mend_is_not_the_models_fault(files: Files, pod: Pod, status: int, says: str) -> None:
    files.contents["net.onnx"] = b"x"
    files.statuses["net.onnx"] = [status] * 1000
    code, word = pod.fetch(uri=files.url("net.onnx"), endpoint=files.endpoint, kind="file")
    assert code == 1
    assert "modelFailed" not in word
    assert says in word["error"]
    assert not pod.folder.exists()


def test_what_is_not_fetched_from_anywhere_is_refused(pod: Pod) -> None:
    assert "NVIDIA's registry is not read" in pod.refused(uri="ngc:team/net:1", kind="folder")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hub")
    for path, data in {**FILES, "config.json": b"{}"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    listed = folder / "listed"
    listed.mkdir()
    Stored(listed).put({"w.bin": b"w" * 20_000}, unlisted={"more.bin": b"x"})
    with hub_of(folder) as endpoint:
        yield endpoint


HUB: list[Any] = [
    pytest.param("hf://team/net@v1", {"config.json"}, id="of a tag"),
    pytest.param("hf://team/net/plots", {"deep/curve é.csv"}, id="a folder"),
    pytest.param("hf://team/net/model.joblib", {"model.joblib"}, id="a file"),
    pytest.param("hf://team/net/listed", {"artifacts.json", "w.bin"}, id="a folder with a list"),
]


@pytest.mark.parametrize(("uri", "files"), HUB)
def test_a_hub_is_fetched_from(hub: str, pod: Pod, uri: str, files: set[str]) -> None:
    code, word = pod.fetch(uri=uri, endpoint=hub, kind="folder")
    assert code == 0, word
    assert found(pod.folder).keys() == files


def test_a_hubs_whole_repository_is_fetched(hub: str, pod: Pod) -> None:
    code, word = pod.fetch(uri="hf://team/net", endpoint=hub, kind="folder")
    handed = found(pod.folder)
    assert code == 0, word
    assert {name: handed[name] for name in FILES} == FILES
    assert word["baseModels"][0]["bytes"] == sum(map(len, handed.values()))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", ["version", "folder"])
def test_killed_anywhere_nothing_half_is_there_and_the_next_one_finishes(
    s3: Store, pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each write and each file's end may be the last one of a run."""
    files = {f"{number}/part.bin": os.urandom(3000 * number) for number in range(12)}
    digest = Stored(s3.buckets / "models" / f"killed-{kind}").put(files)
    said = of_store(s3, tmp_path, f"s3://models/killed-{kind}")
    chance, lock = random.Random(7), threading.Lock()

    def perhaps(really: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **more: Any) -> Any:
            with lock:
                if chance.random() < 0.08:
                    raise Killed
            return really(*arguments, **more)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(receiving, "_write_all", perhaps(receiving._write_all))
        patch.setattr(transfer.Transfer, "_write", perhaps(transfer.Transfer._write))
        patch.setattr(Path, "replace", perhaps(Path.replace))
        patch.setattr(Path, "rename", perhaps(Path.rename))
        kills = 0
        for _ in range(100):
            try:
                code, _word = pod.fetch(**said, kind=kind, sha256=digest)
            except Killed:
                kills += 1
                assert not pod.folder.exists()
                continue
            break
    assert (code, kills > 0) == (0, True)
    handed = found(pod.folder)
    assert handed.pop("artifacts.json")
    assert handed == files


def test_a_pod_that_is_killed_while_it_fetches_hands_on_nothing(files: Files, pod: Pod) -> None:
    files.contents["net.onnx"] = data = os.urandom(8 << 20)
    files.rate = 4 << 20
    said = {"uri": files.url("net.onnx"), "endpoint": files.endpoint, "kind": "file", "sha256": sha256(data)}
    environ = {**os.environ, **pod.environ, "PYTHONPATH": str(SOURCES), "TRAINYARD_AGENT": pod.order(**said)}
    argv = [sys.executable, "-m", "trainyard_agent", "fetch"]
    deadline = time.monotonic() + SECONDS
    with subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL) as process:
        while files.sent < 2 << 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not pod.folder.exists()
    files.rate = None
    assert (
        subprocess.run(argv, env=environ, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False).returncode
        == 0
    )
    assert found(pod.folder) == {"net.onnx": data}


def test_one_that_is_there_from_before_is_checked_again(s3: Store, pod: Pod, tmp_path: Path) -> None:
    digest = Stored(s3.buckets / "models" / "again").put()
    said = of_store(s3, tmp_path, "s3://models/again")
    assert pod.fetch(**said, sha256=digest)[0] == 0
    (pod.folder / "labels.json").write_bytes(b"half")
    assert pod.fetch(**said, sha256=digest)[0] == 0
    assert (pod.folder / "labels.json").read_bytes() == FILES["labels.json"]


def test_damage_on_the_way_is_no_damage_at_the_store(
    s3: Store, pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Stored(s3.buckets / "models" / "noisy").put()
    before, noise = receiving._Receiver._range, iter([b"x"])

    def ranges(self: Any, key: str, start: int, end: int) -> bytes:
        data = before(self, key, start, end)
        for byte in noise:
            data = byte + data[1:]
        return data

    monkeypatch.setattr(receiving._Receiver, "_range", ranges)
    assert pod.fetch(**of_store(s3, tmp_path, "s3://models/noisy"), sha256=digest)[0] == 0
    assert not list(noise)


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


SAID: Json = {
    "name": "champ@3",
    "folder": "/trainyard/work/base-models/0",
    "mounted": False,
    "uri": "s3://models/u/attempt-1",
    "kind": "version",
    "sha256": "a" * 64,
}


def read(**model: Any) -> Any:
    common = {"namespace": "team", "job": "j", "uid": "u", "attempt": 0}
    (one,) = read_order({"TRAINYARD_AGENT": json.dumps({**common, "baseModels": [model]})}).base_models
    return one


def test_an_order_says_what_is_fetched_and_with_which_secret() -> None:
    one = read(**SAID, region="eu", secrets="/trainyard/secrets/base-0")
    assert (one.place.uri, one.place.region, str(one.secret)) == (
        SAID["uri"],
        "eu",
        "/trainyard/secrets/base-0",
    )
    assert read(**SAID | {"sha256": f"sha256:{'A' * 64}"}).sha256 == "a" * 64
    assert not read(**SAID | {"secrets": None}).secret.exists()


@pytest.mark.parametrize(
    "change", [{"kind": "disk"}, {"kind": None}, *({name: ...} for name in SAID if name != "sha256")]
)
def test_an_order_that_cannot_be_read_says_so(change: Json) -> None:
    said = {name: value for name, value in {**SAID, **change}.items() if value is not ...}
    with pytest.raises(Trouble, match=r"settings\.agent\.image"):
        read(**said)


def test_of_an_address_that_is_too_long_the_word_of_failure_is_whole() -> None:
    name = f"s3://{'a' * 2040}"
    said = json.loads(messages.failed("wrong", model=name))
    assert said == {"error": "wrong", "modelFailed": True, "baseModel": name}
    said = json.loads(messages.failed("é" * 900, model=name))
    assert said.keys() == {"error", "modelFailed"}


def test_of_addresses_that_are_too_long_the_last_word_has_the_beginning() -> None:
    two = [models.Brought(name=f"s3://{letter * 2040}", sha256="f" * 64, bytes=1) for letter in "ab"]
    told = models.told(two, room=3072)
    assert len(json.dumps(told)) <= 3072
    assert [one["name"][:6] for one in told["baseModels"]] == ["s3://a", "s3://b"]
    assert models.told(two[:1], room=3072)["baseModels"][0]["name"] == two[0].name
