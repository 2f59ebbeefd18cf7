"""The harness's Hugging Face hub under the hub's own client: what our puller reads there is what the hub would say."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import hub, hub_client
from tests.harness.hub import Hub

FILES = {
    "README.md": b"# Digits\n",
    "data/train.parquet": bytes(range(256)) * 200,
    **{f"many/{number:03}.txt": b"%d\n" % number for number in range(250)},
}
_ASK = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download
name, told, path, kind = sys.argv[1], json.loads(sys.argv[2]), *sys.argv[3:]
try:
    api = HfApi(token=told.get("token"))
    said = {"sha": api.repo_info(name, repo_type=kind, revision=told.get("revision")).sha}
    found = api.list_repo_tree(name, repo_type=kind, recursive=True, **told)
    listed = [entry for entry in found if hasattr(entry, "size")]
    said["files"] = {entry.path: [entry.size, entry.lfs.sha256 if entry.lfs else None] for entry in listed}
    got = Path(hf_hub_download(name, path, repo_type=kind, **told))
    said |= {"content": got.read_bytes().hex(), "folder": got.parts}
except Exception as error:
    said = {"error": type(error).__name__, "status": error.response.status_code if error.response else 0}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with hub.running() as one:
        repository = one.add("team/digits", FILES)
        repository.commit({"README.md": b"older"}, ref="v1")
        one.add("team/secret", {"a.csv": b"a\n1\n"}, token="hf_abc")
        one.add("team/gated", {"a.csv": b"a\n1\n"}, gated=True)
        yield one


def asked(served: Hub, folder: Path, name: str, path: str, *, kind: str = "dataset", **told: str) -> Any:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))},
        "HF_ENDPOINT": served.endpoint,
        "HF_HOME": str(folder),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(hub_client.ensure()),
    }
    argv = [sys.executable, "-c", _ASK, name, json.dumps(told), path, kind]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["dataset", "model"])
@pytest.mark.parametrize("path", ["README.md", "data/train.parquet"], ids=["small", "large"])
def test_the_hubs_client_lists_and_fetches_at_the_commit(
    served: Hub, tmp_path: Path, path: str, kind: str
) -> None:
    said = asked(served, tmp_path, "team/digits", path, kind=kind)
    assert said["sha"] == served.repositories["team/digits"].refs["main"]
    assert said["files"].keys() == FILES.keys(), "more than one page"
    digest = hashlib.sha256(FILES["data/train.parquet"]).hexdigest()
    assert said["files"]["data/train.parquet"] == [51200, digest]
    assert bytes.fromhex(said["content"]) == FILES[path]
    assert said["sha"] in said["folder"]


def test_the_hubs_client_gets_a_tag_and_a_private_repository(served: Hub, tmp_path: Path) -> None:
    tag = asked(served, tmp_path / "tag", "team/digits", "README.md", revision="v1")
    assert bytes.fromhex(tag["content"]) == b"older"
    private = asked(served, tmp_path / "private", "team/secret", "a.csv", token="hf_abc")
    assert bytes.fromhex(private["content"]) == b"a\n1\n"


@pytest.mark.parametrize(
    ("name", "told", "error"),
    [
        ("team/digits", {"revision": "v9"}, "RevisionNotFoundError"),
        ("team/gated", {}, "GatedRepoError"),
        ("team/secret", {"token": "hf_other"}, "HfHubHTTPError"),
        ("team/none", {}, "HfHubHTTPError"),
    ],
)
def test_the_hubs_client_is_refused_as_by_the_hub(
    served: Hub, tmp_path: Path, name: str, told: dict[str, str], error: str
) -> None:
    said = asked(served, tmp_path, name, "a.csv", **told)
    assert said["error"] == error
