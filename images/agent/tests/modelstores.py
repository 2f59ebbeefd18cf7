"""What jobs have stored as models, and a hub that has some; both as base models of another job.

Separate because the tests of base models and of records begin with the same. Called by `test_models`, its
neighbours and `test_record`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTEMPT = "aaaaaaaa-0000/attempt-1"
LARGE = 5 << 20
FILES: dict[str, bytes] = {
    "model.joblib": bytes(range(256)) * (LARGE // 256),
    "labels.json": b'["a", "b"]',
    "plots/deep/curve é.csv": b"1,2\n",
    "empty": b"",
}


@dataclass(frozen=True)
class Stored:
    """A folder of artifacts, on a volume or below a bucket's folder, as a job leaves it."""

    folder: Path

    def put(self, files: Mapping[str, bytes] = FILES, *, unlisted: Mapping[str, bytes] | None = None) -> str:
        """Stores them with their list; gives the digest of that."""
        for path, data in {**files, **(unlisted or {})}.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(data)
        return self.put_list(
            [{"path": p, "size": len(d), "sha256": sha256(d)} for p, d in sorted(files.items())]
        )

    def put_list(self, files: Any) -> str:
        data = json.dumps({"attempt": 1, "rank": 0, "files": files}).encode()
        (self.folder / "artifacts.json").write_bytes(data)
        return sha256(data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def found(folder: Path) -> dict[str, bytes]:
    """The files in a folder, hidden ones as well."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


_HUB = """
import signal, sys
from pathlib import Path
from tests.harness import hub
with hub.running() as served:
    top = Path(sys.argv[1])
    repository = served.add("team/net", {"config.json": b"old"})
    repository.refs["v1"] = repository.refs["main"]
    repository.commit({p.relative_to(top).as_posix(): p.read_bytes() for p in top.rglob("*") if p.is_file()})
    print(served.endpoint, flush=True)
    sys.stdin.read()
"""


@contextmanager
def hub_of(folder: Path) -> Iterator[str]:
    """The address of a hub whose model team/net is what lies in the folder; its tag v1 has another config.json alone.

    In another process, as the project's `tests` and this image's are packages of one name.
    """
    argv = [sys.executable, "-c", _HUB, str(folder)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.stdin.close()
