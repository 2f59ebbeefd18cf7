"""The operator as a process of this machine, with the chart's permissions and a user of its own.

Separate from the operator in a cluster (`chart.py`): integration tests have no nodes, and count the requests of
exactly this user. Called by fixtures of tests/integration and by the bench.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.harness import binaries, cache, console, processes
from tests.harness.client import ApiError, Client
from tests.harness.controlplane import ControlPlane
from tests.harness.errors import HarnessError

REPOSITORY = Path(__file__).parents[2]
USER = "trainyard-operator"
READY_SECONDS = 30.0


class Operator:
    """An operator process that is ready."""

    def __init__(self, *, name: str, daemon: processes.Daemon, pidfile: Path, log: Path, port: int) -> None:
        self.name = name
        self.daemon = daemon
        self._pidfile = pidfile
        self.log = log
        self.port = port

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics by their name with labels, as they stand in the text."""
        text = _get(self.port, "/metrics").decode()
        samples = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([-+0-9.eE]+|NaN|\+Inf)$", text, re.MULTILINE)
        return {name: float(value) for name, value in samples}

    def pss_mib(self) -> float:
        """Proportional set size of the process in MiB (shared pages counted by their share)."""
        rollup = Path(f"/proc/{self.daemon.pid}/smaps_rollup").read_text()
        return int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0]) / 1024

    def stop(self, *, grace: float = 10) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds."""
        processes.stop(self._pidfile, grace=grace)


def install(plane: ControlPlane, *, user: str = USER) -> None:
    """CRDs, and the chart's ClusterRole for `user`; again is no harm."""
    with plane.client() as client:
        for file in sorted((REPOSITORY / "crds").glob("*.yaml")):
            client.apply(yaml.safe_load(file.read_text(encoding="utf-8")))
        for rule in _cluster_roles():
            client.apply(rule)
            if "aggregate" not in str(rule["metadata"].get("labels")):
                client.apply(_binding(rule["metadata"]["name"], user))
        _wait_until_served(client)


@contextmanager
def running(
    plane: ControlPlane,
    *,
    name: str,
    settings: Mapping[str, Any] | None = None,
    user: str = USER,
    environment: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Iterator[Operator]:
    """An operator with these settings; its log folder is that of the control plane's components.

    Without `wait` it need not become ready: it may be told by its environment to die before that.
    """
    folder = plane.layout.folder / "operators"
    folder.mkdir(parents=True, exist_ok=True)
    port, status_port = processes.free_ports(2)
    wanted = {
        "endpoint": {"address": "127.0.0.1", "port": port},
        "logs": {"follow": False, "store": (folder / f"{name}-logs").as_uri()},
        "statusServer": loopback(status_port),
        **(settings or {}),
    }
    # NB: among the control plane's own, so that it ends with it when this process is killed.
    config, pidfile = folder / f"{name}.yaml", plane.layout.pidfile(name)
    log = plane.log(name)
    cache.write_atomically(config, yaml.safe_dump(wanted))
    kubeconfig = plane.kubeconfig(user)
    argv = [
        sys.executable,
        "-m",
        "trainyard",
        "run",
        "--kubeconfig",
        str(kubeconfig),
        "--config",
        str(config),
    ]
    daemon = processes.start(argv, pidfile=pidfile, log=log, env=environment)
    operator = Operator(name=name, daemon=daemon, pidfile=pidfile, log=log, port=port)
    try:
        if wait:
            _wait_until_ready(operator, port)
        yield operator
    finally:
        operator.stop()


def loopback(port: int, **more: Any) -> dict[str, Any]:
    """Settings of a status server on loopback; its certificate is in memory unless `more` names a Secret."""
    return {"address": "127.0.0.1", "port": port, "url": f"https://127.0.0.1:{port}", **more}


def _wait_until_ready(operator: Operator, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if not operator.daemon.alive:
            raise console.failure("The operator ended by itself", operator.log)
        try:
            if _get(port, "/readyz") == b"ok\n":
                return
        except HarnessError:
            pass
        time.sleep(0.05)
    raise console.failure(f"The operator was not ready within {READY_SECONDS:.0f} s", operator.log)


def _get(port: int, path: str) -> bytes:
    try:
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False, timeout=5.0)
    except urllib3.exceptions.HTTPError as error:
        raise HarnessError(f"{path}: {error}") from error
    if answer.status != 200:
        raise HarnessError(f"{path}: {answer.status}")
    return answer.data


def _cluster_roles() -> list[dict[str, Any]]:
    helm = binaries.ensure("helm")["helm"]
    chart = REPOSITORY / "charts" / "trainyard"
    argv = [str(helm), "template", "trainyard", str(chart), "--namespace", "trainyard-system"]
    log = cache.root() / "helm-template.log"
    text = console.capture([*argv, "--kube-version=1.34.4", "--show-only=templates/rbac.yaml"], log=log)
    return [one for one in yaml.safe_load_all(text) if one and one["kind"] == "ClusterRole"]


def _binding(role: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{role}-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _wait_until_served(client: Client) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            for plural in ("trainingjobs", "datasets", "experiments", "mlmodels"):
                client.list(f"/apis/trainyard.dev/v1alpha1/{plural}")
        except ApiError as error:
            if error.status not in (404, 429):  # 429: "storage is (re)initializing"
                raise
            time.sleep(0.1)
        else:
            return
    raise HarnessError("The CRDs are not served.")
