"""Azure's own emulator of its blob storage (Azurite), for tests of what is read from abfs://.

Separate because it needs no cluster. Called by fixtures.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import urllib3

from tests.harness import console, nodejs, processes
from tests.harness.errors import HarnessError
from tests.harness.tethered import Tethered

ACCOUNT = "trainyard"
KEY = base64.b64encode(hashlib.sha512(b"an example key").digest()).decode()
_MAIN = "azurite/dist/src/blob/main.js"


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """A server that is ready, with one account; its blobs are in memory."""

    port: int

    @property
    def endpoint(self) -> str:
        """Of the account: on a host of its own, Azure has the account's name in the host's."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """As Azure's portal gives it."""
        return self.connection_string_at(self.endpoint)

    def connection_string_at(self, endpoint: str, *, key: str = KEY) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint};"
        )

    def write(self, container: str, blobs: Mapping[str, bytes]) -> None:
        """Puts blobs into a container, by name."""
        for name, content in blobs.items():
            self._put(f"{container}/{name}", {}, content, {"x-ms-blob-type": "BlockBlob"})

    def make_container(self, container: str) -> None:
        self._put(container, {"restype": "container"}, b"", {})

    def _put(self, path: str, query: Mapping[str, str], body: bytes, headers: Mapping[str, str]) -> None:
        """One PUT, signed with the account's key (Azure Storage, "Authorize with Shared Key")."""
        resource = f"/{ACCOUNT}/{urllib.parse.quote(path)}"
        more = {**headers, "x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        told = "".join(f"{name}:{value}\n" for name, value in sorted(more.items()))
        asked = "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
        # NB: the lines in between are of headers that are not sent; the account is in the path, hence twice.
        text = f"PUT\n\n\n{len(body) or ''}\n\n\n\n\n\n\n\n\n{told}/{ACCOUNT}{resource}{asked}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
        url = f"http://127.0.0.1:{self.port}{resource}?{urllib.parse.urlencode(query)}"
        signed = {**more, "Authorization": f"SharedKey {ACCOUNT}:{signature}"}
        answer = urllib3.request("PUT", url.rstrip("?"), body=body, headers=signed, timeout=30.0)
        if answer.status >= 300:
            raise HarnessError(f"PUT {path}: {answer.status} {answer.data[:200]!r}")


@contextmanager
def running(folder: Path, *containers: str) -> Iterator[Azurite]:
    """A server with these containers, until the end of the block."""
    (port,) = processes.free_ports(1)
    argv: list[str | Path] = [nodejs.ensure_node().node, program(), "--blobHost", "127.0.0.1"]
    argv += ["--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"]
    server = Tethered(
        "Azurite",
        [*argv, "--skipApiVersionCheck", "--silent"],
        port=port,
        log=folder / "azurite.log",
        env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
    )
    server.start()
    try:
        azurite = Azurite(port=port)
        for container in containers:
            azurite.make_container(container)
        yield azurite
    finally:
        server.stop()


def program() -> Path:
    """The script that Node runs, installed where it is missing."""
    return nodejs.installed("azurite") / _MAIN


def main() -> None:
    """`python -m tests.harness.azurite`: gets the program and prints its path."""
    try:
        print("azurite", program())
    except HarnessError as error:
        console.complain(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
