"""`trainyard-agent sweep`: removes what jobs have stored, their checkpoints and artifacts, to make room.

Separate because nothing else removes what a job has finished. What lies in `<uid>/attempt-<n>/` goes and nothing else:
`result.json` and the claims stay, so that a job that comes back from a backup is not run again, and a node that comes
back finds that its attempt is over. So it can be killed at any moment, and run again. Called by `__main__`.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainyard_agent import layout, troubles
from trainyard_agent.bucket import Bucket
from trainyard_agent.log import amount, say
from trainyard_agent.sweeporder import SweepOrder
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import Volume

_NAMES_AT_ONCE = 1000
_LONGEST_ERROR = 800
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP)


@dataclass
class Tally:
    """What was removed so far: files, and their bytes."""

    removed: int = 0
    bytes: int = 0

    def count(self, size: int) -> None:
        self.removed += 1
        self.bytes += size


def sweep(order: SweepOrder, store: Volume | Bucket) -> dict[str, Any]:
    """Removes what the jobs of the order have stored; what cannot be is told in `error`, and does not keep the rest."""
    tally, failed = Tally(), list[str]()
    for uid in order.uids:
        try:
            _sweep_job(store, uid, tally)
        except Exception as error:
            trouble = _trouble(error, store, uid)
            say(str(trouble))
            failed.append(str(trouble))
    say(
        f"{tally.removed} files, {amount(tally.bytes)}, of {len(order.uids)} jobs were removed from {store.name}."
    )
    told: dict[str, Any] = {"removed": tally.removed, "bytes": tally.bytes}
    if failed:
        more = f" So it is with {len(failed)} of {len(order.uids)} jobs." if len(failed) > 1 else ""
        told["error"] = f"{failed[0][:_LONGEST_ERROR]}{more}"
    return told


def _sweep_job(store: Volume | Bucket, uid: str, tally: Tally) -> None:
    attempts = [name for name in _names(store, uid) if layout.attempt_of(name) is not None]
    if not attempts:
        return
    if not any(layout.claimed(name) is not None for name in store.names(layout.claims(uid))):
        # NB: each attempt is claimed before anything is written for it.
        raise Trouble(
            "hostile",
            f"{store.name}/{uid} is left as it is: no job has claimed it, so it may be somebody else's.",
        )
    for name in attempts:
        if isinstance(store, Volume):
            _empty(store, uid, name, tally)
        else:
            _empty_in_bucket(store, f"{uid}/{name}", tally)


def _names(store: Volume | Bucket, uid: str) -> list[str]:
    """What lies in a job's folder."""
    if isinstance(store, Volume) and store.path(uid).is_symlink():
        raise Trouble(
            "hostile", f"{store.name}/{uid} is left as it is: it is a link, and no folder of a job."
        )
    return store.names(uid)


def _empty_in_bucket(bucket: Bucket, folder: str, tally: Tally) -> None:
    for page in bucket.pages(folder):
        bucket.remove(f"{folder}/{name}" for name in page)
        for size in page.values():
            tally.count(size)
    try:
        bucket.abort_unfinished(folder, ours=lambda path: True)
    except Trouble as error:
        say(f"What a killed agent has left unfinished in {folder} stays: {error}")


def _empty(store: Volume, uid: str, name: str, tally: Tally) -> None:
    top = os.open(store.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        folder = os.open(uid, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    except FileNotFoundError:
        return
    finally:
        os.close(top)
    try:
        _remove(folder, name, tally)
    finally:
        os.close(folder)


def _remove(above: int, name: str, tally: Tally) -> None:
    """Removes a file, or a folder and all in it. NB: no link is followed, also not one that is made meanwhile."""
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        _remove_file(above, name, tally)
        return
    try:
        for inside in _listed(folder):
            _remove(folder, inside, tally)
    finally:
        os.close(folder)
    try:
        os.rmdir(name, dir_fd=above)
    except FileNotFoundError:
        return


def _remove_file(above: int, name: str, tally: Tally) -> None:
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
        os.unlink(name, dir_fd=above)
    except FileNotFoundError:
        return
    tally.count(found.st_size if stat.S_ISREG(found.st_mode) else 0)


def _listed(folder: int) -> Iterator[str]:
    """The names in an open folder, some at a time, each of which is gone before the next are asked for."""
    while True:
        with os.scandir(folder) as entries:
            some = [entry.name for entry in itertools.islice(entries, _NAMES_AT_ONCE)]
        if not some:
            return
        yield from some


def _trouble(error: Exception, store: Volume | Bucket, uid: str) -> Trouble:
    if isinstance(store, Volume) and isinstance(error, PermissionError):
        return Trouble(
            "forbidden",
            f"What is in {store.name}/{uid} cannot be removed ({troubles.brief(error)}): its trainer has written it as"
            " another user than the agent. Remove it by hand.",
        )
    return troubles.of(error, place=f"{store.name}/{uid}")
