"""One pod's agent as processes: its folders, its order, and the trainer's files, for tests without a cluster.

Separate because the tests on a real S3 server and those that kill it share it. Called by their fixtures.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.s3 import S3

UID = "8f14e45f-ceea-467f-a6d1-0c2bd0e3a9b1"
Json = dict[str, Any]


@dataclass
class Pod:
    """One rank of one attempt: its folders, and the agent's processes in it."""

    root: Path
    server: S3 | None
    bucket_folder: str = ""
    volume: Path | None = None
    attempt: int = 0
    rank: int = 0
    ranks: int = 1
    uid: str = UID
    more: Json = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def output_dir(self) -> Path:
        top = self.volume or self.root / "output"
        folder = top / self.uid / f"attempt-{self.attempt}"
        return folder / f"rank-{self.rank}" if self.rank else folder

    @property
    def resume(self) -> Path:
        return self.root / "work" / "resume"

    def environment(self) -> dict[str, str]:
        secrets = self.root / "secrets" / "output"
        secrets.mkdir(parents=True, exist_ok=True)
        output: Json = {"path": str(self.volume)}
        store = "pvc://models"
        if self.server is not None:
            store = f"s3://models/{self.bucket_folder}"
            output = {"uri": store, "endpoint": self.server.endpoint, "region": "us-east-1"}
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                if not (secrets / name).exists():
                    (secrets / name).write_text(self.server.environment[name])
        order = {
            "namespace": "team",
            "job": "digits",
            "uid": self.uid,
            "origins": [],
            "attempt": self.attempt,
            "rank": self.rank,
            "ranks": self.ranks,
            "output": output,
            "store": store,
            "outputDir": str(self.output_dir),
            "checkpointDir": str(self.output_dir / "checkpoints"),
            "resumeDir": str(self.resume),
            "parent": None,
            "parentDir": str(self.root / "work" / "parent"),
            "resumable": True,
            "graceSeconds": 5,
            "uploadSeconds": 30,
            "verdict": None,
            **self.more,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            "TRAINYARD_AGENT": json.dumps(order),
            "TRAINYARD_SECRETS": str(self.root / "secrets"),
            "TRAINYARD_TERMINATION_LOG": str(self.root / "message"),
        }

    def fetch(self) -> tuple[int, str]:
        argv = [sys.executable, "-m", "trainyard_agent", "fetch"]
        done = subprocess.run(
            argv, env=self.environment(), capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stderr

    def run(self) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "trainyard_agent", "run"]
        with (self.root / "log").open("a") as log:
            self.process = subprocess.Popen(argv, env=self.environment(), stderr=log, text=True)
        begun = self.log().count("as they are closed")
        while self.log().count("as they are closed") == begun and self.process.poll() is None:
            time.sleep(0.02)
        return self.process

    def end(self, *, seconds: float = 60) -> tuple[int, Json]:
        """SIGTERM, as the kubelet sends it when the trainer has ended; gives the exit code and the last word."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds), self.message()

    def message(self) -> Json:
        said: Json = json.loads((self.root / "message").read_text())
        return said

    def log(self) -> str:
        return (self.root / "log").read_text()

    def checkpoint(
        self, epoch: int, *, size: int = 1000, files: int = 2, world: int = 1, fill: bytes = b""
    ) -> dict[str, bytes]:
        """Closes a checkpoint as a trainer does; gives its files."""
        final = self.output_dir / "checkpoints" / f"epoch-{epoch:06d}"
        temporary = final.with_name(f".{final.name}.tmp")
        temporary.mkdir(parents=True)
        contents = {f"state-{number}.bin": fill or os.urandom(size) for number in range(files)}
        for name, data in contents.items():
            (temporary / name).write_bytes(data)
        manifest = {
            "epoch": epoch,
            "step": epoch * 10,
            "rank": self.rank,
            "worldSize": world,
            "files": [
                {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in contents.items()
            ],
        }
        (temporary / "manifest.json").write_text(json.dumps(manifest))
        temporary.rename(final)
        return contents

    def artifact(self, name: str, data: bytes) -> None:
        path = self.output_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def stored(self) -> dict[str, bytes]:
        """What is in the store, by path below the job's folder."""
        if self.server is None:
            assert self.volume is not None
            top = self.volume / self.uid
            return {
                str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()
            }
        prefix = f"{self.bucket_folder}/{self.uid}/"
        found = self.server.objects("models")
        return {key.removeprefix(prefix): data for key, data in found.items() if key.startswith(prefix)}

    def listed(self, attempt: int | None = None) -> list[int]:
        """The epochs in the index."""
        number = self.attempt if attempt is None else attempt
        said = json.loads(self.stored().get(f"attempt-{number}/checkpoints/index.json", b"{}"))
        return [entry["epoch"] for entry in said.get("checkpoints", ())]
