"""What servers of files over HTTP have in common: ETags, ranges, and a thread that serves.

Separate because the plain web server and the one that speaks the Hugging Face hub's API share it. Standard library
only, as the latter also runs in a pod. Called by `web` and `hub`.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CHUNK = 1 << 16


@dataclass
class Traffic:
    """Bytes of bodies that were sent; `rate` is the most that one connection gets, in bytes a second."""

    sent: int = 0
    rate: float | None = None


class Handler(BaseHTTPRequestHandler):
    """Answers of whole files, parts of them, and errors; keeps connections open."""

    server: Server
    protocol_version = "HTTP/1.1"
    # NB: small answers would wait for an acknowledgement else.
    disable_nagle_algorithm = True

    def send_file(self, content: bytes, *, etag: str, **headers: str) -> None:
        """The file, or the one range that is asked for (RFC 9110, section 14)."""
        start, end, status = 0, len(content), 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        condition = self.headers.get("If-Range")
        if asked and (condition is None or condition == etag):
            first, last = asked[1], asked[2]
            if first:
                start, end = int(first), min(len(content), int(last) + 1 if last else len(content))
            else:
                start = max(0, len(content) - int(last))
            status = 206
            if start >= len(content):
                self.send_said(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        wanted = self.headers.get("If-Match")
        if wanted not in (None, "*", etag):
            self.send_said(412, b"")
            return
        self.send_said(status, content[start:end], **{"ETag": etag, "Accept-Ranges": "bytes", **headers})

    def send_said(self, status: int, body: bytes, **headers: str) -> None:
        """An answer; of a HEAD only what is before the body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        traffic = self.server.traffic
        for start in range(0, len(body), _CHUNK):
            part = body[start : start + _CHUNK]
            self.wfile.write(part)
            traffic.sent += len(part)
            if traffic.rate is not None:
                time.sleep(len(part) / traffic.rate)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests look at what they were given."""


class Server(ThreadingHTTPServer):
    """A server for one kind of handler; `told` is what that reads, `traffic` what it sends."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[Handler], told: Any, traffic: Traffic) -> None:
        super().__init__(address, handler)
        self.told = told
        self.traffic = traffic

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what some tests are about."""


@contextlib.contextmanager
def serving(server: Server, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves until the end of the block; gives the port."""
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
