"""Which files of a folder count: regular ones, and links that stay inside.

Separate because a link that leaves the folder could bring the node's or the pod's secrets into a bucket. Called by
`results` and `checkpoints`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainyard_agent.log import say
from trainyard_agent.reading import unreadable
from trainyard_agent.troubles import Trouble


@dataclass(frozen=True, kw_only=True)
class Local:
    """A file: where it is, and its path in the folder."""

    path: Path
    name: str
    size: int


def files(folder: Path, *, leave_out: Callable[[str], bool] = lambda name: False) -> list[Local]:
    """The files below a folder, sorted. What `leave_out` names (a path in the folder) is not entered."""
    top = folder.resolve()
    return sorted(_below(folder, top, "", leave_out, frozenset({top})), key=lambda one: one.name)


def _below(
    folder: Path, top: Path, prefix: str, leave_out: Callable[[str], bool], above: frozenset[Path]
) -> Iterator[Local]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise unreadable(folder) from error
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if leave_out(name):
            continue
        if not _is_text(name):
            raise Trouble(
                "unreadable",
                f"The name of the file {name!r} in {top} is no UTF-8, so that no store and no list can hold it: let the"
                " trainer name it otherwise.",
            )
        path = Path(entry.path)
        if entry.is_symlink() and not path.resolve().is_relative_to(top):
            say(f"{path} is left out: it is a link that leaves the folder.")
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            if entry.is_symlink():
                say(f"{path} is left out: it is a link to nothing.")
            continue
        except PermissionError as error:
            raise unreadable(path) from error
        if stat.S_ISREG(status.st_mode):
            yield Local(path=path, name=name, size=status.st_size)
        elif not stat.S_ISDIR(status.st_mode):
            say(f"{path} is left out: it is no regular file.")
        elif (real := path.resolve()) in above:
            say(f"{path} is left out: it is a link to a folder that it lies in.")
        else:
            yield from _below(path, top, f"{name}/", leave_out, above | {real})


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
