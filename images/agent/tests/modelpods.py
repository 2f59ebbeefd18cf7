"""The pod of a job that starts from a base model: its folders, its order, and the agent that fetches in it.

Separate because whatever is said of the model, and wherever it lies, it is fetched in the same way. Called by
the tests of base models, by fixtures of `conftest`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile_servers import Store

from trainyard_agent import __main__

Json = dict[str, Any]


@dataclass
class Pod:
    """The folders of one pod, and the agent in it."""

    root: Path
    environ: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where a trainer finds what is fetched."""
        return self.root / "work" / "base-models" / "0"

    @property
    def mounted(self) -> Path:
        """Where a claim would be mounted."""
        return self.root / "mounted" / "0"

    def order(self, **model: Any) -> str:
        said: Json = {
            "name": "champ@3",
            "folder": str(self.folder),
            "mounted": False,
            "kind": "version",
            **model,
        }
        common = {"namespace": "team", "job": "j", "uid": "u", "attempt": 0}
        return json.dumps({**common, "resumeDir": str(self.root / "work" / "resume"), "baseModels": [said]})

    def fetch(self, **model: Any) -> tuple[int, Json]:
        """Exit code and last word."""
        word = self.root / "word"
        word.unlink(missing_ok=True)
        os.environ |= {**self.environ, "TRAINYARD_AGENT": self.order(**model)}
        code = __main__.command(["fetch"])
        return code, json.loads(word.read_text())

    def refused(self, **model: Any) -> str:
        """The sentence of a model that is refused for good; nothing of it is handed on."""
        code, word = self.fetch(**model)
        assert (code, word.get("modelFailed"), word.get("baseModel")) == (1, True, "champ@3"), word
        assert not self.folder.exists()
        assert "baseModels" not in word
        return str(word["error"])


def of_store(s3: Store, tmp_path: Path, uri: str) -> Json:
    """What an order says of a model in the S3 server."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(exist_ok=True)
    for name, value in s3.secret.items():
        (secrets / name).write_text(value)
    return {"uri": uri, "endpoint": s3.endpoint, "secrets": str(secrets)}
