"""Names that come from outside (a bucket, an archive, a laptop), and what they may be inside a dataset's folder.

Separate because whatever writes a file by a name that it was given has to ask here first, and nowhere else. Called by
`unpacking`, and by what pulls and receives datasets.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Iterable

from trainyard_agent.log import say
from trainyard_agent.troubles import Trouble

#: What Linux' file systems hold of one part of a path.
PART_BYTES = 255
#: Linux takes paths of 4096 bytes; the rest is for the folder in which a trainer finds the dataset.
PATH_BYTES = 4096 - 256
#: Deeper folders are no dataset's; tools that walk them by calling themselves break.
DEPTH = 100
#: So many names are remembered to tell of those that differ in their case alone; more would take too much memory.
_COMPARED = 200_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def checked(name: str) -> str:
    """The path of a file, or folder, inside the dataset's folder: the name itself. Raises Trouble ("hostile").

    NB: object stores know names that end in a slash, as marks of folders; whoever lists them leaves those out.
    """
    if why := _fault(name):
        raise Trouble(
            "hostile", f"The name {shown(name)} is refused: {why}. Rename it at the source, or leave it out."
        )
    return name


def shown(name: str) -> str:
    """A name as sentences quote it: in ASCII, so that it hides nothing, and not longer than a line."""
    text = ascii(name)
    return text if len(text) <= 120 else f"{text[:80]}...{text[-37:]}"


def together(names: Iterable[str]) -> None:
    """Raises Trouble ("hostile") where two names cannot both be in one folder: a double, a file that is a folder, too.

    It takes 8 bytes a name besides the names themselves. Says which differ in case or in their Unicode form alone.
    """
    ordered = sorted(names)
    for number, name in enumerate(ordered):
        after = ordered[number + 1] if number + 1 < len(ordered) else ""
        if after == name:
            raise double(name)
        below = bisect.bisect_left(ordered, f"{name}/", lo=number + 1)
        if below < len(ordered) and ordered[below].startswith(f"{name}/"):
            raise both(name, ordered[below])
    alike = Alike()
    for name in ordered:
        alike.see(name)


def double(name: str) -> Trouble:
    return Trouble(
        "hostile",
        f"The name {shown(name)} is there twice, and one of the two would be lost: rename one at the source.",
    )


def both(name: str, inner: str) -> Trouble:
    """`name` is a file, and `inner` lies in a folder of that name."""
    return Trouble(
        "hostile",
        f"The name {shown(name)} is that of a file and of a folder, in which {shown(inner)} lies: rename one of the two"
        " at the source.",
    )


class Alike:
    """Says once, for people, which two names look the same to Windows and macOS. Linux tells them apart."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._said = False

    def see(self, name: str) -> None:
        if self._said or len(self._seen) >= _COMPARED:
            return
        key = hash(unicodedata.normalize("NFC", name).casefold())
        if key in self._seen:
            self._said = True
            say(
                f"{shown(name)} differs from another name in upper and lower case or in the form of its accents alone;"
                " both are kept, though Windows and macOS take them for one."
            )
        self._seen.add(key)


def _fault(name: str) -> str | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is no UTF-8"
    if not name:
        return "it is empty"
    if _CONTROL.search(name):
        return "it has control characters"
    if name.startswith(("/", "\\\\")) or _DRIVE.match(name):
        return "it is absolute"
    parts = name.split("/")
    # NB: a backslash is a letter here, but not to every tool that reads the dataset later.
    if ".." in parts or ".." in re.split(r"[/\\]", name):
        return "it climbs out of the folder"
    if "" in parts or "." in parts:
        return "it has a part that is no name"
    if max(len(part.encode()) for part in parts) > PART_BYTES:
        return f"a part of it has more than {PART_BYTES} bytes, which no file system holds"
    if size > PATH_BYTES or len(parts) > DEPTH:
        return f"it has more than {PATH_BYTES} bytes or {DEPTH} parts, which programs cannot open"
    return None
