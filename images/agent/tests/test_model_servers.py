"""Base models on a web server and on a hub: what is fetched, and whose fault it is when nothing can be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from modelpods import Pod
from modelstores import FILES, Stored, found, hub_of, sha256

Files = Any


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
