"""The claim that a pushed dataset goes to, and the pod that takes it: it has the volume, and we do not.

Separate and free of I/O because what it may do is a question of security: it passes Pod Security `restricted`, belongs
to the Dataset, knows only the digest of the token, and ends by itself when nobody sends any more. Made by `push`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

from trainyard.api import names
from trainyard.cli.sharepod import DEADLINE_SECONDS, Image

Json = dict[str, Any]

PORT = 8080
IDLE_SECONDS = 30
CONTAINER = "receive"
#: Label of a claim whose data is not yet told to the Dataset: the next push goes on with it.
UNFINISHED = {names.UPLOAD: "unfinished"}

_GROUP_ID = 65532
_GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
_VOLUME = "/trainyard/volume"


def token() -> str:
    return secrets.token_urlsafe(32)


def claim_name() -> str:
    return f"data-{secrets.token_hex(6)}"


def pod_name(dataset: str) -> str:
    """One at a time for each Dataset."""
    return f"{dataset}-push"


def claim(
    dataset: Json, *, name: str, storage: str, storage_class: str | None, access_mode: str | None
) -> Json:
    """The PersistentVolumeClaim to POST."""
    spec: Json = {
        "accessModes": [access_mode or "ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_DATASET: dataset["metadata"]["name"],
                names.LABEL_DATASET_UID: dataset["metadata"]["uid"],
                **UNFINISHED,
            },
            "ownerReferences": [_owner(dataset)],
        },
        "spec": spec,
    }


def pod(
    dataset: Json,
    *,
    claim: str,
    image: Image,
    token: str,
    node_selector: Json | None = None,
    tolerations: Sequence[Json] = (),
) -> Json:
    """The pod to POST. Where it may run is as with the pods that pull, as its volume may come to lie there."""
    name = dataset["metadata"]["name"]
    task = {"dataset": name, "volume": _VOLUME, "tokenSha256": hashlib.sha256(token.encode()).hexdigest()}
    container: Json = {
        "name": CONTAINER,
        "image": image.name,
        "args": ["receive", f"--port={PORT}", f"--idle-seconds={IDLE_SECONDS}"],
        "env": [{"name": "TRAINYARD_RECEIVE", "value": json.dumps(task).replace("$", "$$")}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "volume", "mountPath": _VOLUME}],
    }
    if image.pull_policy is not None:
        container["imagePullPolicy"] = image.pull_policy
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(name),
            "labels": {
                names.LABEL_MANAGED_BY: "trainyard-cli",
                "app.kubernetes.io/component": "push",
                names.LABEL_DATASET: name,
                names.LABEL_DATASET_UID: dataset["metadata"]["uid"],
            },
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
            "ownerReferences": [_owner(dataset)],
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "terminationGracePeriodSeconds": 2,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "fsGroup": _GROUP_ID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "nodeSelector": node_selector or {},
            # NB: the volume may lie already where only jobs with GPUs run.
            "tolerations": [*tolerations, *([] if _GPU in tolerations else [_GPU])],
            "containers": [container],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def _owner(dataset: Json) -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Dataset",
        "name": dataset["metadata"]["name"],
        "uid": dataset["metadata"]["uid"],
        "controller": False,
        "blockOwnerDeletion": False,
    }
