"""The pod that reads an output for `trainyard download` and `card`: it has the claim, or the bucket's Secret, and we do
not.

Separate and free of I/O because what it may do is a question of security: it only reads, passes Pod Security
`restricted`, belongs to the job (or to the model, where that is gone), and ends by itself when nobody asks it any more.
Made and deleted by `sharing`.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.cli import outputs
from trainyard.cli.outputs import Place

Json = dict[str, Any]

PORT = 8080
IDLE_SECONDS = 30
#: Of the pod, whatever becomes of the command: for a download of terabytes.
DEADLINE_SECONDS = 24 * 3600
CONTAINER = "share"

_GROUP_ID = 65532


@dataclass(frozen=True, kw_only=True)
class Image:
    """The agent's image, and how it is pulled."""

    name: str
    pull_policy: str | None = None


def build(job: Json, pod: Json | None, place: Place, *, uid: str, image: Image, suffix: str) -> Json:
    """The pod to POST. `uid` is whose folder it shares; `pod` is one of the job, where there still is one.

    `job` may be an MLModel, with the spec of a job, of which nothing but the record is left.
    """
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    order = {
        "namespace": namespace,
        "job": name,
        "uid": uid,
        "attempt": 0,
        "output": place.order(),
        "store": place.store,
    }
    volumes: list[Json] = []
    mounts: list[Json] = []
    if place.claim is not None:
        # NB: not read-only as a volume: some drivers cannot attach it a second time with another mode.
        volumes = [{"name": "output", "persistentVolumeClaim": {"claimName": place.claim}}]
        mounts = [{"name": "output", "mountPath": "/trainyard/output", "readOnly": True}]
    elif place.secret is not None:
        volumes = [{"name": "output", "secret": {"secretName": place.secret}}]
        mounts = [{"name": "output", "mountPath": "/trainyard/secrets/output", "readOnly": True}]
    container: Json = {
        "name": CONTAINER,
        "image": image.name,
        "args": ["share", f"--port={PORT}", f"--idle-seconds={IDLE_SECONDS}"],
        "env": [{"name": "TRAINYARD_AGENT", "value": json.dumps(order).replace("$", "$$")}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    if image.pull_policy is not None:
        container["imagePullPolicy"] = image.pull_policy
    spec: Json = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "terminationGracePeriodSeconds": 2,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": volumes,
        **_as_the_job(job, pod),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-read-{suffix}",
            "labels": {
                names.LABEL_MANAGED_BY: "trainyard-cli",
                "app.kubernetes.io/component": "download",
                f"{names.GROUP}/download": name,
            },
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
            # NB: not as controller: a pod that the job controls counts as one of its ranks.
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": job.get("kind") or "TrainingJob",
                    "name": name,
                    "uid": job["metadata"]["uid"],
                    "controller": False,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec,
    }


def _as_the_job(job: Json, pod: Json | None) -> Json:
    """As whom, and where: as the job's own pods, which can read what they wrote, where their volume is."""
    theirs = (pod or {}).get("spec") or ((job["spec"].get("template") or {}).get("spec")) or {}
    security = theirs.get("securityContext")
    found: Json = {
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": _GROUP_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
            **(security if isinstance(security, dict) else {}),
        },
        "tolerations": _tolerations(job, theirs),
        "affinity": {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {names.LABEL_JOB_UID: job["metadata"]["uid"]}},
                        },
                    }
                ]
            }
        },
    }
    for key in ("serviceAccountName", "imagePullSecrets"):
        if theirs.get(key):
            found[key] = theirs[key]
    return found


def _tolerations(job: Json, theirs: Json) -> list[Json]:
    """Those of the job's pods, and of GPU nodes: a volume may lie there."""
    more = theirs.get("tolerations")
    said = [*(job["spec"].get("tolerations") or []), *(more if isinstance(more, list) else [])]
    device = (job["spec"].get("accelerator") or {}).get("resourceName") or "nvidia.com/gpu"
    wanted = [*said, {"key": device, "operator": "Exists", "effect": "NoSchedule"}]
    return [one for number, one in enumerate(wanted) if one not in wanted[:number]]


def image_of(pod: Json | None, settings: Json, *, given: str | None, default: str) -> Image:
    """What --agent-image says, else what the job's own agent runs, else what the operator's settings name."""
    if given:
        return Image(name=given)
    if (agent := outputs.agent(pod)).get("image"):
        return Image(name=str(agent["image"]), pull_policy=agent.get("imagePullPolicy"))
    named = (settings.get("agent") or {}).get("image")
    return Image(name=str(named or default), pull_policy=settings.get("imagePullPolicy"))


def suffix() -> str:
    return secrets.token_hex(3)
