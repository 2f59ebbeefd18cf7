"""A Docker daemon of our own, for machines that have none: Debian's, not installed but unpacked.

Separate from `docker`, which decides whether it is needed. It has its own folders, socket and control
group, leaves the machine's iptables alone, and when it ends, everything that it changed is put back. Its
images stay in the cache. Called by `docker`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.harness import cache, console, debian, machine, processes
from tests.harness.errors import HarnessError

PACKAGES = ("docker.io", "tini", "iproute2")
READY_SECONDS = 30.0

RUN = Path("/run")
# What the machine was like before the first daemon of ours, of whatever cache; gone after the last.
MACHINE_BEFORE = RUN / "trainyard.json"
MACHINE_LOCK = RUN / "lock" / "trainyard.lock"
# Folders outside ours that dockerd and containerd make wherever they run.
FOREIGN_FOLDERS = [
    Path(name) for name in ("/etc/docker", "/opt/containerd", "/run/containerd", "/run/docker")
]


def state_folder() -> Path:
    """The pidfile; there as long as the daemon is not stopped."""
    return cache.root() / "dockerd"


def data_folder() -> Path:
    """The daemon's images (and, while clusters run, their containers). Stays as a cache."""
    return cache.root() / "images" / "dockerd"


def run_folder() -> Path:
    """Sockets, whose paths must be short, and what lives no longer than the daemon."""
    return RUN / f"trainyard-{cache.digest_of(str(cache.root()))[:8]}"


def cgroup() -> str:
    """The control group that all containers are in; another cache's daemon has another."""
    return run_folder().name


def bridge() -> str:
    """The network interface of the network that kind's nodes are in."""
    return f"ty-{run_folder().name.rpartition('-')[2]}"


def address() -> str:
    return f"unix://{run_folder() / 'docker.sock'}"


def log_file() -> Path:
    return cache.root() / "logs" / "dockerd.log"


def programs() -> Path:
    """The folder that Docker is unpacked in, client included."""
    return debian.unpacked(PACKAGES, log=cache.root() / "logs" / "packages.log")


def client() -> Path:
    return programs() / "usr/bin/docker"


def possible() -> str | None:
    """Why this machine cannot have a daemon of ours; None if it can."""
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    if os.geteuid() != 0:
        return "the harness does not run as root"
    if not debian.usable():
        return "there is no apt to get Debian's from"
    return None


def left_behind() -> bool:
    """Whether a daemon of ours runs, or ended without being stopped."""
    return state_folder().exists()


def answers() -> bool:
    """Whether our daemon is up."""
    if processes.find(_pidfile()) is None:
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        argv: list[str | Path] = [client(), "--host", address(), "version", "--format", "{{.Server.Version}}"]
        return subprocess.run(argv, capture_output=True, timeout=10).returncode == 0
    return False


def start() -> None:
    """Makes our daemon answer: does nothing if it does, and recovers from one that died."""
    with cache.lock(cache.root() / "images" / ".dockerd.lock"):
        if answers():
            return
        folder = programs()
        with console.step("Starting a Docker daemon of our own"):
            try:
                _start(folder)
            except HarnessError:
                # What is in there can be had again, and it may be what a crash left unreadable.
                console.say("It did not start: trying once more without what it had stored.")
                _end()
                cache.remove_tree(data_folder())
                _start(folder)


def _start(folder: Path) -> None:
    _end()
    for path in (state_folder(), data_folder(), run_folder()):
        path.mkdir(parents=True, exist_ok=True)
    with cache.lock(MACHINE_LOCK):
        machine.remember(MACHINE_BEFORE, folders=FOREIGN_FOLDERS)
    processes.start(
        _argv(folder),
        pidfile=_pidfile(),
        log=log_file(),
        env={**debian.environment(folder), "DOCKER_HOST": "", "TMPDIR": str(run_folder())},
    )
    deadline = time.monotonic() + READY_SECONDS
    while not answers():
        if processes.find(_pidfile()) is None:
            raise console.failure("dockerd ended", log_file())
        if time.monotonic() > deadline:
            raise console.failure(f"dockerd did not answer within {READY_SECONDS:g} s", log_file())
        time.sleep(0.1)


def _argv(folder: Path) -> list[str | Path]:
    runtime = _write_runtime(folder)
    return [
        folder / "usr/sbin/dockerd",
        "--config-file",
        _write_empty_config(),
        "--data-root",
        data_folder(),
        "--exec-root",
        run_folder() / "exec",
        "--pidfile",
        run_folder() / "docker.pid",
        "--host",
        address(),
        "--group",
        "root",
        "--cgroup-parent",
        f"/{cgroup()}",
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
        "--userland-proxy-path",
        folder / "usr/sbin/docker-proxy",
        "--init-path",
        folder / "usr/bin/docker-init",
        "--add-runtime",
        f"limited={runtime}",
        "--default-runtime",
        "limited",
    ]


def _write_runtime(folder: Path) -> Path:
    script = run_folder() / "runc"
    words = [sys.executable, "-IS", Path(__file__).with_name("runc_caps.py"), folder / "usr/sbin/runc"]
    line = shlex.join(str(word) for word in words)
    cache.write_atomically(script, f'#!/bin/sh\nexec {line} "$@"\n', mode=0o755)
    return script


def _write_empty_config() -> Path:
    """The machine's /etc/docker/daemon.json, if any, is for another daemon."""
    config = run_folder() / "daemon.json"
    cache.write_atomically(config, "{}\n")
    return config


def stop() -> None:
    """Ends our daemon with all that it runs and puts the machine back; its images stay."""
    with cache.lock(cache.root() / "images" / ".dockerd.lock"):
        if not left_behind():
            return
        with console.step("Stopping our Docker daemon"):
            _end()
            with cache.lock(MACHINE_LOCK):
                # NB: one of another cache needs the same settings and folders; the last one puts them back.
                if not machine.processes_of("dockerd", f"{RUN}/trainyard-"):
                    machine.restore(MACHINE_BEFORE)
                    MACHINE_LOCK.unlink()
            cache.remove_tree(state_folder())


def _end() -> None:
    processes.stop(_pidfile(), grace=20.0)
    # containerd and its shims, which outlive a dockerd that was killed.
    deadline = time.monotonic() + 10.0
    while remaining := machine.processes_of("containerd", f"{run_folder()}/"):
        if time.monotonic() > deadline:
            raise HarnessError(f"Processes of our dockerd do not end: {remaining}.")
        machine.kill(remaining)
    machine.end_cgroup(cgroup())
    for folder in (run_folder(), data_folder()):
        machine.unmount_below(folder)
    machine.remove_bridge(bridge(), environment=debian.environment(programs()))
    # NB: dockerd takes a pidfile in there for a sign that it runs already.
    cache.remove_tree(run_folder())


def _pidfile() -> Path:
    return state_folder() / "dockerd.pid"
