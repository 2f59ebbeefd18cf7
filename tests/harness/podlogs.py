"""Logs of fake pods, so that an operator follows them as it does on real nodes.

Separate from `kwok`, its only caller, because this plays another part of the kubelet, by a program of its own
(`modules/podlogs`, which says why, and what a pod prints). The API server takes any certificate for a kubelet's.
"""

from __future__ import annotations

from pathlib import Path

from tests.harness import binaries, console, processes
from tests.harness.client import Json, wait_for
from tests.harness.controlplane import ControlPlane

PROGRAM = "podlogs"


def start(plane: ControlPlane, *, lines: Path) -> None:
    """Starts the server of logs, if it does not run; the control plane's end is its end."""
    if plane.alive(PROGRAM):
        return
    layout = plane.layout
    file = _port_file(plane)
    file.parent.mkdir(parents=True, exist_ok=True)
    # NB: nodes name the port; a second start has to serve at the same.
    listen = f"127.0.0.1:{port(plane) or 0}"
    file.unlink(missing_ok=True)
    serving = layout.authority.server(PROGRAM, hosts=("127.0.0.1",))
    client = layout.authority.client(f"{PROGRAM}-client", user=PROGRAM, groups=("system:masters",))
    argv: list[str | Path] = [
        binaries.ensure(PROGRAM)[PROGRAM],
        f"--listen={listen}",
        f"--port-file={file}",
        f"--tls-certificate={serving.certificate}",
        f"--tls-key={serving.key}",
        f"--server={plane.url}",
        f"--ca={layout.authority.pair.certificate}",
        f"--client-certificate={client.certificate}",
        f"--client-key={client.key}",
        f"--lines={lines}",
    ]
    processes.start(argv, pidfile=layout.pidfile(PROGRAM), log=layout.log(PROGRAM))

    def served() -> bool:
        if not plane.alive(PROGRAM):
            raise console.failure("The server of logs ended by itself", plane.log(PROGRAM))
        return port(plane) is not None

    wait_for(served, what="logs of pods to be served", timeout=30)


def port(plane: ControlPlane) -> int | None:
    """Where logs are served; None where they are not."""
    try:
        return int(_port_file(plane).read_text())
    except FileNotFoundError:
        return None


def endpoint(port: int) -> Json:
    """What the status of a node says of it, for its pods' logs to be asked for there."""
    return {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }


def _port_file(plane: ControlPlane) -> Path:
    return plane.layout.folder / "programs" / f"{PROGRAM}.port"
