"""What `kind create` is told: pure functions, from what is wanted to kind's configuration.

Separate from `kindcluster`, which runs things. Everything here holds for a public node image as for ours;
the few differences hang on `NodeImage.home_made`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.harness.errors import HarnessError
from tests.harness.node_image import NodeImage

AUDIT_FOLDER = "/var/log/kubernetes"
AUDIT_POLICY = "/etc/kubernetes/policies/audit.yaml"
# Where the controller manager's host-path provisioner makes volumes.
VOLUMES = "/tmp/hostpath_pv"

Network = ipaddress.IPv4Network


def configuration(
    *, nodes: int, image: NodeImage, audit_policy: Path, volumes: Path, pods: Network, services: Network
) -> dict[str, Any]:
    """kind's configuration for a control plane and `nodes - 1` workers.

    `volumes` is a folder of this machine's that every node mounts, so that a volume can be used on each.
    """
    # NB: nodes share the folder only where volumes come from the host-path provisioner, with our image.
    mounts = [{"hostPath": str(volumes), "containerPath": VOLUMES}] if image.home_made else []
    policy = {"hostPath": str(audit_policy), "containerPath": AUDIT_POLICY, "readOnly": True}
    control_plane = {"role": "control-plane", "extraMounts": [*mounts, policy]}
    workers = [{"role": "worker", "extraMounts": list(mounts)} for _ in range(nodes - 1)]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "podSubnet": str(pods),
            "serviceSubnet": str(services),
            "disableDefaultCNI": image.home_made,
        },
        "nodes": [control_plane, *workers],
        "kubeadmConfigPatches": [_cluster_patch(nodes=nodes, image=image)],
    }


def creation(*, name: str, image: NodeImage, config: Path, kubeconfig: Path) -> tuple[str | Path, ...]:
    """The words of `kind create cluster`. NB: into a kubeconfig of its own, so that the user's stays as it is."""
    where = ("--config", config, "--kubeconfig", kubeconfig)
    return ("create", "cluster", "--name", name, "--image", image.reference, *where)


def _cluster_patch(*, nodes: int, image: NodeImage) -> str:
    """A merge patch in YAML (as JSON is) of kubeadm's ClusterConfiguration, v1beta3, where arguments are a map."""
    api_server: dict[str, str] = {
        "audit-policy-file": AUDIT_POLICY,
        "audit-log-path": f"{AUDIT_FOLDER}/audit.log",
    }
    controller_manager: dict[str, str] = {}
    if nodes > 1:
        # A lost node shall be noticed while a test waits; a lone one must not be lost on a busy machine.
        controller_manager["node-monitor-grace-period"] = "20s"
        api_server["default-not-ready-toleration-seconds"] = "10"
        api_server["default-unreachable-toleration-seconds"] = "10"
    api_server_volumes = [
        _volume("audit-policy", str(Path(AUDIT_POLICY).parent), read_only=True),
        _volume("audit-log", AUDIT_FOLDER),
    ]
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": api_server, "extraVolumes": api_server_volumes},
        "controllerManager": {
            "extraArgs": controller_manager,
            # The provisioner makes and removes folders where the controller manager runs: in its own container.
            "extraVolumes": [_volume("volumes", VOLUMES)] if image.home_made else [],
        },
        # These clusters need not survive a power cut.
        "etcd": {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}},
    }
    return json.dumps(patch)


def _volume(name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "hostPath": path,
        "mountPath": path,
        "readOnly": read_only,
        "pathType": "DirectoryOrCreate",
    }


def free_networks(used: Iterable[Network]) -> tuple[Network, Network]:
    """Ranges for pods and services, of 65,536 addresses each, that this machine has no route to.

    kind's own (10.244.0.0/16, 10.96.0.0/16) where they are free.
    """
    taken = list(used)
    found = []
    for preferred in (244, 96):
        for second in (preferred, *range(100, 250)):
            network = Network(f"10.{second}.0.0/16")
            if not any(network.overlaps(other) for other in taken):
                found.append(network)
                taken.append(network)
                break
        else:
            raise HarnessError("No range of 10.0.0.0/8 is free for the pods: this machine routes all of it.")
    return found[0], found[1]


def routed_networks(table: str) -> list[Network]:
    """The networks of a /proc/net/route table, without the default route."""
    networks = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, mask = (ipaddress.IPv4Address(bytes.fromhex(fields[n])[::-1]) for n in (1, 7))
        network = Network(f"{address}/{mask}")
        if network.prefixlen > 0:
            networks.append(network)
    return networks
