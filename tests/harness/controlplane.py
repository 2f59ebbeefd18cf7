"""A real Kubernetes API server with its etcd, as processes: for integration tests and the bench.

Separate from kind because it needs neither root nor containers and is up in seconds. Called by
`python -m tests.harness up --kind controlplane`, where it stays up, and by fixtures through `running`,
where it ends with the test process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.harness import binaries, cache, console, processes
from tests.harness import controlplane_commands as commands
from tests.harness.client import ApiError, Client
from tests.harness.cluster import ClusterHandle
from tests.harness.controlplane_commands import ControlPlaneConfig, Layout, Ports
from tests.harness.errors import HarnessError

READY_SECONDS = 90.0
ATTEMPTS = 3
REPOSITORY = Path(__file__).parents[2]


class PortTaken(HarnessError):
    """Somebody was quicker; a new start with other ports will do."""


class ControlPlane:
    """A control plane that is up; made by `up` or `running`."""

    def __init__(self, name: str, config: ControlPlaneConfig, ports: Ports) -> None:
        self.name = name
        self.config = config
        self.ports = ports
        self.layout = Layout(cache.cluster_folder(name))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.ports.api}"

    @property
    def admin(self) -> Path:
        """A kubeconfig in system:masters, which no permission stops: for the harness, never for a test's
        subject."""
        return self.kubeconfig("harness-admin", groups=("system:masters",))

    @property
    def handle(self) -> ClusterHandle:
        return ClusterHandle(self.name, self.admin, context="harness-admin", made_by_us=True)

    def kubeconfig(self, user: str, *, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig for a client certificate of this user, who may do what RBAC grants it.

        The same user and groups give the same file again. The context is called after the user.
        """
        slug = re.sub(r"[^a-zA-Z0-9-]", "-", user) + "-" + cache.digest_of(user, *groups)[:8]
        path = self.layout.folder / "users" / f"{slug}.kubeconfig"
        if not path.exists():
            client = self.layout.authority.client(slug, user=user, groups=groups)
            commands.write_kubeconfig(self.layout, self.ports, client, path=path, context=user)
        return path

    def client(self, user: str | None = None, *, groups: tuple[str, ...] = ()) -> Client:
        """A client for tests; the admin's without a user."""
        return Client(self.kubeconfig(user, groups=groups) if user else self.admin)

    def log(self, program: str) -> Path:
        return self.layout.log(program)

    @property
    def audit_log(self) -> Path:
        """One JSON event a line, level Metadata; written only with `audit`."""
        return self.layout.audit_log

    def alive(self, program: str) -> bool:
        return processes.find(self.layout.pidfile(program)) is not None

    def start_program(self, program: str) -> None:
        """Starts one of the programs again; after etcd or the API server, waits until the API is ready."""
        path = binaries.ensure(program)[program]
        arguments = commands.arguments(program, layout=self.layout, ports=self.ports, config=self.config)
        processes.start(
            [path, *arguments], pidfile=self.layout.pidfile(program), log=self.layout.log(program)
        )
        if program in ("etcd", "kube-apiserver") and self.alive("kube-apiserver"):
            self._wait_ready()

    def stop_program(self, program: str, *, grace: float = 3.0) -> None:
        """Ends one program; `grace=0` kills it. What it stored stays.

        NB: an API server with watches open takes longer than any test should wait, and is killed then.
        """
        processes.stop(self.layout.pidfile(program), grace=grace)

    def restart_program(self, program: str, *, grace: float = 3.0) -> None:
        self.stop_program(program, grace=grace)
        self.start_program(program)

    @contextlib.contextmanager
    def paused(self, program: str) -> Iterator[None]:
        """Stops a program in its tracks: connections stay open and nobody answers."""
        daemon = processes.find(self.layout.pidfile(program))
        if daemon is None:
            raise HarnessError(f"{program} of {self.name} is not running.")
        daemon.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            daemon.signal(signal.SIGCONT)

    def _start(self, digest: str, owner: processes.Daemon | None) -> None:
        layout = self.layout
        state = {"digest": digest, "ports": asdict(self.ports), "owner": asdict(owner) if owner else None}
        layout.folder.mkdir(parents=True, mode=0o700)
        # NB: first of all, so that a start that dies half-way is recognised as ours and cleaned up.
        cache.write_atomically(layout.state, json.dumps(state))
        if owner:
            self._start_watchdog(owner)
        commands.write_inputs(layout, self.ports)
        programs = binaries.ensure(*self.config.programs)
        # Each waits for the one before by itself, so that they come up side by side.
        for program in ("etcd", "kube-apiserver"):
            arguments = commands.arguments(program, layout=layout, ports=self.ports, config=self.config)
            argv = [str(programs[program]), *arguments]
            processes.start(argv, pidfile=layout.pidfile(program), log=layout.log(program))
        self._wait_ready()
        for program in self.config.programs[2:]:
            self.start_program(program)
        if self.config.controller_manager:
            self._wait("the controller manager's first service account", self._has_service_account)

    def _start_watchdog(self, owner: processes.Daemon) -> None:
        processes.start(
            [
                sys.executable,
                "-m",
                "tests.harness.watchdog",
                self.name,
                str(owner.pid),
                str(owner.start_time),
            ],
            pidfile=self.layout.pidfile("watchdog"),
            log=self.layout.log("watchdog"),
            cwd=REPOSITORY,
        )

    def _wait_ready(self) -> None:
        self._wait("the API server", self.ready)

    def ready(self) -> bool:
        """Whether the API server says it is ready and the namespaces it makes for itself are there."""
        try:
            with Client(self.admin, timeout=5.0) as client:
                return client.text("/readyz") == "ok" and bool(client.get("/api/v1/namespaces/default"))
        except (OSError, ApiError):
            return False

    def _has_service_account(self) -> bool:
        with self.client() as client:
            return client.find("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not done():
            for program in self.config.programs:
                pidfile, log = self.layout.pidfile(program), self.layout.log(program)
                if pidfile.exists() and processes.find(pidfile) is None:
                    if "address already in use" in log.read_text(errors="replace"):
                        raise PortTaken(f"{program} of control plane {self.name} lost its port; see {log}.")
                    raise console.failure(f"{program} of control plane {self.name} ended by itself", log)
            if time.monotonic() > deadline:
                log = self.layout.log("kube-apiserver")
                raise console.failure(f"waited {READY_SECONDS:g} s in vain for {what} of {self.name}", log)
            time.sleep(0.1)

    def healthy(self) -> bool:
        return all(self.alive(program) for program in self.config.programs) and self.ready()


def up(
    name: str, config: ControlPlaneConfig | None = None, *, owner: processes.Daemon | None = None
) -> ControlPlane:
    """A running control plane of that name: the one there is, if it is healthy and made alike, else new.

    With an `owner` it ends, and its folder goes, when that process has ended.
    """
    config = config or ControlPlaneConfig()
    with cache.cluster_lock(name), console.step(f"Control plane {name}") as step:
        _remove_orphans(but=name)
        # NB: before anything is removed: a failed build must not cost the cluster that there is.
        digest = _digest(name, config, binaries.ensure(*config.programs))
        plane = _existing(name, config, digest, owner)
        if plane is not None:
            step.mark_cached()
        else:
            plane = _make(name, config, digest, owner)
        step.say(plane.url)
        return plane


@contextlib.contextmanager
def running(name: str, config: ControlPlaneConfig | None = None) -> Iterator[ControlPlane]:
    """A control plane for the length of a `with`, at most for that of this process."""
    plane = up(name, config, owner=processes.itself())
    try:
        yield plane
    finally:
        down(name)


def down(name: str, *, only_of: processes.Daemon | None = None) -> None:
    """Ends the control plane and removes its folder; that there is none is no error.

    With `only_of`, only if that is its owner: by now another may have started one of the same name.
    """
    with cache.cluster_lock(name):
        state = _read_state(Layout(cache.cluster_folder(name)))
        if only_of is None or (state is not None and state["owner"] == asdict(only_of)):
            _remove(name)


def exists(name: str) -> bool:
    """Whether there is a control plane of that name, in whatever state."""
    return Layout(cache.cluster_folder(name)).state.exists()


def status(name: str) -> str:
    """One line on what runs of it."""
    layout = Layout(cache.cluster_folder(name))
    pidfiles = sorted((layout.folder / "run").glob("*.pid"))
    alive = [pidfile.stem for pidfile in pidfiles if processes.find(pidfile)]
    dead = [pidfile.stem for pidfile in pidfiles if pidfile.stem not in alive]
    state = _read_state(layout)
    line = f"running: {', '.join(alive) or 'nothing'}" + (f"; dead: {', '.join(dead)}" if dead else "")
    return f"https://127.0.0.1:{state['ports']['api']}; {line}" if state else line


def _make(name: str, config: ControlPlaneConfig, digest: str, owner: processes.Daemon | None) -> ControlPlane:
    for _ in range(ATTEMPTS):
        _remove(name)
        plane = ControlPlane(name, config, Ports(*processes.free_ports(3)))
        try:
            plane._start(digest, owner)
        except PortTaken:
            continue
        except BaseException:
            # The logs stay: the error names them.
            _stop_processes(plane.layout)
            raise
        return plane
    raise HarnessError(
        f"{ATTEMPTS} times in a row somebody else took a port that control plane {name} chose."
    )


def _existing(
    name: str, config: ControlPlaneConfig, digest: str, owner: processes.Daemon | None
) -> ControlPlane | None:
    state = _read_state(Layout(cache.cluster_folder(name)))
    if state is None or state["digest"] != digest:
        return None
    if state["owner"] != (asdict(owner) if owner else None):
        return None
    plane = ControlPlane(name, config, Ports(**state["ports"]))
    return plane if plane.healthy() else None


def _read_state(layout: Layout) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads(layout.state.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return state


def _digest(name: str, config: ControlPlaneConfig, programs: dict[str, Path]) -> str:
    layout, nowhere = Layout(cache.cluster_folder(name)), Ports(0, 0, 0)
    lines = [
        [str(programs[program]), *commands.arguments(program, layout=layout, ports=nowhere, config=config)]
        for program in config.programs
    ]
    return cache.digest_of(json.dumps(lines))


def _remove(name: str) -> None:
    layout = Layout(cache.cluster_folder(name))
    if layout.folder.exists() and not layout.state.exists() and list(layout.folder.glob("[!.]*")):
        raise HarnessError(f"{layout.folder} is there and is no control plane's; choose another name.")
    _stop_processes(layout)
    cache.remove_tree(layout.folder)


def _stop_processes(layout: Layout) -> None:
    # NB: the watchdog first, or it could see its owner gone and clean up at the same time.
    pidfiles = sorted((layout.folder / "run").glob("*.pid"), key=lambda file: file.stem != "watchdog")
    for pidfile in pidfiles:
        daemon = processes.find(pidfile)
        if daemon is not None and daemon.pid == os.getpid():
            continue
        # Nothing is worth a graceful end: the data goes with it.
        processes.stop(pidfile, grace=0)


def _remove_orphans(*, but: str) -> None:
    """Removes what is left of control planes whose owner and whose watchdog died, by a reboot for one."""
    for name in cache.cluster_names():
        state = _read_state(Layout(cache.cluster_folder(name)))
        if name == but or state is None or state["owner"] is None:
            continue
        if not processes.Daemon(**state["owner"]).alive:
            with contextlib.suppress(HarnessError), cache.cluster_lock(name, wait=False):
                _remove(name)
