"""Paths of the API: where objects of ours and of Kubernetes are.

Separate because paths are data that the executor, the listing and the CLI share.
"""

from __future__ import annotations

from urllib.parse import quote

from trainyard.api import names

_BASE = {
    "TrainingJob": (f"/apis/{names.GROUP}/{names.VERSION}", "trainingjobs"),
    "Dataset": (f"/apis/{names.GROUP}/{names.VERSION}", "datasets"),
    "Experiment": (f"/apis/{names.GROUP}/{names.VERSION}", "experiments"),
    "MLModel": (f"/apis/{names.GROUP}/{names.VERSION}", "mlmodels"),
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
    "Node": ("/api/v1", "nodes"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Secret": ("/api/v1", "secrets"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Deployment": ("/apis/apps/v1", "deployments"),
}


def path(
    kind: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None
) -> str:
    """The path of a collection (of all namespaces without one), an object, or its subresource."""
    base, plural = _BASE[kind]
    parts = [base]
    if namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
    return "/".join(parts)


#: Kinds that a job makes beside pods.
_CHILDREN = {"Service": "services", "PodGroup": "podgroups"}


def child_path(api_version: str, kind: str, namespace: str) -> str:
    """The path of the objects of a namespace of a kind that only jobs make, by its own API version."""
    base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    return f"{base}/namespaces/{quote(namespace, safe='')}/{_CHILDREN[kind]}"
