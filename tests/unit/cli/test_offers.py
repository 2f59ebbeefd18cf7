"""What a job's output offers, asked over a connection that can be cut at any moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from trainyard.cli import offers
from trainyard.cli.exits import CommandError
from trainyard.cli.offers import Choice
from trainyard.cli.outputs import Place
from trainyard.cli.tunnel import Tunnel, TunnelCut

MANIFEST = json.dumps({"epoch": 3, "files": [{"path": "state", "size": 1, "sha256": "0" * 64}]})
INDEX = {"checkpoints": [{"epoch": 3, "sha256": hashlib.sha256(MANIFEST.encode()).hexdigest()}]}


class Cut(Tunnel):
    """Gives an index and a manifest, each after so many cuts."""

    cuts = 1

    def __init__(self) -> None:
        self.left = {"index": self.cuts, "manifest": self.cuts}

    def _cut(self, what: str) -> None:
        self.left[what] -= 1
        if self.left[what] >= 0:
            raise TunnelCut("lost")

    async def close(self) -> None:
        pass

    async def json(self, path: str) -> dict[str, Any]:
        self._cut("index")
        return {"attempts": [0], "attempt": 0, "checkpoints": json.dumps(INDEX)}

    async def file(self, path: str, *, offset: int = 0) -> AsyncGenerator[bytes]:
        assert path == "attempt-0/checkpoints/epoch-000003/manifest.json"
        yield MANIFEST[:5].encode()
        self._cut("manifest")
        yield MANIFEST[5:].encode()


async def found(tunnel: Tunnel) -> offers.Found:
    choice = Choice(attempt=None, checkpoint="latest", patterns=())
    job = {"metadata": {"name": "resnet", "uid": "u"}}
    return await offers.found(tunnel, job, Place(store="s3://b"), "u", {"newest": "checkpoints"}, choice)


async def test_manifests_come_over_a_connection_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "_PAUSE_SECONDS", 0.0)
    (file,) = (await found(Cut())).files
    assert file.source == "attempt-0/checkpoints/epoch-000003/state"


async def test_a_connection_that_is_always_cut_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(offers, "_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(Cut, "cuts", 10_000)
    with pytest.raises(CommandError, match="does not answer: lost"):
        await found(Cut())
