"""The files of a folder on this machine that is to be pushed: which they are, what is left out, and their digests.

Separate because it decides what leaves this machine: nothing that lies outside of the folder, also through a link.
Called by `push`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from trainyard.cli.exits import CommandError
from trainyard.cli.parallel import several
from trainyard.cli.transfers import Transfer

#: What version control, file managers and editors leave in folders: no data of anybody's.
_RUBBISH = (
    *(".git", ".svn", ".hg", ".ipynb_checkpoints", "__pycache__", "__MACOSX"),
    *(".DS_Store", "._*", "Thumbs.db", "desktop.ini", ".trainyard-download"),
)
#: As the agent's image unpacks them.
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".zip")
_READERS = 4
_READ = 1 << 20
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file, by its path in the dataset and by where it is here, as it was when it was found."""

    path: str
    source: Path
    size: int
    modified: int
    sha256: str = ""


@dataclass(kw_only=True)
class Found:
    """What a folder holds; `left_out` are paths, with why in brackets where that is not plain."""

    files: list[LocalFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    empty_folders: int = 0

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def notes(self) -> Iterator[str]:
        """What is left out, as sentences."""
        if self.left_out:
            more = len(self.left_out) - _SHOWN
            shown = ", ".join(self.left_out[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
            yield f"Left out: {shown}."
        if self.empty_folders:
            folders = "1 empty folder" if self.empty_folders == 1 else f"{self.empty_folders} empty folders"
            yield f"Left out: {folders}; a dataset has files only."


def find(root: Path, exclude: Sequence[str] = ()) -> Found:
    """The files of a folder, or the one file. Raises CommandError for what cannot be pushed, before anything is.

    `exclude` are patterns of names, or of paths, that are left out.
    """
    try:
        status = root.stat()
    except OSError as error:
        raise CommandError(f"{root} cannot be read: {error.strerror}.") from None
    found = Found()
    if stat.S_ISREG(status.st_mode):
        found.files.append(_file(root.name, root, status))
    elif stat.S_ISDIR(status.st_mode):
        walk = _Walk(root=root.resolve(), exclude=tuple(exclude), found=found)
        walk.folder(walk.root, "", (walk.root,))
        found.files.sort(key=lambda file: file.path)
    else:
        raise CommandError(f"{root} is neither a file nor a folder.")
    if not found.files:
        raise CommandError(f"{root} has no files to push.")
    return found


@dataclass(frozen=True, kw_only=True)
class _Walk:
    root: Path
    exclude: tuple[str, ...]
    found: Found

    def folder(self, folder: Path, prefix: str, above: tuple[Path, ...]) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise CommandError(
                f"{folder} cannot be read: {error.strerror}. Mend it, or leave it out by --exclude."
            ) from None
        if not entries and prefix:
            self.found.empty_folders += 1
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if _matches(entry.name, path, _RUBBISH) or _matches(entry.name, path, self.exclude):
                self.found.left_out.append(_shown(path))
                continue
            _refuse_name(path)
            self._entry(Path(entry.path), path, above)

    def _entry(self, here: Path, path: str, above: tuple[Path, ...]) -> None:
        real = self._resolved(here) if here.is_symlink() else here
        try:
            status = real.stat()
        except OSError as error:
            raise CommandError(f"{here} cannot be read: {error.strerror}.") from None
        if stat.S_ISDIR(status.st_mode):
            if real in above:
                raise CommandError(
                    f"{here} is a link to a folder that it lies in itself: take it away, or leave it out by --exclude."
                )
            self.folder(real, f"{path}/", (*above, real))
        elif stat.S_ISREG(status.st_mode):
            if not os.access(real, os.R_OK):
                raise CommandError(f"{here} may not be read by you: mend that, or leave it out by --exclude.")
            self.found.files.append(_file(path, real, status))
        else:
            self.found.left_out.append(f"{_shown(path)} (no plain file)")

    def _resolved(self, link: Path) -> Path:
        try:
            real = link.resolve(strict=True)
        except (OSError, RuntimeError):
            raise CommandError(
                f"{link} is a link that leads nowhere: mend it, or leave it out by --exclude."
            ) from None
        if not real.is_relative_to(self.root):
            raise CommandError(
                f"{link} is a link that leads out of the folder, to {real}: put a copy in its place, or leave it out "
                "by --exclude."
            )
        return real


def batches(files: Iterable[LocalFile], *, size: int, number: int) -> Iterator[list[LocalFile]]:
    """Files together, so that each batch has some bytes or files; one that is larger comes alone."""
    batch: list[LocalFile] = []
    total = 0
    for file in files:
        if batch and (total + file.size > size or len(batch) == number):
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += file.size
    if batch:
        yield batch


async def digested(files: Sequence[LocalFile], view: Transfer) -> list[LocalFile]:
    """The files with their SHA-256. Raises CommandError for one that cannot be read."""
    found: dict[str, str] = {}
    waiting = batches(files, size=32 << 20, number=512)
    loop = asyncio.get_running_loop()

    def read(size: int) -> None:
        loop.call_soon_threadsafe(view.advance, size)

    async def work() -> None:
        for batch in waiting:
            for file, digest in await asyncio.to_thread(_digests, batch, read):
                found[file.path] = digest
                view.finished()

    await several(_READERS, work)
    return [replace(file, sha256=found[file.path]) for file in files]


def digest_of(files: Sequence[LocalFile]) -> str:
    """The digest of the dataset: of its one file, or of the sorted lines `<sha256>  <path>`."""
    if len(files) == 1:
        return files[0].sha256
    whole = hashlib.sha256()
    for line in sorted(f"{file.sha256}  {file.path}\n".encode() for file in files):
        whole.update(line)
    return whole.hexdigest()


def is_archive(found: Found, root: Path) -> bool:
    """Whether it is one archive, whose files are the dataset."""
    return root.is_file() and len(found.files) == 1 and root.name.lower().endswith(_ARCHIVES)


def unpacked_size(archive: Path) -> int | None:
    """Bytes of an archive's files; None where it does not say."""
    if archive.name.lower().endswith(".tar"):
        return archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(member.file_size for member in opened.infolist())
    except (OSError, zipfile.BadZipFile):
        return None


def read(file: LocalFile, offset: int, size: int) -> bytes:
    """A part of a file. Raises CommandError when it is not what it was when it was found."""
    with file.source.open("rb") as opened:
        status = os.fstat(opened.fileno())
        opened.seek(offset)
        data = opened.read(size)
    if (status.st_size, status.st_mtime_ns) != (file.size, file.modified) or len(data) != size:
        raise changed(file)
    return data


def changed(file: LocalFile) -> CommandError:
    return CommandError(f"{file.source} was changed while it was being pushed: run the command again.")


def _digests(batch: Sequence[LocalFile], read: Callable[[int], None]) -> list[tuple[LocalFile, str]]:
    found = []
    for file in batch:
        digest = hashlib.sha256()
        try:
            with file.source.open("rb") as opened:
                while chunk := opened.read(_READ):
                    digest.update(chunk)
                    read(len(chunk))
                if os.fstat(opened.fileno()).st_size != file.size:
                    raise changed(file)
        except OSError as error:
            raise CommandError(f"{file.source} cannot be read: {error.strerror}.") from None
        found.append((file, digest.hexdigest()))
    return found


def _file(path: str, source: Path, status: os.stat_result) -> LocalFile:
    _refuse_name(path)
    return LocalFile(path=path, source=source, size=status.st_size, modified=status.st_mtime_ns)


def _matches(name: str, path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, one) or fnmatchcase(path, one.rstrip("/")) for one in patterns)


def _refuse_name(path: str) -> None:
    """NB: what pods refuse besides, they refuse with a sentence of their own."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise CommandError(
            f"The name {path!a} is no UTF-8: rename it, or leave it out by --exclude."
        ) from None
    if any(character < " " or "\x7f" <= character < "\xa0" for character in path):
        raise CommandError(
            f"The name {path!a} has control characters: rename it, or leave it out by --exclude."
        )


def _shown(path: str) -> str:
    return path if path.isprintable() else ascii(path)
