"""What this pod has sent already: one line a file, in the folder that lasts as long as the pod.

Separate because the kubelet may restart the agent in mid-training, and a file that is in the bucket and has not changed
since is neither sent nor read again. Called by `sending`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

from trainyard_agent.log import say
from trainyard_agent.reading import Version


class Journal:
    """`file` need not be there yet. A line that a kill has cut is passed over."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._full = False
        self._entries: dict[str, tuple[Version, str]] = {}
        self.begun = file.exists()
        try:
            text = file.read_text()
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                key, size, modified, inode, digest = json.loads(line)
            except ValueError:
                continue
            self._entries[key] = (Version(size, modified, inode), digest)

    def begin(self) -> None:
        """Says to a later agent of this pod, `begun`, that there may be something unfinished."""
        with self._at_will():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()

    def digest(self, key: str, version: Version) -> str | None:
        """The SHA-256 of what was sent under this key, if the file is still the same."""
        found = self._entries.get(key)
        return found[1] if found and found[0] == version else None

    def add(self, key: str, version: Version, digest: str) -> None:
        with self._lock:
            self._entries[key] = (version, digest)
            with self._at_will(), self._file.open("a") as file:
                # NB: begins with a newline, so that a line cut by a kill does not take this one with it.
                file.write(f"\n{json.dumps([key, *version, digest])}")

    @contextlib.contextmanager
    def _at_will(self) -> Iterator[None]:
        """NB: on a node whose disk is full, files are sent all the same; only a later agent would send them again."""
        try:
            yield
        except OSError as error:
            if not self._full:
                self._full = True
                say(f"{self._file} cannot be written: {error}")
