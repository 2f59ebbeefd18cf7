"""A dataset's folder, listed once, whose files are opened without ever leaving it.

Separate because every reader goes through it: links that leave the folder, devices, and names that are no text
become findings here, and nothing else calls the file system. Called by the check and by the actions.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from trainyard_data.findings import BadData, Findings

#: Paths of which nothing is told: the file system's own.
_NOT_DATA = frozenset({"lost+found"})
MOST_FILES = 2_000_000
SPLITS = ("train", "training", "val", "valid", "validation", "eval", "test", "testing")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path inside the folder, with `/`, and its size."""

    path: str
    size: int


class Files:
    """The files of a folder by path, sorted. NB: entries are made as they are asked for, as there may be millions."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Entry]:
        return (Entry(path, size) for path, size in self._sizes.items())


class Tree:
    """The files of a folder that count as data: all but the hidden ones. `hollow` are folders with nothing in them."""

    def __init__(self, root: Path, sizes: Mapping[str, int], hollow: Sequence[str] = ()) -> None:
        self.root = root
        self.hollow = tuple(hollow)
        self._all = sizes
        hides = any(is_hidden(path) for path in sizes)
        self._sizes = {path: size for path, size in sizes.items() if not is_hidden(path)} if hides else sizes
        self._folders: dict[str, list[str]] | None = None

    def __contains__(self, path: str) -> bool:
        return path in self._sizes

    @property
    def files(self) -> Files:
        """The files that count as data."""
        return Files(self._sizes)

    @property
    def everything(self) -> Files:
        """All files, hidden ones too."""
        return Files(self._all)

    def size(self, path: str) -> int:
        return self._sizes[path]

    def with_suffix(self, *suffixes: str) -> list[Entry]:
        """The files whose names end in one of these, in any case of letters."""
        return [entry for entry in self.files if entry.path.lower().endswith(suffixes)]

    @property
    def folders(self) -> dict[str, list[str]]:
        """By folder (the root is an empty string): the names of the files right in it, sorted."""
        if self._folders is None:
            self._folders = {}
            for path in self._sizes:
                folder, _, name = path.rpartition("/")
                self._folders.setdefault(folder, []).append(name)
        return self._folders

    def top(self) -> list[str]:
        """The names of the folders right in the root, sorted."""
        return sorted({path.split("/", 1)[0] for path in self._sizes if "/" in path})

    def open(self, path: str) -> BinaryIO:
        """The file for reading. Raises BadData where it cannot be opened or is none any more."""
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise BadData(path, None, f"The file cannot be opened: {reason_of(error)}.") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BadData(path, None, "This is no plain file.")
        return os.fdopen(descriptor, "rb")


def listed(root: Path, findings: Findings) -> Tree:
    """The tree of a folder. What is no plain file, and links that leave it, are findings and not in the tree.

    Raises BadData where the folder itself cannot be listed or holds more files than can be looked at.
    """
    real = root.resolve()
    sizes: dict[str, int] = {}
    hollow: list[str] = []
    for entry in _walk(real, findings, hollow):
        sizes[entry.path] = entry.size
        if len(sizes) > MOST_FILES:
            raise BadData(".", None, f"There are more than {MOST_FILES:,} files: pack them into fewer.")
    # NB: Python's order of texts is that of their UTF-8.
    return Tree(real, {path: sizes[path] for path in sorted(sizes)}, sorted(hollow))


def _walk(root: Path, findings: Findings, hollow: list[str]) -> Iterator[Entry]:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            found = sorted(os.scandir(root / folder), key=lambda one: one.name)
        except OSError as error:
            if not folder:
                raise BadData(".", None, f"The folder cannot be listed: {reason_of(error)}.") from error
            findings.add(text_of(folder), None, f"The folder cannot be listed: {reason_of(error)}.")
            continue
        if folder and not found and not is_hidden(folder):
            hollow.append(folder)
        folders: list[str] = []
        for one in found:
            path = f"{folder}/{one.name}" if folder else one.name
            if path in _NOT_DATA:
                continue
            if not _is_text(path):
                findings.add(text_of(path), None, "The name is not UTF-8: rename it.")
            elif one.is_symlink():
                if (entry := _linked(root, path, findings)) is not None:
                    yield entry
            elif one.is_dir(follow_symlinks=False):
                folders.append(path)
            elif one.is_file(follow_symlinks=False):
                yield Entry(path, one.stat(follow_symlinks=False).st_size)
            else:
                findings.add(
                    path, None, "This is neither a file nor a folder (a device, a pipe or a socket)."
                )
        waiting.extend(reversed(folders))


def _linked(root: Path, path: str, findings: Findings) -> Entry | None:
    """What a link inside the folder leads to, if that is a file inside the folder."""
    try:
        target = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):
        findings.add(path, None, "This link leads nowhere.")
        return None
    if not target.is_relative_to(root):
        findings.add(path, None, "This link leaves the dataset's folder: put the file itself there.")
        return None
    if target.is_dir():
        findings.add(
            path, None, "This link leads to a folder, which is not followed: put the folder itself there."
        )
        return None
    if not target.is_file():
        findings.add(path, None, "This link leads to no plain file.")
        return None
    return Entry(path, target.stat().st_size)


def is_hidden(path: str) -> bool:
    """Whether the file or a folder above it begins with a dot."""
    return path.startswith(".") or "/." in path


def inside(folder: str, name: str) -> str | None:
    """`name`, which a file of `folder` says, as a path of the tree; None where it leaves the dataset's folder."""
    if name.startswith("/") or "\0" in name:
        return None
    parts: list[str] = list(PurePosixPath(folder).parts) if folder else []
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def split_of(path: str) -> str | None:
    """The part of the data that a path belongs to: its first folder named train, val, test or the like."""
    for part in path.split("/")[:-1]:
        if part.lower() in SPLITS:
            return part
    return None


def stem(name: str) -> str:
    """A file's name without its folder and its last suffix: what images and their labels have in common."""
    name = name.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def by_stem(folder: str, names: Iterable[str], findings: Findings) -> dict[str, str]:
    """The names of files in a folder by their stems; two of the same stem are a finding."""
    found: dict[str, str] = {}
    for name in names:
        if (other := found.setdefault(stem(name), name)) != name:
            findings.add(
                f"{folder}/{name}",
                None,
                f"{other} has the same name but for its suffix: rename or remove one.",
            )
    return found


def text_of(path: str) -> str:
    """A name that may be no text, as text."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def reason_of(error: BaseException) -> str:
    """The system's word for what went wrong, without a path of this machine."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
