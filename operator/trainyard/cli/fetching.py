"""Files of a download on this machine: what is there is checked, what is half there goes on, the rest is fetched.

Separate because it decides where bytes land: nowhere but below the user's folder, through no link, and under their
name only when size and digest are those of the manifest. Called by `download`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from trainyard.cli.amounts import size_of
from trainyard.cli.exits import CommandError
from trainyard.cli.filelists import File, Text
from trainyard.cli.transfers import Transfer
from trainyard.cli.tunnel import TunnelCut

#: Parts of files, in the user's folder while a download is under way.
PARTS = ".trainyard-download"

_PARALLEL = 4
_CUTS = 8
_PAUSE_SECONDS = 1.0
_ROOM_LEFT = 64 << 20
_READ = 1 << 20


class Source(Protocol):
    """Where bytes come from, one file after the other. Raises TunnelCut for what can be asked for again."""

    def file(self, path: str, *, offset: int = 0) -> AsyncGenerator[bytes]: ...


@dataclass
class Fetched:
    """What came of a download: how many files were fetched, how many were there, and sentences on the others."""

    fetched: int = 0
    there: int = 0
    problems: list[str] = field(default_factory=list)


class Folder:
    """The user's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def target(self, path: str) -> Path:
        """Where a file goes; the folders above it are made. Raises CommandError for a link, or a file, in the way."""
        here = self.root
        here.mkdir(parents=True, exist_ok=True)
        *folders, name = path.split("/")
        for folder in folders:
            here = here / folder
            with contextlib.suppress(FileExistsError):
                here.mkdir()
            if not stat.S_ISDIR(here.lstat().st_mode):
                raise CommandError(
                    f"{here} is in the way: it is no folder of its own. Remove it, or choose another FOLDER."
                )
        target = here / name
        if os.path.lexists(target) and not stat.S_ISREG(target.lstat().st_mode):
            raise CommandError(
                f"{target} is in the way: it is no plain file. Remove it, or choose another FOLDER."
            )
        return target

    def part(self, file: File) -> Path:
        """Where a file grows until it is whole. By its digest, so that it never goes on with another content."""
        name = hashlib.sha256(f"{file.path}\0{file.sha256}".encode()).hexdigest()[:32]
        return self.target(f"{PARTS}/{name}.part")

    def clean(self) -> None:
        """Removes the folder of parts when nothing is left in it."""
        with contextlib.suppress(OSError):
            (self.root / PARTS).rmdir()


def occupied(folder: Folder, files: Sequence[File], texts: Sequence[Text]) -> list[str]:
    """Files that are there with another content, as far as that is seen without reading them all."""
    found = []
    for text in texts:
        target = folder.target(text.path)
        if target.exists() and target.read_bytes() != text.content.encode():
            found.append(str(target))
    for file in files:
        target = folder.target(file.path)
        if target.exists() and target.stat().st_size != file.size:
            found.append(str(target))
    return found


def is_right(path: Path, file: File) -> bool:
    """Whether a file on this machine is the one that the manifest lists."""
    if path.stat().st_size != file.size:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256


def missing_room(folder: Folder, files: Sequence[File]) -> str | None:
    """Why the files do not fit on the disk; None when they do."""
    wanted = 0
    for file in files:
        if folder.target(file.path).exists():
            continue
        part = folder.part(file)
        wanted += max(0, file.size - (part.stat().st_size if part.exists() else 0))
    free = shutil.disk_usage(folder.root).free
    if wanted + _ROOM_LEFT <= free:
        return None
    return (
        f"{folder.root} has {size_of(free)} of room and {size_of(wanted)} are to come: make room, or choose another "
        "FOLDER."
    )


async def fetch(
    files: Sequence[File],
    folder: Folder,
    opened: Callable[[], AbstractAsyncContextManager[Source]],
    view: Transfer,
    *,
    overwrite: bool,
) -> Fetched:
    """Brings all files, several at a time. What cannot be had is told, and holds up no other."""
    result = Fetched()
    waiting = list(reversed(files))

    async def work() -> None:
        async with AsyncExitStack() as stack:
            source: Source | None = None
            while waiting:
                file = waiting.pop()
                try:
                    target = folder.target(file.path)
                    if target.exists() and await asyncio.to_thread(is_right, target, file):
                        view.advance(file.size)
                        result.there += 1
                    elif target.exists() and not overwrite:
                        raise CommandError("It is there with another content, and --overwrite was not given.")
                    else:
                        if source is None:
                            source = await stack.enter_async_context(opened())
                        await _bring(file, folder, target, source, view)
                        result.fetched += 1
                    view.finished()
                except CommandError as error:
                    result.problems.append(f"{file.path}: {error.message}")
                except OSError as error:
                    result.problems.append(f"{file.path} cannot be written: {error.strerror or error}.")

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_PARALLEL, len(files))):
            group.create_task(work())
    folder.clean()
    return result


async def _bring(file: File, folder: Folder, target: Path, source: Source, view: Transfer) -> None:
    part = folder.part(file)
    for again in (True, False):
        begun = part.exists() and part.stat().st_size > 0
        digest = await _grown(file, part, source, view)
        if digest == file.sha256:
            part.replace(target)
            return
        part.unlink()
        view.advance(-file.size)
        if not (begun and again):
            break
    raise CommandError(
        f"It has another sha256 in the store ({digest[:12]}...) than its manifest says ({file.sha256[:12]}...): it was "
        "damaged or changed there, and is not kept here."
    )


async def _grown(file: File, part: Path, source: Source, view: Transfer) -> str:
    """Fetches what a part lacks; gives the digest of the whole."""
    with part.open("a+b") as out:
        if out.tell() > file.size:
            out.truncate(0)
        digest = await asyncio.to_thread(_digest_of, out)
        offset = out.tell()
        view.advance(offset)
        cuts = 0
        while offset < file.size:
            before = offset
            try:
                async with aclosing(source.file(file.source, offset=offset)) as chunks:
                    async for chunk in chunks:
                        offset += len(chunk)
                        if offset > file.size:
                            raise CommandError(
                                "It is longer in the store than its manifest says; it is not kept here."
                            )
                        out.write(chunk)
                        digest.update(chunk)
                        view.advance(len(chunk))
                if offset < file.size:
                    raise CommandError("It is shorter in the store than its manifest says.")
            except TunnelCut as cut:
                cuts = 0 if offset > before else cuts + 1
                if cuts == _CUTS:
                    raise CommandError(
                        f"The connection to the cluster is cut again and again ({cut}); run the command again, it goes "
                        "on where it stopped."
                    ) from None
                await asyncio.sleep(_PAUSE_SECONDS)
        return digest.hexdigest()


def _digest_of(part: BinaryIO) -> hashlib._Hash:
    """Of what is there already; leaves the file at its end."""
    digest = hashlib.sha256()
    part.seek(0)
    while chunk := part.read(_READ):
        digest.update(chunk)
    return digest
