"""The Hugging Face hub's own client, for the test that `hub` speaks as the hub does.

Separate because nothing of ours needs it, so that it is no dependency: it goes to a folder of its own in the cache,
from the package index, like other programs of tests. Called by tests/integration/test_hub.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness import cache, console

REQUIREMENT = "huggingface_hub==2.4.0"


def ensure() -> Path:
    """The folder to put on PYTHONPATH, with all that the client needs."""

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", f"--target={folder}"]
        with console.step("Getting the Hugging Face hub's client"):
            console.run([*pip, REQUIREMENT], log=cache.root() / "logs" / "huggingface-hub.log")

    return cache.built("wheels", f"huggingface-hub-{cache.digest_of(REQUIREMENT)}", install)
