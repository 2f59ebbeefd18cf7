"""Where the harness keeps what is dear to make: programs, images, wheels; and the state of clusters.

Separate because everything the harness makes goes through the same three rules: an entry is named by
the digest of what it was made from, it appears whole or not at all, and two processes never make the
same one twice. Called by `binaries`, by the image builders and by the clusters.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from tests.harness.errors import HarnessError

Shelf = Literal["bin", "images", "wheels"]


def root() -> Path:
    """The cache folder: `${XDG_CACHE_HOME:-~/.cache}/trainyard`. Not created by asking."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trainyard"


def digest_of(*inputs: str | bytes | Path) -> str:
    """A short digest of strings and of the content of files and folders.

    A path counts by its content, and a folder by its files' relative names, modes (executable or not)
    and content, so that the same inputs in another checkout give the same digest.
    """
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, Path):
            _add_path(digest, item)
        else:
            data = item.encode() if isinstance(item, str) else item
            _add(digest, b"data", data)
    return digest.hexdigest()[:20]


def _add(digest: hashlib._Hash, kind: bytes, data: bytes) -> None:
    digest.update(kind + b" %d\0" % len(data))
    digest.update(data)


def _add_path(digest: hashlib._Hash, path: Path) -> None:
    if path.is_symlink():
        _add(digest, b"link", os.readlink(path).encode())
    elif path.is_dir():
        children = sorted(path.iterdir(), key=lambda child: child.name)
        _add(digest, b"folder", str(len(children)).encode())
        for child in children:
            if child.name == "__pycache__":
                continue
            _add(digest, b"name", child.name.encode())
            _add_path(digest, child)
    else:
        executable = bool(path.stat().st_mode & 0o100)
        _add(digest, b"file-x" if executable else b"file", b"")
        with path.open("rb") as file:
            _add(digest, b"content", hashlib.file_digest(file, "sha256").digest())


def entry(shelf: Shelf, digest: str) -> Path:
    """Where the entry is or will be. It exists if and only if it is complete."""
    return root() / shelf / digest


def built(shelf: Shelf, digest: str, build: Callable[[Path], None]) -> Path:
    """The entry's folder, made by `build(folder)` unless it is there.

    `build` fills a fresh temporary folder beside the entry, which is renamed into place when it returns.
    What an earlier run left half-finished is removed. Another process that wants the same entry waits.
    """
    final = entry(shelf, digest)
    if final.exists():
        return final
    with lock(final.parent / f".{digest}.lock"):
        if final.exists():
            return final
        temporary = final.parent / f".{digest}.tmp"
        remove_tree(temporary)
        temporary.mkdir()
        try:
            build(temporary)
        except BaseException:
            remove_tree(temporary)
            raise
        # NB: on disk before the rename, or a power cut could leave a complete name on empty files.
        os.sync()
        temporary.rename(final)
    return final


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock between processes (and between threads) named by a file.

    The kernel lets go of it when its holder dies, so a stale lock file means nothing.
    Raises HarnessError at once if it is held and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise HarnessError(f"Another process is at work here: {path} is locked.") from None
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Writes a file that readers see whole or not at all; `mode` holds from its first byte on."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    temporary.rename(path)


def cluster_names() -> list[str]:
    """The clusters that have a folder, in whatever state they are."""
    folder = root() / "clusters"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def cluster_folder(name: str) -> Path:
    """The state of one cluster: kubeconfig, certificates, pidfiles, `logs/`. Not created by asking."""
    if not name or "/" in name or name.startswith("."):
        raise HarnessError(f"{name!r} cannot be the name of a cluster.")
    return root() / "clusters" / name


def cluster_lock(name: str, *, wait: bool = True) -> contextlib.AbstractContextManager[None]:
    """Held by whoever starts or ends the cluster of that name."""
    return lock(root() / "locks" / f"cluster-{name}.lock", wait=wait)


def remove_tree(path: Path) -> None:
    """Removes a folder, read-only ones inside (Go's module cache) included; a missing one is no error."""
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path)
