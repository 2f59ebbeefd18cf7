"""An operator that is started by a command line: any contender, and ours where it is treated as one.

Separate from `contenders`, which says how each is loaded and watched. In `argv`, `environment`, `files` and `ready`
these stand for what a run gives: {kubeconfig}, {folder} (of `files`), {python}, and {port} and {port2}, which
are free.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from tests.harness import cache, console, processes
from tests.harness.controlplane import ControlPlane

_READY_SECONDS = 60.0
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program; `files` are written first, `ready` is a URL that answers 200 once it works."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    ready: str | None = None


@contextmanager
def running(plane: ControlPlane, command: Command, *, kubeconfig: Path) -> Iterator[processes.Daemon]:
    """The program until the end of the block; it ends with the control plane at the latest."""
    folder = plane.layout.folder / "contenders" / command.name
    folder.mkdir(parents=True, exist_ok=True)
    port, port2 = processes.free_ports(2)
    given = {
        "{kubeconfig}": str(kubeconfig),
        "{folder}": str(folder),
        "{python}": sys.executable,
        "{port}": str(port),
        "{port2}": str(port2),
    }

    def filled(text: str) -> str:
        for key, value in given.items():
            text = text.replace(key, value)
        return text

    for name, content in command.files.items():
        cache.write_atomically(folder / name, filled(content))
    pidfile, log = plane.layout.pidfile(command.name), plane.log(command.name)
    environment = {key: filled(value) for key, value in command.environment.items()}
    daemon = processes.start(
        [filled(word) for word in command.argv], pidfile=pidfile, log=log, env=environment
    )
    try:
        _wait_ready(command, daemon, log, filled(command.ready) if command.ready else None)
        yield daemon
    finally:
        processes.stop(pidfile)


def _wait_ready(command: Command, daemon: processes.Daemon, log: Path, url: str | None) -> None:
    deadline = time.monotonic() + (_READY_SECONDS if url else _SETTLE_SECONDS)
    while time.monotonic() < deadline:
        if not daemon.alive:
            raise console.failure(f"{command.name} ended by itself", log)
        if url is not None and _answers(url):
            return
        time.sleep(0.05)
    if url is not None:
        raise console.failure(f"{command.name} was not ready within {_READY_SECONDS:.0f} s", log)


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=5.0).status == 200
    except urllib3.exceptions.HTTPError:
        return False
