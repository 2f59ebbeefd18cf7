"""Daemons are found by their pidfiles, and nobody else is ever signalled."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client import wait_for
from tests.harness.errors import HarnessError

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""

LEADERLESS = """
import ctypes, platform, socket, threading, time
listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(600,)).start()
print(listening.getsockname()[1], flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # exit(2), of one thread
"""


@pytest.fixture
def pidfile(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "sleeper.pid"
    yield path
    processes.stop(path, grace=0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "sleeper.log"


def sleeper(pidfile: Path, log: Path) -> processes.Daemon:
    return processes.start(["sleep", "600"], pidfile=pidfile, log=log)


def test_a_daemon_is_found_and_stopped(pidfile: Path, log: Path) -> None:
    daemon = sleeper(pidfile, log)
    assert processes.find(pidfile) == daemon
    assert os.getsid(daemon.pid) == daemon.pid, "a session of its own: Ctrl-C is not for it"

    processes.stop(pidfile)

    assert not daemon.alive
    assert not pidfile.exists()
    assert processes.exit_code(daemon) == -signal.SIGTERM


def test_a_second_start_is_refused(pidfile: Path, log: Path) -> None:
    daemon = sleeper(pidfile, log)
    with pytest.raises(HarnessError, match=f"already running with pid {daemon.pid}"):
        sleeper(pidfile, log)


def test_one_that_ignores_sigterm_is_killed(pidfile: Path, log: Path) -> None:
    daemon = processes.start([sys.executable, "-c", STUBBORN], pidfile=pidfile, log=log)
    wait_for(lambda: "deaf" in log.read_text(), what="the program to be deaf")
    processes.stop(pidfile, grace=0.2)
    assert not daemon.alive


def test_one_that_is_stopped_by_a_signal_still_ends(pidfile: Path, log: Path) -> None:
    daemon = sleeper(pidfile, log)
    daemon.signal(signal.SIGSTOP)
    begun = time.monotonic()
    processes.stop(pidfile)
    assert not daemon.alive
    assert time.monotonic() - begun < 5


def test_a_pid_that_now_belongs_to_another_is_left_alone(pidfile: Path, log: Path, tmp_path: Path) -> None:
    bystander = sleeper(tmp_path / "bystander.pid", log)
    record = json.loads((tmp_path / "bystander.pid").read_text())
    pidfile.parent.mkdir()
    pidfile.write_text(json.dumps(record | {"startTime": record["startTime"] - 1}))

    assert processes.find(pidfile) is None
    processes.stop(pidfile)

    assert bystander.alive
    assert not pidfile.exists()
    processes.stop(tmp_path / "bystander.pid")


def test_a_pidfile_from_before_a_reboot_is_stale(pidfile: Path, log: Path) -> None:
    daemon = sleeper(pidfile, log)
    mine = pidfile.read_text()
    pidfile.write_text(json.dumps(json.loads(mine) | {"boot": "another"}))
    assert processes.find(pidfile) is None
    pidfile.write_text(mine)
    assert processes.find(pidfile) == daemon


@pytest.mark.parametrize("content", ["", "{", "[]", "12", '{"pid": 1}', '{"pid": null, "startTime": 1}'])
def test_a_broken_pidfile_names_nobody(pidfile: Path, content: str) -> None:
    pidfile.parent.mkdir()
    pidfile.write_text(content)
    assert processes.find(pidfile) is None
    processes.stop(pidfile)
    assert not pidfile.exists()


def test_a_process_whose_first_thread_has_ended_still_holds_its_ports(pidfile: Path, log: Path) -> None:
    daemon = processes.start([sys.executable, "-c", LEADERLESS], pidfile=pidfile, log=log)
    status = Path(f"/proc/{daemon.pid}/status")
    wait_for(lambda: "State:\tZ" in status.read_text(), what="its first thread to end")
    assert daemon.alive
    port = int(log.read_text())
    with socket.socket() as one, pytest.raises(OSError, match="in use"):
        one.bind(("127.0.0.1", port))

    processes.stop(pidfile, grace=0)

    with socket.socket() as one:
        one.bind(("127.0.0.1", port))


def test_a_zombie_counts_as_gone(pidfile: Path, log: Path) -> None:
    daemon = sleeper(pidfile, log)
    os.kill(daemon.pid, signal.SIGKILL)
    assert processes.wait_gone(daemon, timeout=5)
    assert not daemon.signal(signal.SIGTERM)


def test_output_goes_to_the_log(pidfile: Path, log: Path) -> None:
    argv = [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr)"]
    daemon = processes.start(argv, pidfile=pidfile, log=log)
    assert processes.wait_gone(daemon, timeout=10)
    assert sorted(log.read_text().split()) == ["err", "out"]
    assert processes.exit_code(daemon) == 0


def test_a_program_that_is_missing_is_a_sentence(pidfile: Path, log: Path) -> None:
    with pytest.raises(HarnessError, match="no-such-program could not be started: No such file"):
        processes.start(["no-such-program"], pidfile=pidfile, log=log)
    assert not pidfile.exists()


def test_free_ports_differ_and_are_free() -> None:
    ports = processes.free_ports(20)
    assert len(set(ports)) == 20
    with socket.socket() as one:
        one.bind(("127.0.0.1", ports[0]))


def test_the_process_itself_is_alive() -> None:
    assert processes.itself().pid == os.getpid()
    assert processes.itself().alive
