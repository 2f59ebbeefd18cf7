"""A version of a model in a folder, and runs of the publisher as the operator starts them.

Separate because the tests of all targets need them. Called by tests and fixtures.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from trainyard_publisher import running

MODEL = bytes(range(256)) * 4000
FILES = {
    "model.joblib": MODEL,
    "metrics.json": b'{"accuracy": 0.97}',
    "plots/confusion matrix.csv": b"a,b\n1,2\n",
}
CARD = b"---\ntags:\n- trainyard\n---\n# champ, version 3\n"


def version(folder: Path, files: Mapping[str, bytes] = FILES, *, card: bytes | None = CARD) -> Path:
    """A version as the agent has fetched it: the files, their list, and the card beside the folder."""
    listed = []
    for name, data in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        listed.append({"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    (folder / "artifacts.json").write_text(json.dumps({"attempt": 0, "rank": 0, "files": listed}))
    if card is not None:
        folder.with_name(f"{folder.name}.card.md").write_bytes(card)
    return folder


def digest(folder: Path) -> str:
    """Of a version."""
    return f"sha256:{hashlib.sha256((folder / 'artifacts.json').read_bytes()).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a run has ended."""

    code: int
    lines: list[dict[str, Any]]
    verdict: dict[str, Any]
    log: str

    @property
    def message(self) -> str:
        return str(self.lines[-1]["message"])

    @property
    def published(self) -> dict[str, str]:
        assert self.code == 0, self.log
        found: dict[str, str] = self.lines[-1]["published"]
        return found

    @property
    def sent(self) -> int:
        assert self.code == 0, self.log
        return int(self.message.rpartition("; ")[2].split()[0])


@dataclass(kw_only=True)
class Publisher:
    """Runs with one Secret, in one namespace. `claim` is what is mounted for a pvc:// target."""

    folder: Path
    secret: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "team"
    claim: Path | None = None

    def environment(self, action: str, version: Path | None, /, **parameters: Any) -> dict[str, str]:
        secrets = self.folder / "secret"
        secrets.mkdir(parents=True, exist_ok=True)
        for name, value in self.secret.items():
            (secrets / name).write_text(value)
        card = version.with_name(f"{version.name}.card.md") if version is not None else None
        base = {"name": "champ@3", "path": str(version), "backbone": False}
        if card is not None and card.exists():
            base["card"] = str(card)
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_", "MLFLOW_"))
        }
        return {
            **clean,
            "TRAINYARD_ACTION": action,
            "TRAINYARD_PARAMETERS": json.dumps({"model": "champ", "version": 3, **parameters}),
            "TRAINYARD_BASE_MODELS": json.dumps([base] if version is not None else []),
            "TRAINYARD_NAMESPACE": self.namespace,
            "TRAINYARD_TARGET_SECRET": str(secrets),
            "TRAINYARD_TARGET_DIR": str(self.claim or self.folder / "no-claim"),
            "TRAINYARD_TERMINATION_LOG": str(self.folder / "verdict"),
            "HF_HOME": str(self.folder / "hf"),
        }

    def begin(self, action: str, version: Path | None = None, /, **parameters: Any) -> subprocess.Popen[str]:
        """A run that goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "trainyard_publisher", action],
            env=self.environment(action, version, **parameters),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Run:
        output, _ = process.communicate(timeout=120)
        return self._ended(process.returncode, output)

    def publish(self, version: Path, /, **parameters: Any) -> Run:
        return self._run("publish", version, parameters)

    def unpublish(self, **parameters: Any) -> Run:
        return self._run("unpublish", None, parameters)

    def _run(self, action: str, version: Path | None, parameters: Mapping[str, Any]) -> Run:
        """In this process, as another one for each takes longer than all that it does."""
        environment = self.environment(action, version, **parameters)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        output = io.StringIO()
        try:
            with mock.patch.dict(os.environ, environment, clear=True), contextlib.redirect_stdout(output):
                code = running.run(action, os.environ)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return self._ended(code, output.getvalue())

    def _ended(self, code: int, output: str) -> Run:
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        verdict = self.folder / "verdict"
        said = json.loads(verdict.read_text()) if verdict.exists() else {}
        return Run(code=code, lines=lines, verdict=said, log=output)
