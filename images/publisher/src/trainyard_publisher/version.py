"""The version that is published: its files as its artifacts.json lists them, and its model card.

Separate because what is published is exactly this, whatever the target; no file goes out whose digest is another than
the list's. Called by every target.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from trainyard_publisher.order import Order
from trainyard_publisher.problems import Refused

LIST = "artifacts.json"
CARD = "README.md"
#: The card's name where the version has a file of that name itself.
OTHER_CARD = "MODEL_CARD.md"
#: What lies at a target besides, by which it is known what is ours there.
RECORD = "trainyard.json"

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to publish, by its name at the target."""

    name: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Version:
    """`files` are those of the list and the card, sorted; `list` is the list itself, `digest` its `sha256:...`."""

    number: int
    files: tuple[File, ...]
    list: File
    card: File | None

    @property
    def digest(self) -> str:
        return f"sha256:{self.list.sha256}"

    @property
    def all(self) -> tuple[File, ...]:
        """All files, the list last."""
        return (*self.files, self.list)


def read(order: Order) -> Version:
    """The version of an order. Raises Refused where it is not what it says it is."""
    assert order.folder is not None
    folder = order.folder
    try:
        text = (folder / LIST).read_bytes()
        listed = [_file(folder, one) for one in json.loads(text)["files"]]
    except FileNotFoundError as error:
        raise Refused(
            f"The version has no {LIST}, which lists its files: it is no version of a model."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"The version's {LIST} cannot be read: {error}.") from error
    names = {file.name for file in listed}
    if taken := sorted(names & {LIST, RECORD}):
        raise Refused(
            f"The version has a file {taken[0]}, a name that publishing needs: give it another name."
        )
    card = None
    if order.card is not None:
        name = CARD if CARD not in names else OTHER_CARD
        data = order.card.read_bytes()
        card = File(name=name, path=order.card, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        if name not in names:
            listed.append(card)
    return Version(
        number=order.version,
        files=tuple(sorted(listed, key=lambda file: file.name)),
        list=File(name=LIST, path=folder / LIST, size=len(text), sha256=hashlib.sha256(text).hexdigest()),
        card=card,
    )


def checked(file: File) -> File:
    """The file, once its bytes have been seen to be those of the list. Raises Refused where they are not."""
    digest, size = hashlib.sha256(), 0
    try:
        with file.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError as error:
        raise Refused(f"{file.name} is in the version's {LIST} and not in its folder.") from error
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        raise Refused(wrong(file, digest.hexdigest()))
    return file


def wrong(file: File, found: str) -> str:
    """The sentence about a file that is not what the list says; nothing of it is published."""
    return (
        f"{file.name} is not what the version's {LIST} says: SHA-256 {found} instead of {file.sha256}. It was changed "
        "after the training and is not published."
    )


def _file(folder: Path, listed: dict[str, object]) -> File:
    name, size, digest = str(listed["path"]), int(str(listed["size"])), str(listed["sha256"])
    if name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
        raise Refused(f"The version's {LIST} names the file {name!r}, which would lie outside of its folder.")
    return File(name=name, path=folder / name, size=size, sha256=digest)
