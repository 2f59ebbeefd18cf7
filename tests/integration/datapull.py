"""`trainyard-agent survey` and `pull` as processes, ordered as the operator orders them, for tests without a cluster.

Separate because the tests of sources, those that kill it and the comparison with rclone share it. Called by their
fixtures and by tests/bench.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
#: Variables by which a machine's own identity would decide what a store answers.
_FOREIGN = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "HUGGING", "TRAINYARD_")
PULL_SECONDS = 120.0
_HURRIED = """
from trainyard_agent import __main__, patience
patience.LASTING_SECONDS = 0.3
__main__.main()
"""


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a process ended: its exit code, its last word, and all that it printed."""

    code: int
    word: Json
    out: str
    log: str

    @property
    def progress(self) -> list[Json]:
        """What it told of its progress, in order."""
        told = []
        for line in self.out.splitlines():
            if line.startswith('{"pull"'):
                told.append(json.loads(line)["pull"])
        return told

    def failed(self) -> tuple[str, str]:
        """Kind and sentence of a failure."""
        assert self.code == 1, (self.code, self.word, self.log)
        return self.word["kind"], self.word["error"]


@dataclass
class Puller:
    """One dataset's pods, one after the other: the same volume, the same Secret."""

    root: Path
    source: Json
    secret: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    more: Json = field(default_factory=dict)
    #: Not to bear for long what only people can mend, as it does for 20 seconds.
    hurried: bool = False

    @property
    def volume(self) -> Path:
        return self.root / "volume"

    def survey(self) -> Said:
        return self._ended(self._start("survey", {}))

    def pull(self, listing: str = "") -> Said:
        return self._ended(self.start(listing))

    def start(self, listing: str = "") -> subprocess.Popen[str]:
        """A pull, not waited for."""
        self.volume.mkdir(parents=True, exist_ok=True)
        return self._start("pull", {"volume": str(self.volume), "listing": listing})

    def kill_when(self, listing: str, reached: Any, *, seconds: float = PULL_SECONDS) -> bool:
        """Starts a pull and kills it (SIGKILL) when `reached()` says so; false if it had ended by then."""
        process = self.start(listing)
        deadline = time.monotonic() + seconds
        while not reached() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        ended = process.poll() is not None
        process.kill()
        process.wait()
        return not ended

    def pulled(self) -> dict[str, bytes]:
        """What jobs would see, by path."""
        top = self.volume / "data"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def published(self) -> Json:
        said: Json = json.loads((self.volume / "published.json").read_text())
        return said

    def _start(self, command: str, more: Json) -> subprocess.Popen[str]:
        folder = self.root / "secrets" / "source"
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in self.secret.items():
            (folder / name).write_text(value)
        order = {"namespace": "team", "dataset": "digits", "source": self.source, **self.more, **more}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        environment = {
            **kept,
            **self.environment,
            "TRAINYARD_DATA": json.dumps(order),
            "TRAINYARD_SECRETS": str(self.root / "secrets"),
            "TRAINYARD_TERMINATION_LOG": str(self.root / "message"),
        }
        (self.root / "message").unlink(missing_ok=True)
        with (self.root / "out").open("w") as out, (self.root / "log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, *(("-c", _HURRIED) if self.hurried else ("-m", "trainyard_agent")), command],
                env=environment,
                stdout=out,
                stderr=log,
                text=True,
            )

    def _ended(self, process: subprocess.Popen[str]) -> Said:
        try:
            code = process.wait(timeout=PULL_SECONDS)
        finally:
            process.kill()
        message = self.root / "message"
        text = message.read_text() if message.exists() else ""
        assert len(text.encode()) <= 3072, "what a pod's last word may hold"
        out, log = ((self.root / name).read_text() for name in ("out", "log"))
        return Said(code=code, word=json.loads(text or "{}"), out=out, log=log)


def digest_of(files: Mapping[str, bytes]) -> str:
    """What `status.sha256` says of a folder: what `sha256sum FILE... | LC_ALL=C sort | sha256sum` prints."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n".encode() for path, data in files.items())
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def content(seed: str, size: int) -> bytes:
    """Bytes that are the same each time and do not compress."""
    return hashlib.shake_128(seed.encode()).digest(size)


def contents(names: Iterable[str], size: int) -> dict[str, bytes]:
    return {name: content(name, size) for name in names}
