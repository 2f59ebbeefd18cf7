"""Folders for half-made images, which hold gigabytes, mounts and programs at work.

Separate because three things are made in such folders (Debian roots, the node image, build contexts), and
because a run that is killed leaves one behind with all of it: the next run that needs the folder cleans it
up, or `cluster-down` does. Called by `debian`, `node_image`, `images` and `kindcluster`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.harness import cache, machine
from tests.harness.errors import HarnessError

PREFIX = ".making-"


@contextlib.contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A new folder on the cache's disk, gone at the end. One at a time for a purpose; others wait."""
    path = cache.root() / "images" / f"{PREFIX}{purpose}"
    with cache.lock(_lock_file(path)):
        _clear(path)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            _clear(path)


def clear_left_behind() -> None:
    """Removes the folders that nobody is at work in any more."""
    for path in sorted((cache.root() / "images").glob(f"{PREFIX}*")):
        with contextlib.suppress(HarnessError), cache.lock(_lock_file(path), wait=False):
            _clear(path)


def _clear(path: Path) -> None:
    if path.exists():
        machine.end_processes_inside(path)
        # NB: debootstrap mounts the machine's own /proc and /sys in a root.
        machine.unmount_below(path)
        cache.remove_tree(path)


def _lock_file(path: Path) -> Path:
    return cache.root() / "locks" / f"{path.name.removeprefix('.')}.lock"
