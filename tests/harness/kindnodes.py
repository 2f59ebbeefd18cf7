"""What is done to the nodes of a kind cluster of ours once they run, and again after they restarted.

Separate from `kindcluster`, which makes and deletes them. Everything here can be repeated and changes
nothing the second time. Called by `kindcluster` and by tests that stop and start nodes.
"""

from __future__ import annotations

from tests.harness.client import Client, Json, wait_for
from tests.harness.docker import Engine

GPUS = 4
GPU_RESOURCE = "nvidia.com/gpu"
GPU_TAINT = {"key": GPU_RESOURCE, "value": "present", "effect": "NoSchedule"}
GPU_TOLERATION = {"key": GPU_RESOURCE, "operator": "Exists"}
GPU_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "trainyard.dev/accelerator": "a100",
}
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
# What must keep running, and come back, on a lone node that is tainted. The second is plain kind's.
SYSTEM_DEPLOYMENTS = (
    "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
    "/apis/apps/v1/namespaces/local-path-storage/deployments/local-path-provisioner",
)


def ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def pod_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def connect(client: Client, engine: Engine) -> None:
    """Gives every node routes to the others' pods, as kindnet does on the public image.

    NB: they are gone when a node restarts.
    """
    nodes = wait_for(lambda: _with_pod_ranges(client), what="pod ranges of all nodes", timeout=60)
    assert nodes is not None
    for name in nodes:
        for other, (address, pod_range) in nodes.items():
            if other != name:
                engine.run("exec", name, "ip", "route", "replace", pod_range, "via", address)


def _with_pod_ranges(client: Client) -> dict[str, tuple[str, str]] | None:
    nodes = client.list("/api/v1/nodes")
    if not all("podCIDR" in node["spec"] for node in nodes):
        return None
    return {node["metadata"]["name"]: (_address(node), node["spec"]["podCIDR"]) for node in nodes}


def _address(node: Json) -> str:
    return next(str(one["address"]) for one in node["status"]["addresses"] if one["type"] == "InternalIP")


def open_control_plane(client: Client) -> None:
    """Lets ordinary pods run on the control plane's node: it is the one without GPUs where there are two."""
    for node in client.list("/api/v1/nodes", labelSelector=CONTROL_PLANE_LABEL):
        taints = node["spec"].get("taints", [])
        kept = [taint for taint in taints if taint["key"] != CONTROL_PLANE_LABEL]
        if kept != taints:
            _set_taints(client, node, kept)


def prepare_system(client: Client) -> None:
    """Makes the system's own pods fit a small cluster whose lone node is tainted."""
    nodes = client.list("/api/v1/nodes")
    lone = gpu_nodes(nodes) == nodes
    for path in SYSTEM_DEPLOYMENTS:
        deployment = client.find(path)
        if deployment is not None and (patch := system_patch(deployment, tolerate_gpus=lone)):
            client.patch(path, patch, kind="strategic")


def system_patch(deployment: Json, *, tolerate_gpus: bool) -> Json:
    """A strategic merge patch to one replica that is soon seen to be ready; empty if nothing is to be done.

    The taint is only tolerated where there is no other node: elsewhere a test may take the GPU node away.
    """
    spec = deployment["spec"]["template"]["spec"]
    tolerations = [one for one in spec.get("tolerations", []) if one != GPU_TOLERATION]
    wanted = [*tolerations, GPU_TOLERATION] if tolerate_gpus else tolerations
    if wanted == spec.get("tolerations", []) and deployment["spec"].get("replicas") == 1:
        return {}
    # Every 10 s, as it comes, keeps whoever waits for a new cluster waiting.
    probes = [
        {"name": one["name"], "readinessProbe": {"periodSeconds": 1}}
        for one in spec["containers"]
        if "readinessProbe" in one
    ]
    return {"spec": {"replicas": 1, "template": {"spec": {"tolerations": wanted, "containers": probes}}}}


def wait_ready(client: Client, *, timeout: float) -> None:
    """Waits for the nodes, for the system's pods, and for what pods of users need. Raises TimeoutError."""

    def nodes_ready() -> bool:
        return all(ready(node) for node in client.list("/api/v1/nodes"))

    wait_for(nodes_ready, what="the nodes to be ready", timeout=timeout, every=0.5)
    wait_for(lambda: not waiting(client), what="the system's pods to be ready", timeout=timeout, every=0.5)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    wait_for(lambda: client.find(account), what="the default service account", timeout=timeout)


def waiting(client: Client) -> list[str]:
    """The names of the system's pods that are not ready, and of what has not made its pods yet."""
    names = []
    for namespace in ("kube-system", "local-path-storage"):
        pods = client.list(f"/api/v1/namespaces/{namespace}/pods")
        going = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        names += [pod["metadata"]["name"] for pod in going if not pod_ready(pod)]
    for path in SYSTEM_DEPLOYMENTS:
        deployment = client.find(path)
        if deployment and not rolled_out(deployment):
            names.append(deployment["metadata"]["name"])
    return names


def rolled_out(deployment: Json) -> bool:
    """Whether every replica is of the present template and available."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )


def offer_gpus(client: Client, *, count: int = GPUS) -> list[str]:
    """Makes the workers, or a lone node, offer GPUs that are not there, tainted as GPU nodes are.

    Gives their names.
    """
    chosen = gpu_nodes(client.list("/api/v1/nodes"))
    for node in chosen:
        path = f"/api/v1/nodes/{node['metadata']['name']}"
        # NB: the kubelet would derive what is allocatable from the capacity, at its next report after 10 s. It
        # forgets a resource that no device plugin backs when its node is made anew.
        offered = {GPU_RESOURCE: str(count)}
        status = {"status": {"capacity": offered, "allocatable": offered}}
        client.patch(f"{path}/status", status, kind="merge")
        client.patch(path, {"metadata": {"labels": GPU_LABELS}}, kind="merge")
        taints = node["spec"].get("taints", [])
        if GPU_TAINT not in taints:
            _set_taints(client, node, [*taints, GPU_TAINT])
    return [str(node["metadata"]["name"]) for node in chosen]


def gpu_nodes(nodes: list[Json]) -> list[Json]:
    """The workers; all nodes if there are none."""
    return [node for node in nodes if CONTROL_PLANE_LABEL not in node["metadata"]["labels"]] or nodes


def _set_taints(client: Client, node: Json, taints: list[Json]) -> None:
    client.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"spec": {"taints": taints}}, kind="merge")
