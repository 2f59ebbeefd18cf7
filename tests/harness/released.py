"""Programs as their projects released them, for where the network reaches that far.

Separate because it is the first choice and may fail in any way: `binaries` then builds from Go modules.
A host that did not answer within seconds is not asked again in this run. Every file is compared with
the checksum that is published beside it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import tarfile
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.harness import console

PROBE_SECONDS = 3.0
READ_SECONDS = 30.0


@dataclass(frozen=True)
class Release:
    """Where a release lies: URL patterns that take {version}, {name} and {arch}.

    `checksums` is a file that holds the digest alone, or lines of digest and file name. `member` is the
    program's path where the URL is that of a tar archive.
    """

    url: str
    checksums: str
    member: str = ""


KUBERNETES = Release(
    url="https://dl.k8s.io/{version}/bin/linux/{arch}/{name}",
    checksums="https://dl.k8s.io/{version}/bin/linux/{arch}/{name}.sha256",
)
ETCD = Release(
    url="https://github.com/etcd-io/etcd/releases/download/{version}/etcd-{version}-linux-{arch}.tar.gz",
    checksums="https://github.com/etcd-io/etcd/releases/download/{version}/SHA256SUMS",
    member="etcd-{version}-linux-{arch}/etcd",
)
KIND = Release(
    url="https://github.com/kubernetes-sigs/kind/releases/download/{version}/kind-linux-{arch}",
    checksums="https://github.com/kubernetes-sigs/kind/releases/download/{version}/kind-linux-{arch}.sha256sum",
)


def download(release: Release, *, name: str, version: str, arch: str, target: Path) -> str | None:
    """Writes the released program to `target`; gives its URL, or None if it could not be had."""
    words = {"name": name, "version": version, "arch": arch}
    url = release.url.format(**words)
    if not _answers(url.split("/")[2], release.checksums.format(**words)):
        return None
    try:
        with console.step(f"Downloading {name} {version}") as step:
            sums = _fetch(release.checksums.format(**words)).decode()
            data = _fetch(url)
            if hashlib.sha256(data).hexdigest() != _digest_for(sums, url.rsplit("/", 1)[1]):
                raise OSError(f"{url} does not match its published checksum")
            if release.member:
                data = _member(data, release.member.format(**words))
            target.write_bytes(data)
            target.chmod(0o755)
            step.say(url)
    except (OSError, KeyError, tarfile.TarError) as error:
        console.say(f"{name} cannot be downloaded ({error}); building it instead.")
        target.unlink(missing_ok=True)
        return None
    return url


@functools.cache
def _answers(host: str, url: str) -> bool:
    """Whether a small file can be had within seconds, name resolution included."""
    if host in _silent:
        return False
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            _fetch(url, timeout=PROBE_SECONDS)
            answered.set()

    # NB: a thread, since the resolver knows no timeout of ours.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS + 1)
    if not answered.is_set():
        _silent.add(host)
        console.say(f"{host} cannot be reached; taking another way.")
        return False
    return True


_silent: set[str] = set()


def _fetch(url: str, *, timeout: float = READ_SECONDS) -> bytes:
    with urllib.request.urlopen(url, timeout=timeout) as response:
        content: bytes = response.read()
        return content


def _digest_for(sums: str, file: str) -> str:
    for line in sums.splitlines():
        words = line.split()
        if len(words) == 1 or (len(words) == 2 and words[1].lstrip("*") == file):
            return words[0]
    raise KeyError(f"no checksum of {file}")


def _member(archive: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(path)
        if file is None:
            raise KeyError(f"no {path} in the archive")
        return file.read()
