"""Daemons that outlive the command that started them, found again by their pidfiles.

Separate from `console.run`, which waits for a program: these are etcd, the API server, dockerd. A pidfile
holds the pid and the start time that the kernel keeps, so that a pid that was given to somebody else is
never signalled. Called by the clusters and by the watchdog; standard library only, to start quickly.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import cache
from tests.harness.errors import HarnessError

_PORTS = (12_000, 30_000)
_DICE = random.SystemRandom()  # NB: whatever a test seeds, no two of them draw the same


@dataclass(frozen=True)
class Daemon:
    """A process, told apart from a later one with the same pid by its start time (clock ticks)."""

    pid: int
    start_time: int

    @property
    def alive(self) -> bool:
        _reap(self.pid)
        return _start_time(self.pid) == self.start_time

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal if the process is still the one we mean."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


# Children must be waited for by us or they stay as zombies; others belong to init.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start(
    argv: Sequence[str | Path],
    *,
    pidfile: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Daemon:
    """Starts a program in a session of its own, with output appended to `log`.

    Raises HarnessError if the pidfile's process is still running: stop it first.
    """
    if (old := find(pidfile)) is not None:
        raise HarnessError(f"{pidfile.stem} is already running with pid {old.pid}.")
    pidfile.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise HarnessError(f"{words[0]} could not be started: {error.strerror}.") from error
    _children[process.pid] = process
    start_time = _start_time(process.pid, zombies=True)
    assert start_time is not None, "an unreaped child has an entry in /proc"
    daemon = Daemon(pid=process.pid, start_time=start_time)
    record = {"pid": daemon.pid, "startTime": daemon.start_time, "boot": _boot(), "argv": words}
    try:
        cache.write_atomically(pidfile, json.dumps(record))
    except BaseException:
        process.kill()
        _reap(process.pid, wait=True)
        raise
    return daemon


def find(pidfile: Path) -> Daemon | None:
    """The running process of a pidfile; None if there is no file, no process, or another process."""
    try:
        record = json.loads(pidfile.read_text())
        daemon = Daemon(pid=int(record["pid"]), start_time=int(record["startTime"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return daemon if record.get("boot") == _boot() and daemon.alive else None


def stop(pidfile: Path, *, grace: float = 10.0) -> None:
    """Ends the pidfile's process (SIGTERM, after `grace` seconds SIGKILL) and removes the pidfile.

    Returns when the process is gone; a stale pidfile is only removed.
    """
    daemon = find(pidfile)
    if daemon is not None:
        # NB: a stopped process (SIGSTOP) would not see the SIGTERM.
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGCONT)
        if not wait_gone(daemon, timeout=grace):
            daemon.signal(signal.SIGKILL)
            if not wait_gone(daemon, timeout=10.0):
                raise HarnessError(f"{pidfile.stem} (pid {daemon.pid}) survived SIGKILL for 10 s.")
    pidfile.unlink(missing_ok=True)


def wait_gone(daemon: Daemon, *, timeout: float) -> bool:
    """Waits for a process to end; false if it is still there after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while daemon.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def exit_code(daemon: Daemon) -> int | None:
    """The exit code of an ended process, known only of our own children."""
    child = _children.get(daemon.pid)
    return child.poll() if child else None


def itself() -> Daemon:
    """This very process, as the watchdog is told whom to watch."""
    start_time = _start_time(os.getpid())
    assert start_time is not None
    return Daemon(pid=os.getpid(), start_time=start_time)


def free_ports(count: int) -> list[int]:
    """Different TCP ports that nobody listens on at 127.0.0.1 right now.

    Nothing holds them: whoever listens on one must be ready to be told that it is taken, and try again. They are below
    those that the kernel gives to clients, so that no connection takes one while a server restarts.
    """
    found: list[int] = []
    while len(found) < count:
        port = _DICE.randrange(*_PORTS)
        with socket.socket() as one, contextlib.suppress(OSError):
            # NB: as servers bind, to which a connection that has just ended is no hindrance.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def _reap(pid: int, *, wait: bool = False) -> None:
    child = _children.get(pid)
    if child is not None:
        if wait:
            child.wait()
        else:
            child.poll()


def _start_time(pid: int, *, zombies: bool = False) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # NB: the second field is the program's name in brackets and may itself hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX" and not zombies and not _has_other_threads(pid):
        return None
    return int(fields[19])


def _has_other_threads(pid: int) -> bool:
    """Whether threads outlive the first one: as long as one does, the process holds its ports and files."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def _boot() -> str:
    """Start times count from boot: the same number after a reboot is another process."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
