"""A real HTTP receiver of callbacks on 127.0.0.1, which answers as it is told and keeps what it was sent.

Called by tests of callbacks. It checks signatures by itself, with nothing of the operator's.
"""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def signed_by(self, key: bytes) -> bool:
        """Whether one of the signatures is of this key (Standard Webhooks, section "Verifying signatures")."""
        content = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        signatures = self.headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(wanted, one) for one in signatures)


@dataclass(frozen=True, kw_only=True)
class Say:
    """An answer: after `delay` seconds this status, these headers and this body, `endless`ly repeated; or none, and the
    connection is `broken` off.
    """

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    body: bytes = b""
    endless: bool = False
    broken: bool = False


class Receiver:
    """Answers by path: what `script` has left for it, the last one for ever; 204 where there is no script."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[Received] = []
        self.script: dict[str, list[Say]] = {}
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        """Requests for a path, in order."""
        return [request for request in self.requests if request.path == path]

    def take(self, request: Received) -> Say:
        with self._lock:
            self.requests.append(request)
            left = self.script.get(request.path) or [Say()]
            return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def listening(
    port: int = 0, *, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver until the end of the block; port 0 is any free one."""
    server = _Server((address, port), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.receiver
    finally:
        server.receiver.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        say = self.server.receiver.take(Received(path=self.path, headers=headers, body=body, at=time.time()))
        self.server.receiver.stopping.wait(say.delay)
        if say.broken:
            self.close_connection = True
            return
        self.send_response(say.status)
        for name, value in say.headers.items():
            self.send_header(name, value)
        if not say.endless:
            self.send_header("content-length", str(len(say.body)))
        self.end_headers()
        self.wfile.write(say.body)
        while say.endless and not self.server.receiver.stopping.wait(0.1):
            self.wfile.write(say.body)

    do_POST = do_GET = _take

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at what was received."""
