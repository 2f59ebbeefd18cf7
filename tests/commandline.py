"""The command line as tests call it, and statuses for jobs that no operator looks after."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from tests.objects import Jobs
from trainyard.cli import main


class Cli:
    """`trainyard` in one namespace, as the user of a kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.where = ["--kubeconfig", str(kubeconfig), "--namespace", namespace]

    def __call__(self, command: str, *arguments: str, stdin: str | None = None) -> Result:
        """In this process, as on a pipe."""
        return CliRunner().invoke(main, [command, *arguments, *self.where], input=stdin)

    def argv(self, command: str, *arguments: str) -> list[str]:
        """For a process of its own."""
        return [sys.executable, "-m", "trainyard", command, *arguments, *self.where]


def a_status(jobs: Jobs, name: str, phase: str, reason: str, **more: Any) -> None:
    """Writes a status as the operator would, of the spec as it is now; `conditions` by type."""
    job = jobs.get(name)
    conditions = [
        {
            "type": kind,
            "status": "True" if value else "False",
            "reason": reason,
            "message": "",
            "lastTransitionTime": "2025-03-09T07:05:09Z",
        }
        for kind, value in (more.pop("conditions", None) or {"Ready": True}).items()
    ]
    status = {
        "observedGeneration": job["metadata"]["generation"],
        "phase": phase,
        "reason": reason,
        "message": more.pop("message", f"It is {reason}."),
        "conditions": conditions,
        **more,
    }
    jobs.client.patch(jobs.path("trainingjobs", name) + "/status", {"status": status})
