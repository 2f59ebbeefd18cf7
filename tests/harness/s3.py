"""A real S3 server on a folder (versitygw), for tests of what is kept in an object store.

Separate because it needs no cluster, and because tests take it away and bring it back. Called by fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import binaries, processes
from tests.harness.tethered import Tethered

ACCESS_KEY, SECRET_KEY = "trainyard", "trainyard-secret"


@dataclass
class S3:
    """An S3 server; its buckets are the folders in `folder`."""

    folder: Path
    port: int
    _process: Tethered | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs, as a Secret for the operator would give it."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    def objects(self, bucket: str) -> dict[str, bytes]:
        """The contents of a bucket, by key."""
        root = self.folder / "buckets" / bucket
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and ".sgwtmp" not in path.parts
        }

    def start(self) -> None:
        """Starts it, or starts it again."""
        buckets, sidecar = self.folder / "buckets", self.folder / "sidecar"
        buckets.mkdir(parents=True, exist_ok=True)
        sidecar.mkdir(exist_ok=True)
        program = str(binaries.ensure("versitygw")["versitygw"])
        keys = ("--access", ACCESS_KEY, "--secret", SECRET_KEY)
        argv = [
            program,
            "--port",
            f"127.0.0.1:{self.port}",
            *keys,
            "--quiet",
            "posix",
            "--sidecar",
            str(sidecar),
        ]
        self._process = Tethered(
            "The S3 server", [*argv, str(buckets)], port=self.port, log=self.folder / "versitygw.log"
        )
        self._process.start()

    def stop(self) -> None:
        """Ends it; what it holds stays."""
        if self._process is not None:
            self._process.stop()
            self._process = None


@contextmanager
def running(folder: Path, *buckets: str) -> Iterator[S3]:
    """A server with these buckets, until the end of the block."""
    (port,) = processes.free_ports(1)
    server = S3(folder=folder, port=port)
    for bucket in buckets:
        (folder / "buckets" / bucket).mkdir(parents=True)
    server.start()
    try:
        yield server
    finally:
        server.stop()
