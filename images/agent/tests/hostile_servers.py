"""Servers: one for HTTP that answers as no honest one does, also in as much S3 as a puller asks, and a real S3 server.

Separate because what they do is told by the tests, request by request. Called by `test_hostile`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent. `cut` is how many bytes of it, before the connection ends; `length` what it says it has."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    tag: str | None = None
    cut: int | None = None
    length: int | None = None


#: What answers a request: its path, and how many there have been for it before.
Answering = Callable[[str, int], Answer]


@dataclass
class Server:
    """`files` are by their paths, without the first slash."""

    address: str
    files: dict[str, Answering] = field(default_factory=dict)
    counts: dict[str, Iterator[int]] = field(default_factory=dict)

    def put(self, path: str, answer: bytes | Answer | Answering) -> str:
        """Its address."""
        if isinstance(answer, bytes):
            answer = Answer(body=answer)
        if isinstance(answer, Answer):
            said = answer
            self.files[path] = lambda _path, _count: said
        else:
            self.files[path] = answer
        return f"{self.address}/{path}"

    def put_bucket(self, bucket: str, keys: Mapping[str, bytes]) -> None:
        """A bucket that lists these keys, whatever they are, and has them."""

        def listed(_path: str, _count: int) -> Answer:
            entries = "".join(
                f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{hashlib.md5(data).hexdigest()}&quot;</ETag><Size>{len(data)}</Size></Contents>"
                for key, data in keys.items()
            )
            body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
            return Answer(body=body.encode("utf-8", "surrogateescape"))

        self.files[bucket] = listed
        for key, data in keys.items():
            self.put(f"{bucket}/{key}", Answer(body=data, tag=hashlib.md5(data).hexdigest()))

    def answer(self, path: str) -> Answer:
        found = self.files.get(path) or self.files.get(path.rstrip("/"))
        if found is None:
            return Answer(status=404)
        return found(path, next(self.counts.setdefault(path, itertools.count())))


@contextmanager
def serving() -> Iterator[Server]:
    """A server, until the end of the block."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    server = Server(address=f"http://127.0.0.1:{http.server_address[1]}")
    _Handler.servers[http.server_address[1]] = server
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Store:
    """A real S3 server; its buckets are the folders in `buckets`, and `secret` what a Secret for it has."""

    buckets: Path
    endpoint: str
    secret: Mapping[str, str]


_S3 = """
import json, sys
from pathlib import Path
from tests.harness import s3
with s3.running(Path(sys.argv[1]), *sys.argv[2:]) as server:
    print(json.dumps({"endpoint": server.endpoint, "secret": server.environment}), flush=True)
    sys.stdin.read()
"""


@contextmanager
def storing(folder: Path, *buckets: str) -> Iterator[Store]:
    """A store, until the end of the block.

    In another process, as the project's `tests` and this image's are packages of one name.
    """
    argv = [sys.executable, "-c", _S3, str(folder), *buckets]
    root = Path(__file__).parents[3]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Store(buckets=folder / "buckets", endpoint=said["endpoint"], secret=said["secret"])
        process.stdin.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    servers: dict[int, Server] = {}  # noqa: RUF012  # by port, of the running ones

    def do_GET(self) -> None:
        self._send(body=True)

    def do_HEAD(self) -> None:
        self._send(body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, *, body: bool) -> None:
        server = self.servers[self.server.server_address[1]]
        path = urllib.parse.unquote(self.path.partition("?")[0].removeprefix("/"), errors="surrogateescape")
        answer = server.answer(path)
        data, status, headers = answer.body, answer.status, dict(answer.headers)
        headers["ETag"] = f'"{hashlib.md5(data).hexdigest() if answer.tag is None else answer.tag}"'
        headers["Last-Modified"] = "Thu, 01 Jan 2026 00:00:00 GMT"
        asked = _RANGE.match(self.headers.get("Range") or "")
        if asked and status == 200:
            start, end = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            if start >= len(data):
                status, data, headers["Content-Range"] = 416, b"", f"bytes */{len(data)}"
            else:
                status, headers["Content-Range"] = 206, f"bytes {start}-{end}/{answer.length or len(data)}"
                data = data[start : end + 1]
        elif answer.length is not None:
            headers["Content-Length"] = str(answer.length)
        headers.setdefault("Content-Length", str(len(data)))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[: answer.cut])
        if answer.cut is not None or answer.length is not None:
            self.close_connection = True
