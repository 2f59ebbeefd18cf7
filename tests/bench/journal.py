"""What a process of the bench has seen, as JSON lines with the time: [seconds, what, name, ...].

Separate because the loader, the observer and the receiver write them alike and the bench reads them while they are
written. Times are of CLOCK_MONOTONIC, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

FLUSH_SECONDS = 0.2


class Writer:
    """Keeps entries and writes them a few times a second, so that no measured moment waits for a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._entries: list[tuple[Any, ...]] = []

    def add(self, *entry: Any) -> None:
        self._entries.append(entry)

    def flush(self) -> None:
        if self._entries:
            entries, self._entries = self._entries, []
            self._file.write(b"".join(orjson.dumps(entry) + b"\n" for entry in entries))

    def close(self) -> None:
        self.flush()
        self._file.close()

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self.flush()


class Reader:
    """Reads on from where it was; half a line waits for its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[list[Any]]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [orjson.loads(line) for line in whole.splitlines()]
