"""A server that speaks Google Cloud Storage's JSON API (fake-gcs-server), for tests of what is read from gs://.

Separate because it needs no cluster. It asks nobody who they are: what a refusal does is tested through a `Wiretap` in
front of it. Called by fixtures.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tests.harness import binaries, processes
from tests.harness.errors import HarnessError
from tests.harness.tethered import Tethered


@dataclass(frozen=True, kw_only=True)
class GCS:
    """A server that is ready; its objects are in memory."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Puts objects into a bucket, by name."""
        for name, content in objects.items():
            query = urllib.parse.urlencode({"uploadType": "media", "name": name})
            self._ask("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", content, "application/octet-stream")

    def remove(self, bucket: str, name: str) -> None:
        self._ask("DELETE", f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}", b"", "")

    def make_bucket(self, bucket: str) -> None:
        body = f'{{"name": "{bucket}", "versioning": {{"enabled": true}}}}'.encode()
        self._ask("POST", "/storage/v1/b?project=test", body, "application/json")

    def _ask(self, method: str, path: str, body: bytes, kind: str) -> None:
        headers = {"Content-Type": kind} if kind else {}
        answer = urllib3.request(method, self.endpoint + path, body=body, headers=headers, timeout=30.0)
        if answer.status >= 300:
            raise HarnessError(f"{method} {path}: {answer.status} {answer.data[:200]!r}")


@contextmanager
def running(folder: Path, *buckets: str, port: int | None = None, behind: int | None = None) -> Iterator[GCS]:
    """A server with these buckets, until the end of the block, at a port that may be given.

    `behind` is the port by which clients reach it through a Wiretap: it answers to one name only.
    """
    port = port or processes.free_ports(1)[0]
    public = f"127.0.0.1:{behind or port}"
    program = binaries.ensure("fake-gcs-server")["fake-gcs-server"]
    argv: list[str | Path] = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    argv += ["-backend", "memory", "-public-host", public, "-external-url", f"http://{public}"]
    server = Tethered("The GCS server", argv, port=port, log=folder / "fake-gcs-server.log")
    server.start()
    try:
        gcs = GCS(port=port)
        for bucket in buckets:
            gcs.make_bucket(bucket)
        yield gcs
    finally:
        server.stop()
