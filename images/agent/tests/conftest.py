"""A web server of files, real but in this process, that tests fill, slow down and put out of order; a store
of objects; and pods that start from a base model.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hostile_servers import Store, storing
from modelpods import Pod, of_store
from modelstores import ATTEMPT, Stored, sha256

from trainyard_agent import __main__, patience
from trainyard_agent.dataorder import VARIABLE, DataOrder, read_data_order

_CHUNK = 1 << 16


@dataclass
class Files:
    """`contents` by path. The next answers for a path in `statuses` and `cuts` (after so many bytes) are such.

    `before` is called with each path before it is answered; `rate` is the bytes a second of one connection.
    """

    port: int = 0
    contents: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    without_length: set[str] = field(default_factory=set)
    without_ranges: set[str] = field(default_factory=set)
    token: str = ""
    rate: float | None = None
    before: Callable[[str], object] = lambda _: None
    asked: list[str] = field(default_factory=list)
    told: list[str | None] = field(default_factory=list)
    sent: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.endpoint}/{urllib.parse.quote(path)}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        files: Files = self.server.files  # type: ignore[attr-defined]  # set by the fixture
        path = urllib.parse.unquote(self.path.partition("?")[0]).removeprefix("/")
        files.asked.append(path)
        files.told.append(self.headers.get("Authorization"))
        files.before(path)
        if (status := next(iter(files.statuses.get(path, [])), None)) is not None:
            files.statuses[path].pop(0)
            self._say(status, b"no")
        elif path in files.moved:
            self._say(302, b"", Location=files.moved[path])
        elif files.token and self.headers.get("Authorization") != f"Bearer {files.token}":
            self._say(403, b"who are you?")
        elif path not in files.contents:
            self._say(404, b"nothing here")
        else:
            self._give(files, path, files.contents[path])

    def _give(self, files: Files, path: str, content: bytes) -> None:
        etag = _etag(content)
        if path in files.without_length:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self._send(files, path, content)
            self.close_connection = True
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if asked is None or path in files.without_ranges:
            self._say(200, content, files=files, path=path, ETag=etag)
            return
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(content))
        if start >= len(content):
            self._say(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            return
        told = {"ETag": etag, "Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        self._say(206, content[start:end], files=files, path=path, **told)

    def _say(
        self, status: int, body: bytes, *, files: Files | None = None, path: str = "", **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if files is None:
            self.wfile.write(body)
        else:
            self._send(files, path, body)

    def _send(self, files: Files, path: str, body: bytes) -> None:
        if len(body) > 1 and files.cuts.get(path):
            body = body[: files.cuts[path].pop(0)]
            self.close_connection = True
        for start in range(0, len(body), _CHUNK):
            part = body[start : start + _CHUNK]
            self.wfile.write(part)
            files.sent += len(part)
            if files.rate is not None:
                time.sleep(len(part) / files.rate)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@functools.lru_cache
def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A puller that is killed leaves in the middle."""


@pytest.fixture
def files() -> Iterator[Files]:
    server = _Server(("127.0.0.1", 0), _Handler)
    served = server.files = Files(port=server.server_address[1])  # type: ignore[attr-defined]  # for the handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ordered(tmp_path: Path, files: Files) -> Callable[..., DataOrder]:
    """Makes an order; what is given is that of its source."""

    def make(listing: str = "", **source: Any) -> DataOrder:
        volume = tmp_path / "volume"
        volume.mkdir(exist_ok=True)
        (tmp_path / "secrets" / "source").mkdir(parents=True, exist_ok=True)
        said = {
            "namespace": "team",
            "dataset": "digits",
            "source": {"endpoint": files.endpoint, **source},
            "volume": str(volume),
            "listing": listing,
        }
        environ = {VARIABLE: json.dumps(said), "TRAINYARD_SECRETS": str(tmp_path / "secrets")}
        return read_data_order({**environ, "TRAINYARD_TERMINATION_LOG": str(tmp_path / "word")})

    return make


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not bear for long what only people can mend."""
    monkeypatch.setattr(patience, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(patience, "LASTING_SECONDS", 0.2)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the bucket `models`."""
    with storing(tmp_path_factory.mktemp("s3"), "models") as server:
        yield server


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: None) -> Pod:
    """A pod whose environment has no identity of ours."""
    for name in os.environ:
        if name.startswith(("AWS_", "HF_")):
            monkeypatch.delenv(name)
    environ = {"TRAINYARD_TERMINATION_LOG": str(tmp_path / "word")}
    for name in (*environ, "TRAINYARD_AGENT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(__main__, "FETCH_SECONDS", 1.0)
    return Pod(tmp_path, environ)


@pytest.fixture(params=["mounted", "in a bucket"])
def stored(
    request: pytest.FixtureRequest, pod: Pod, s3: Store, tmp_path: Path
) -> tuple[Stored, dict[str, Any]]:
    """A folder for a version's artifacts, and what an order says of it."""
    if request.param == "mounted":
        pod.mounted.mkdir(parents=True)
        uri = f"pvc://models/{ATTEMPT}"
        return Stored(pod.mounted), {"mounted": True, "folder": str(pod.mounted), "uri": uri}
    name = sha256(str(tmp_path).encode())[:12]
    folder = s3.buckets / "models" / name / ATTEMPT
    return Stored(folder), of_store(s3, tmp_path, f"s3://models/{name}/{ATTEMPT}")
