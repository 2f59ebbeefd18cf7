"""Kubeflow's SDK as it is published, for the test that it reports to us unmodified.

Separate because it cannot be a dependency: it wants an older `kubernetes` than ours, which the one function that is
called does not use. It goes to a folder of its own in the cache, from the package index, like other programs of tests.
Called by tests/integration/test_status_server.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness import cache, console

REQUIREMENTS = ("kubeflow==0.5.0", "kubeflow-trainer-api==2.3.0", "kubeflow-katib-api==0.19.0")


def ensure() -> Path:
    """The folder to put on PYTHONPATH, beside this interpreter's own packages."""

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}"]
        with console.step("Getting Kubeflow's SDK"):
            console.run([*pip, *REQUIREMENTS], log=cache.root() / "logs" / "kubeflow-sdk.log")

    return cache.built("wheels", f"kubeflow-sdk-{cache.digest_of(*REQUIREMENTS)}", install)
