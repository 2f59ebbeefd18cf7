"""The command lines of a control plane's programs.

Separate from `controlplane`, which starts and stops them: this file is the one to read to know how our
API server differs from a real cluster's, which is in nothing that an operator can see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness import cache, pki

SERVICE_CIDR = "10.96.0.0/16"
API_HOSTS = (
    "127.0.0.1",
    "localhost",
    "10.96.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
)


@dataclass(frozen=True)
class ControlPlaneConfig:
    """What a control plane is made of beyond etcd and the API server.

    Without the controller manager nothing makes service accounts, so that no pod is admitted, nothing is
    garbage-collected, and deleted namespaces stay. `flags` adds to a program's command line, as in
    `{"kube-controller-manager": ["--node-monitor-grace-period=20s"]}`.
    """

    controller_manager: bool = False
    scheduler: bool = False
    audit: bool = False
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def programs(self) -> list[str]:
        """In the order in which they are started."""
        return [
            "etcd",
            "kube-apiserver",
            *(["kube-controller-manager"] if self.controller_manager else []),
            *(["kube-scheduler"] if self.scheduler else []),
        ]


@dataclass(frozen=True)
class Ports:
    """Where the programs listen, all at 127.0.0.1."""

    api: int
    etcd: int
    etcd_peer: int


@dataclass(frozen=True)
class Layout:
    """The files of a control plane in its folder."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "controlplane.json"

    @property
    def authority(self) -> pki.Authority:
        return pki.Authority(self.folder / "pki")

    def pair(self, name: str) -> pki.Pair:
        return pki.Pair(self.folder / "pki" / f"{name}.crt", self.folder / "pki" / f"{name}.key")

    def kubeconfig(self, program: str) -> Path:
        return self.folder / "programs" / f"{program}.kubeconfig"

    def pidfile(self, program: str) -> Path:
        return self.folder / "run" / f"{program}.pid"

    def log(self, program: str) -> Path:
        return self.folder / "logs" / f"{program}.log"

    @property
    def audit_log(self) -> Path:
        return self.folder / "logs" / "audit.log"

    @property
    def audit_policy(self) -> Path:
        return self.folder / "programs" / "audit-policy.yaml"

    @property
    def scheduler_config(self) -> Path:
        return self.folder / "programs" / "scheduler.yaml"


def arguments(program: str, *, layout: Layout, ports: Ports, config: ControlPlaneConfig) -> list[str]:
    """The command line of a program, without the program itself."""
    own = {
        "etcd": _etcd,
        "kube-apiserver": _api_server,
        "kube-controller-manager": _controller_manager,
        "kube-scheduler": _scheduler,
    }[program](layout, ports, config)
    return [*own, *config.flags.get(program, ())]


def _etcd(layout: Layout, ports: Ports, _: ControlPlaneConfig) -> list[str]:
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    own, authority = layout.pair("etcd"), layout.authority.pair.certificate
    arguments = [
        "--name=default",
        f"--data-dir={layout.folder / 'etcd'}",
        # The data is thrown away with the cluster; waiting for the disk is most of the time otherwise.
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]
    for prefix in ("", "peer-"):
        arguments += [
            f"--{prefix}cert-file={own.certificate}",
            f"--{prefix}key-file={own.key}",
            f"--{prefix}trusted-ca-file={authority}",
            f"--{prefix}client-cert-auth",
        ]
    return arguments


def _api_server(layout: Layout, ports: Ports, config: ControlPlaneConfig) -> list[str]:
    serving, etcd, tokens = layout.pair("kube-apiserver"), layout.pair("etcd"), layout.folder / "pki"
    arguments = [
        f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
        f"--etcd-cafile={layout.authority.pair.certificate}",
        f"--etcd-certfile={etcd.certificate}",
        f"--etcd-keyfile={etcd.key}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        # A loopback address cannot be an endpoint of Service `kubernetes`, and no pod would reach it.
        "--endpoint-reconciler-type=none",
        f"--secure-port={ports.api}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={layout.authority.pair.certificate}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={tokens / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={tokens / 'service-accounts.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    if config.audit:
        arguments += [
            f"--audit-policy-file={layout.audit_policy}",
            f"--audit-log-path={layout.audit_log}",
            # One file however long the run: whoever counts must not miss what was rotated away.
            "--audit-log-maxsize=1000000",  # MB; 0 would be 100
        ]
    return arguments


def _controller_manager(layout: Layout, ports: Ports, _: ControlPlaneConfig) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={layout.folder / 'pki' / 'service-accounts.key'}",
        f"--root-ca-file={layout.authority.pair.certificate}",
        "--leader-elect=false",
        "--secure-port=0",
        # The defaults (20, 30) would make the garbage collector the thing that the bench measures.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]


def _scheduler(layout: Layout, ports: Ports, _: ControlPlaneConfig) -> list[str]:
    return [f"--config={layout.scheduler_config}", "--secure-port=0"]


def write_inputs(layout: Layout, ports: Ports) -> None:
    """Writes certificates, kubeconfigs and configuration files that the command lines name."""
    authority = layout.authority
    authority.server("etcd", hosts=("127.0.0.1", "localhost"))
    authority.server("kube-apiserver", hosts=API_HOSTS)
    pki.signing_key(layout.folder / "pki")
    for program in ("kube-controller-manager", "kube-scheduler"):
        client = authority.client(program, user=f"system:{program}")
        write_kubeconfig(layout, ports, client, path=layout.kubeconfig(program), context=program)
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }
    _write_yaml(layout.audit_policy, policy)
    scheduler = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {
            "kubeconfig": str(layout.kubeconfig("kube-scheduler")),
            "qps": 500,
            "burst": 1000,
        },
    }
    _write_yaml(layout.scheduler_config, scheduler)


def write_kubeconfig(layout: Layout, ports: Ports, client: pki.Pair, *, path: Path, context: str) -> None:
    """Writes a kubeconfig for a client certificate, readable for us alone."""
    text = pki.kubeconfig(
        server=f"https://127.0.0.1:{ports.api}",
        authority=layout.authority.pair.certificate,
        client=client,
        context=context,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    cache.write_atomically(path, text, mode=0o600)


def _write_yaml(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cache.write_atomically(path, yaml.safe_dump(document, sort_keys=False))
