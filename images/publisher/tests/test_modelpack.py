"""OCI registries as targets: the artifact of the ModelPack specification, in a real registry (distribution v3)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import runs
import servers
import urllib3
from runs import FILES, Publisher, Run

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("registry")
    with servers.serving(servers.REGISTRY, folder, deletes=True, account=True) as said:
        yield said


class Registry:
    """A repository of a registry, and what is published there."""

    def __init__(self, said: dict[str, Any], folder: Path) -> None:
        self.said = said
        self.repository = f"team/{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
        account = {"username": said["name"], "password": said["password"]}
        self.publisher = Publisher(folder=folder, secret=account)

    def told(self, tag: str = ":stable") -> dict[str, str]:
        host = self.said["endpoint"].partition("://")[2]
        return {"uri": f"oci://{host}/{self.repository}{tag}", "endpoint": self.said["endpoint"]}

    def ask(self, path: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
        account = f"{self.said['name']}:{self.said['password']}"
        headers = {"Accept": MANIFEST, **urllib3.make_headers(basic_auth=account)}
        return urllib3.request(method, f"{self.said['endpoint']}/v2/{self.repository}{path}", headers=headers)

    def digest(self, tag: str) -> str | None:
        answer = self.ask(f"/manifests/{tag}", "HEAD")
        return answer.headers.get("Docker-Content-Digest") if answer.status == 200 else None

    def pulled(self, tag: str) -> dict[str, bytes]:
        """The files as `oras pull` gives them: each layer by its title."""
        manifest = self.ask(f"/manifests/{tag}").json()
        return {
            layer["annotations"]["org.opencontainers.image.title"]: self.ask(f"/blobs/{layer['digest']}").data
            for layer in manifest["layers"]
        }


@pytest.fixture
def there(registry: dict[str, Any], tmp_path: Path) -> Registry:
    return Registry(registry, tmp_path)


def test_the_artifact_is_that_of_the_specification_and_gives_the_files_back(
    there: Registry, tmp_path: Path
) -> None:
    folder = runs.version(tmp_path / "champ")
    told = {**there.told(), "aliases": ["champion", "prod"], "description": "Says what is what."}
    metadata = {"time": "2026-11-22T10:00:00Z", "architecture": "random_forest", "license": "apache-2.0"}
    done = there.publisher.publish(folder, **told, metadata=metadata)
    published = done.published
    assert published["version"] == "stable"
    assert published["uri"] == f"{told['uri'].removesuffix(':stable')}@{published['digest']}"
    assert {there.digest(tag) for tag in ("stable", "champion", "prod")} == {published["digest"]}
    manifest = there.ask("/manifests/stable").json()
    assert (manifest["mediaType"], manifest["artifactType"]) == (
        MANIFEST,
        "application/vnd.cncf.model.manifest.v1+json",
    )
    assert manifest["annotations"]["dev.trainyard.artifacts-digest"] == runs.digest(folder)
    media = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"].removeprefix(
            "application/vnd.cncf.model."
        )
        for layer in manifest["layers"]
    }
    assert media == {
        "README.md": "doc.v1.raw",
        "artifacts.json": "weight.config.v1.raw",
        "metrics.json": "weight.config.v1.raw",
        "model.joblib": "weight.v1.raw",
        "plots/confusion matrix.csv": "doc.v1.raw",
    }
    config = there.ask(f"/blobs/{manifest['config']['digest']}").json()
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert config == {
        "descriptor": {
            "createdAt": "2026-11-22T10:00:00Z",
            "name": "champ",
            "version": "3",
            "description": "Says what is what.",
            "licenses": ["apache-2.0"],
        },
        "config": {"architecture": "random_forest", "format": "joblib"},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in manifest["layers"]]},
    }
    assert {**FILES, "README.md": runs.CARD}.items() <= there.pulled("champion").items()


def test_the_same_again_sends_nothing_and_has_the_same_digest(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    first = there.publisher.publish(folder, **there.told())
    assert first.sent == 5
    second = there.publisher.publish(folder, **there.told())
    assert (second.sent, second.published) == (0, first.published)
    aliased = there.publisher.publish(folder, **there.told(), aliases=["champion"])
    assert (aliased.sent, there.digest("champion")) == (0, first.published["digest"])


def test_tags_move_to_another_version_and_unpublish_removes_what_was_published(
    there: Registry, tmp_path: Path
) -> None:
    first = there.publisher.publish(runs.version(tmp_path / "champ"), **there.told(), aliases=["champion"])
    newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx", "metrics.json": FILES["metrics.json"]})
    second = there.publisher.publish(newer, **{**there.told(), "version": 4}, aliases=["champion"])
    assert second.sent == 2, "the metrics and the card are there"
    assert (
        there.digest("stable")
        == there.digest("champion")
        == second.published["digest"]
        != first.published["digest"]
    )
    told = {**there.told(), "version": 4, "digest": second.published["digest"]}
    assert there.publisher.unpublish(**told).code == 0
    assert there.digest("stable") is None
    assert there.digest(second.published["digest"]) is None
    assert there.digest(first.published["digest"]) == first.published["digest"], (
        "without a tag, until it is collected"
    )
    again = there.publisher.unpublish(**told)
    assert (again.code, again.message) == (0, f"0 manifests are deleted from {there.repository}")


def test_a_former_version_under_an_alias_that_is_named_no_more_is_unpublished_too(
    there: Registry, tmp_path: Path
) -> None:
    first = there.publisher.publish(runs.version(tmp_path / "champ"), **there.told(), aliases=["champion"])
    newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx"})
    second = there.publisher.publish(newer, **{**there.told(), "version": 4}, aliases=["prod"])
    assert there.digest("champion") == first.published["digest"]
    told = {**there.told(), "version": 4, "digest": second.published["digest"]}
    assert there.publisher.unpublish(**told, aliases=["prod"]).code == 0
    assert [there.digest(tag) for tag in ("stable", "prod", "champion")] == [None] * 3


def test_an_alias_that_is_wanted_no_longer_is_taken_back_and_no_tag_of_anybody_else(
    there: Registry, tmp_path: Path
) -> None:
    other = Registry(there.said, tmp_path / "other")
    other.repository, other.publisher.namespace = there.repository, "other"
    folder = runs.version(tmp_path / "champ")
    theirs = other.publisher.publish(folder, **there.told(":theirs"))
    first = there.publisher.publish(folder, **there.told(), aliases=["champion", "prod"])
    former = ["champion", "stable", "theirs", "never"]
    done = there.publisher.publish(folder, **there.told(), aliases=["prod"], formerAliases=former)
    assert (done.sent, done.published) == (0, first.published)
    assert there.digest("champion") is None
    assert {there.digest(tag) for tag in ("stable", "prod")} == {first.published["digest"]}
    assert there.digest("theirs") == theirs.published["digest"]
    assert {**FILES, "README.md": runs.CARD}.items() <= there.pulled("stable").items()


def test_a_former_version_under_an_alias_that_is_wanted_no_longer_is_named_by_it_no_more(
    there: Registry, tmp_path: Path
) -> None:
    there.publisher.publish(runs.version(tmp_path / "champ"), **there.told(), aliases=["champion"])
    newer = runs.version(tmp_path / "newer", {"model.onnx": b"onnx"})
    second = there.publisher.publish(newer, **{**there.told(), "version": 4}, formerAliases=["champion"])
    assert there.digest("champion") is None
    assert there.digest("stable") == second.published["digest"]


def test_a_tag_that_is_not_ours_is_neither_moved_nor_removed(there: Registry, tmp_path: Path) -> None:
    other = Registry(there.said, tmp_path / "other")
    other.repository, other.publisher.namespace = there.repository, "other"
    theirs = other.publisher.publish(
        runs.version(tmp_path / "champ", {"theirs.bin": b"theirs"}), **there.told(":prod")
    )
    folder = runs.version(tmp_path / "ours")
    done = there.publisher.publish(folder, **there.told(), aliases=["prod"])
    assert done.code == 2
    assert "Tag prod of" in done.message
    assert "is of other/champ/default (namespace/model/target) and is not moved" in done.message
    assert there.digest("stable") is None, "nothing was done by half"
    gone = there.publisher.unpublish(**there.told(":prod"), digest=theirs.published["digest"])
    assert gone.code == 0
    assert "1 that others have published under its tags stay" in gone.message
    assert there.digest("prod") == theirs.published["digest"]


def test_a_killed_run_is_gone_on_from(there: Registry, tmp_path: Path) -> None:
    many = {f"part-{number:03}.bin": os.urandom(1_000_000) for number in range(30)}
    folder = runs.version(tmp_path / "champ", many)
    process = there.publisher.begin("publish", folder, **there.told())
    blobs = [hashlib.sha256(data).hexdigest() for data in many.values()]
    deadline = time.monotonic() + 60
    while there.ask(f"/blobs/sha256:{blobs[3]}", "HEAD").status != 200:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    there.publisher.end(process)
    assert there.digest("stable") is None
    done = there.publisher.publish(folder, **there.told())
    assert 0 < done.sent < 30
    assert many.items() <= there.pulled("stable").items()


def test_a_tampered_file_is_not_published(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    (folder / "model.joblib").write_bytes(b"another")
    done = there.publisher.publish(folder, **there.told())
    assert (done.code, there.digest("stable")) == (2, None)
    assert "model.joblib is not what the version's artifacts.json says" in done.message


def _docker(said: dict[str, Any], registry: str) -> dict[str, str]:
    account = base64.b64encode(f"{said['name']}:{said['password']}".encode()).decode()
    return {".dockerconfigjson": json.dumps({"auths": {registry: {"auth": account}}})}


def test_who_we_are_comes_from_a_docker_secret_too(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    host = there.said["endpoint"].partition("://")[2]
    there.publisher.secret = _docker(there.said, host)
    (tmp_path / "secret").mkdir(exist_ok=True)
    assert there.publisher.publish(folder, **there.told()).code == 0


@pytest.mark.parametrize(
    ("change", "secret", "code", "sentence"),
    [
        pytest.param({}, {"username": "trainyard", "password": "no"}, 1, "refuses us", id="a wrong password"),
        pytest.param({}, {}, 1, "refuses us", id="no account"),
        pytest.param(
            {}, {".dockerconfigjson": '{"auths": {"ghcr.io": {}}}'}, 2, "it has ghcr.io", id="another's"
        ),
        pytest.param(
            {"uri": "oci://host/Team/champ"}, {}, 2, "in lower-case letters", id="a name that is none"
        ),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, {}, 1, "does not answer", id="nobody answers"),
    ],
)
def test_a_registry_that_cannot_be_used_is_told(
    there: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    secret: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setenv("TRAINYARD_PATIENCE_SECONDS", "1")
    publisher = Publisher(folder=tmp_path, secret=secret)
    done: Run = publisher.publish(runs.version(tmp_path / "champ"), **{**there.told(), **change})
    assert (done.code, sentence in done.message) == (code, True), done.message


def test_a_registry_that_deletes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with servers.serving(servers.REGISTRY, tmp_path / "registry", deletes=False, account=False) as said:
        there = Registry(said, tmp_path)
        done = there.publisher.publish(runs.version(tmp_path / "champ"), **there.told())
        gone = there.publisher.unpublish(**there.told(), digest=done.published["digest"])
    assert gone.code == 2
    assert "does not let manifests be deleted" in gone.message


def test_a_tag_that_a_registry_does_not_let_be_removed_is_told_and_the_version_is_published(
    tmp_path: Path,
) -> None:
    (tmp_path / "registry").mkdir()
    with servers.serving(servers.REGISTRY, tmp_path / "registry", deletes=False, account=False) as said:
        there = Registry(said, tmp_path)
        folder = runs.version(tmp_path / "champ")
        there.publisher.publish(folder, **there.told(), aliases=["champion", "prod"])
        done = there.publisher.publish(
            folder, **there.told(), aliases=["prod"], formerAliases=["champion", "never"]
        )
        assert there.digest("champion") == there.digest("stable") == done.published["digest"]
    assert (done.code, done.published["left"]) == (0, ["champion"])
    assert "tag champion stays, as the registry" in done.message


class _Gate(BaseHTTPRequestHandler):
    """A registry in front of the real one that wants Docker's tokens, and the server that gives them."""

    protocol_version = "HTTP/1.1"
    real: dict[str, Any]
    asked: list[str]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        told = self.headers.get("Authorization") or ""
        basic = urllib3.make_headers(basic_auth=f"{self.real['name']}:{self.real['password']}")[
            "authorization"
        ]
        if path == "/token":
            self.asked.append(urllib.parse.unquote(query))
            said = json.dumps({"token": "an-example"}).encode() if told == basic else b"{}"
            self._send(200 if told == basic else 401, said, {})
        elif told != "Bearer an-example":
            realm = f"http://{self.headers['Host']}/token"
            self._send(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="examples"'})
        else:
            headers = {**self.headers, "Authorization": basic}
            url = f"{self.real['endpoint']}{self.path}"
            answer = urllib3.request(self.command, url, headers=headers, body=body, redirect=False)
            kept = ("Location", "Docker-Content-Digest", "Content-Type")
            self._send(
                answer.status,
                answer.data,
                {key: answer.headers[key] for key in kept if key in answer.headers},
            )

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Busy(_Gate):
    """A registry that wants to be left alone for an hour."""

    def do_HEAD(self) -> None:
        self._send(429, b'{"errors": [{"message": "too many requests"}]}', {"Retry-After": "3600"})

    do_GET = do_POST = do_PUT = do_HEAD


@contextmanager
def _in_front(handler: type[_Gate]) -> Iterator[str]:
    """The address of a server that answers so."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_registry_that_is_busy_is_none_that_lets_no_tag_be_removed(there: Registry, tmp_path: Path) -> None:
    folder = runs.version(tmp_path / "champ")
    there.publisher.publish(folder, **there.told(), aliases=["champion"])
    busy = {"real": there.said, "asked": [], "do_DELETE": _Busy.do_HEAD}
    with (
        _in_front(type("BusyGate", (_Gate,), busy)) as address,
        mock.patch.dict(os.environ, {"TRAINYARD_PATIENCE_SECONDS": "1"}),
    ):
        told = {**there.told(), "endpoint": address}
        done = there.publisher.publish(folder, **told, formerAliases=["champion"])
    assert (done.code, "429 too many requests" in done.message) == (1, True), done.log
    again = there.publisher.publish(folder, **there.told(), formerAliases=["champion"])
    assert (again.code, again.published.get("left")) == (0, None), again.log


def test_nobody_waits_longer_than_the_patience_whatever_a_registry_asks_for(
    there: Registry, tmp_path: Path
) -> None:
    with _in_front(_Busy) as address:
        told = {**there.told(), "endpoint": address}
        with mock.patch.dict(os.environ, {"TRAINYARD_PATIENCE_SECONDS": "1"}):
            process = there.publisher.begin("publish", runs.version(tmp_path / "champ"), **told)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
        done = there.publisher.end(process)
    assert (done.code, "429 too many requests" in done.message) == (1, True), done.log


def test_a_registry_that_wants_a_token_gets_one_for_this_repository(there: Registry, tmp_path: Path) -> None:
    handler = type("Gate", (_Gate,), {"real": there.said, "asked": []})
    with _in_front(handler) as address:
        done = there.publisher.publish(
            runs.version(tmp_path / "champ"), **{**there.told(), "endpoint": address}
        )
    assert done.code == 0, done.log
    assert there.digest("stable") == done.published["digest"]
    assert set(handler.asked) == {f"scope=repository:{there.repository}:pull,push,delete&service=examples"}
