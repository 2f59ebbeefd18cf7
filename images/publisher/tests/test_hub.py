"""The hub as a target: the hub's own client against a server that follows the hub's HTTP API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import runs
import servers
import urllib3
from runs import FILES, Publisher

TOKEN = "hf_example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.serving(servers.HUB, tmp_path_factory.mktemp("hub")) as said:
        yield str(said["endpoint"])


class Repository:
    """A repository of a name of its own."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.name = f"team/champ-{folder.name.replace('_', '-').strip('-')}"[:60].rstrip("-")
        self.publisher = Publisher(folder=folder, secret={"HF_TOKEN": TOKEN})
        self.told = {"uri": f"hf://{self.name}", "endpoint": endpoint}

    def ask(self, method: str, path: str, **body: Any) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return urllib3.request(
            method, f"{self.endpoint}{path}", headers=headers, json=body or None, retries=5
        )

    def files(self, revision: str = "main") -> dict[str, bytes]:
        listed = self.ask("GET", f"/api/models/{self.name}/tree/{revision}?recursive=true")
        if listed.status != 200:
            return {}
        names = [one["path"] for one in listed.json() if one["type"] == "file"]
        return {name: self._file(name, revision) for name in names if name != ".gitattributes"}

    def _file(self, name: str, revision: str) -> bytes:
        url = f"{self.endpoint}/{self.name}/resolve/{revision}/{name.replace(' ', '%20')}"
        answer = urllib3.request("GET", url, headers={"Authorization": f"Bearer {TOKEN}"}, redirect=False)
        where = answer.headers["Location"]
        if where.startswith("/"):
            where = f"{self.endpoint}{where}"
            return urllib3.request("GET", where, headers={"Authorization": f"Bearer {TOKEN}"}).data
        return urllib3.request("GET", where).data

    def tags(self) -> dict[str, str]:
        answer = self.ask("GET", f"/api/models/{self.name}/refs")
        return (
            {one["name"]: one["targetCommit"] for one in answer.json()["tags"]}
            if answer.status == 200
            else {}
        )

    def head(self) -> str:
        return str(self.ask("GET", f"/api/models/{self.name}/revision/main").json()["sha"])

    def commit(self, files: Mapping[str, str]) -> None:
        """Somebody else's."""
        lines = [{"key": "header", "value": {"summary": "theirs"}}]
        for name, text in files.items():
            content = base64.b64encode(text.encode()).decode()
            lines.append({"key": "file", "value": {"path": name, "content": content}})
        data = "\n".join(json.dumps(line) for line in lines).encode()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.endpoint}/api/models/{self.name}/commit/main"
        assert urllib3.request("POST", url, headers=headers, body=data).status == 200

    def create(self) -> None:
        owner, _, name = self.name.partition("/")
        assert (
            self.ask("POST", "/api/repos/create", name=name, organization=owner, private=True).status == 200
        )


@pytest.fixture
def there(server: str, tmp_path: Path) -> Repository:
    return Repository(server, tmp_path)


def test_a_version_is_committed_with_its_card_and_tagged(there: Repository, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    done = there.publisher.publish(folder, **there.told, aliases=["champion"])
    assert done.published == {"uri": f"hf://{there.name}@v3", "digest": runs.digest(folder), "version": "v3"}
    files = there.files("v3")
    record = json.loads(files.pop("trainyard.json"))
    assert files == {
        **FILES,
        "README.md": runs.CARD,
        "artifacts.json": (folder / "artifacts.json").read_bytes(),
    }
    assert (record["owner"], record["digest"], record["tags"]) == (
        "team/champ/default",
        runs.digest(folder),
        ["champion", "v3"],
    )
    assert there.tags() == {"v3": there.head(), "champion": there.head()}
    anonymous = urllib3.request(
        "GET", f"{there.endpoint}/api/models/{there.name}/revision/main", retries=False
    )
    assert anonymous.status == 401, "private"


def test_the_same_again_commits_nothing_and_a_change_is_mended(there: Repository, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    assert there.publisher.publish(folder, **there.told).sent == 5
    head = there.head()
    assert there.publisher.publish(folder, **there.told).sent == 0
    assert there.head() == head
    there.commit({"metrics.json": "changed", "theirs.txt": "theirs"})
    assert there.publisher.publish(folder, **there.told).sent == 1
    assert there.files()["metrics.json"] == FILES["metrics.json"]
    assert there.files()["theirs.txt"] == b"theirs"


def test_another_version_is_a_commit_that_removes_what_it_has_not_and_moves_the_alias(
    there: Repository, tmp_path: Path
) -> None:
    there.publisher.publish(runs.version(tmp_path / "champ"), **there.told, aliases=["champion"])
    first = there.head()
    newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx", "metrics.json": FILES["metrics.json"]})
    done = there.publisher.publish(newer, **{**there.told, "version": 4}, aliases=["champion"])
    assert done.sent == 2
    assert sorted(there.files()) == [
        "README.md",
        "artifacts.json",
        "metrics.json",
        "model.onnx",
        "trainyard.json",
    ]
    assert there.tags() == {"v3": first, "v4": there.head(), "champion": there.head()}
    assert there.files("v3")["model.joblib"] == FILES["model.joblib"]


def test_an_alias_that_is_wanted_no_longer_is_taken_back_and_no_tag_of_anybody_else(
    there: Repository, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    there.publisher.publish(folder, **there.told, aliases=["champion", "prod"])
    assert there.ask("POST", f"/api/models/{there.name}/tag/main", tag="theirs").status == 200
    former = ["champion", "theirs", "v3", "never"]
    done = there.publisher.publish(folder, **there.told, aliases=["prod"], formerAliases=former)
    assert (done.code, done.sent) == (0, 0)
    assert sorted(there.tags()) == ["prod", "theirs", "v3"]
    assert json.loads(there.files()["trainyard.json"])["tags"] == ["prod", "v3"]
    again = there.publisher.publish(folder, **there.told, aliases=["prod", "champion"])
    assert (again.code, sorted(there.tags())) == (0, ["champion", "prod", "theirs", "v3"])


def test_a_repository_that_was_made_for_it_goes_and_another_keeps_what_is_not_ours(
    there: Repository, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    there.publisher.publish(folder, **there.told)
    done = there.publisher.unpublish(**there.told)
    assert (done.code, done.message) == (
        0,
        f"the repository {there.name}, which was made for this, is deleted",
    )
    assert there.ask("GET", f"/api/models/{there.name}/revision/main").status == 404
    again = there.publisher.unpublish(**there.told)
    assert (again.code, again.message) == (0, f"nothing is published at hf://{there.name} any more")
    there.create()
    there.commit({"theirs.txt": "theirs"})
    there.publisher.publish(folder, **there.told, aliases=["champion"])
    done = there.publisher.unpublish(**there.told)
    assert done.message == f"6 files are removed from {there.name}; its history keeps them"
    assert (there.files(), there.tags()) == ({"theirs.txt": b"theirs"}, {})


def test_a_file_of_somebody_else_is_not_overwritten_by_a_newer_version_that_has_that_name(
    there: Repository, tmp_path: Path
) -> None:
    there.publisher.publish(runs.version(tmp_path / "champ"), **there.told)
    there.commit({"notes.txt": "theirs"})
    newer = runs.version(tmp_path / "newer", {**FILES, "notes.txt": b"ours"})
    done = there.publisher.publish(newer, **{**there.told, "version": 4})
    assert (done.code, "has a file notes.txt already" in done.message) == (2, True), done.message
    assert there.files()["notes.txt"] == b"theirs"


def test_a_repository_with_a_branch_of_somebody_else_is_not_deleted(
    there: Repository, tmp_path: Path
) -> None:
    there.publisher.publish(runs.version(tmp_path / "champ"), **there.told)
    assert there.ask("POST", f"/api/models/{there.name}/branch/theirs").status == 200
    done = there.publisher.unpublish(**there.told)
    assert done.message == f"6 files are removed from {there.name}; its history keeps them"
    assert "model.joblib" in there.files("theirs")


def test_what_is_not_ours_is_neither_overwritten_nor_moved(there: Repository, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    there.create()
    there.commit({"README.md": "theirs"})
    taken = there.publisher.publish(folder, **there.told)
    assert (taken.code, "has a file README.md already" in taken.message) == (2, True)
    assert there.files() == {"README.md": b"theirs"}
    bare = runs.version(tmp_path / "bare", card=None)
    assert there.ask("POST", f"/api/models/{there.name}/tag/main", tag="prod").status == 200
    tagged = there.publisher.publish(bare, **there.told, aliases=["prod"])
    assert (tagged.code, "has a tag prod that was not made from here" in tagged.message) == (2, True)
    assert there.publisher.publish(bare, **there.told).code == 0
    other = Publisher(folder=tmp_path / "other", secret={"HF_TOKEN": TOKEN}, namespace="other")
    refused = other.publish(bare, **there.told)
    assert (refused.code, "has what team/champ/default" in refused.message) == (2, True)
    assert "which stays" in other.unpublish(**there.told).message
    assert "model.joblib" in there.files()


@pytest.mark.parametrize(
    ("change", "token", "code", "sentence"),
    [
        pytest.param({}, "hf_other", 1, "refuses us", id="a token without the right"),
        pytest.param({}, "", 1, "refuses us", id="no token"),
        pytest.param({"uri": "hf://champ"}, TOKEN, 2, "is to be hf://<owner>/<repository>", id="no owner"),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, TOKEN, 1, "does not answer", id="nobody answers"),
    ],
)
def test_a_hub_that_cannot_be_used_is_told(
    there: Repository, tmp_path: Path, change: dict[str, str], token: str, code: int, sentence: str
) -> None:
    publisher = Publisher(folder=tmp_path, secret={"HF_TOKEN": token})
    done = publisher.publish(runs.version(tmp_path / "champ"), **{**there.told, **change})
    assert (done.code, sentence in done.message) == (code, True), done.log


def test_a_tampered_file_is_not_committed(there: Repository, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    (folder / "model.joblib").write_bytes(b"another")
    done = there.publisher.publish(folder, **there.told)
    assert (done.code, there.files()) == (2, {})
