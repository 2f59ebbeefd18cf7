"""The command line as tests call it, and statuses and logs of jobs that no operator looks after."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from tests.objects import Jobs
from trainyard.cli import main
from trainyard.logs.store import LogStore


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


def kept(folder: Path, jobs: Jobs, name: str, *texts: list[str]) -> None:
    """Logs of a job's attempts, a line a second, as the operator stores them on this machine."""
    uid = jobs.get(name)["metadata"]["uid"]
    store = LogStore(folder.as_uri())
    for attempt, lines in enumerate(texts):
        file = store.file(namespace=jobs.namespace, uid=uid, attempt=attempt, rank=0)
        file.append((b"2025-03-09T07:05:%02dZ" % second, text.encode()) for second, text in enumerate(lines))
        asyncio.run(store.flush([file]))
