"""The pod of one rank of one attempt.

Separate because it is the contract with a trainer: environment, folders, security, ownership. Called by
`planning.trainingjob` when a pod is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import opaque, parameters, placement, spechash, uris
from trainyard.planning.observed import ObservedJob
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.runtime import Runtime, RuntimeAction

Json = dict[str, Any]

DATA_DIR = "/trainyard/data"
OUTPUT_MOUNT = "/trainyard/output"
PARENT_DIR = "/trainyard/parent"
_GROUP_ID = 65532  # owns the volumes, whatever user the image runs as

_POD_ANNOTATIONS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


@dataclass(frozen=True, kw_only=True)
class PodInputs:
    """What a pod is made from besides the job: runtime, datasets by name with their address, and so on."""

    runtime: Runtime
    action: RuntimeAction
    dataset_uris: Mapping[str, str]
    parent_uri: str | None
    attempt: int
    resume_attempt: int | None
    rules: AcceleratorRules
    image_pull_policy: str | None = None


def build(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int = 0) -> Json:
    """The whole Pod object to POST."""
    name = names.pod_name(job=observed.name, attempt=inputs.attempt, rank=rank)
    container, volumes = _container(observed, spec, inputs, rank=rank)
    pod_spec: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": max(1, spec.grace_period_seconds),
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": _GROUP_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if volumes:
        pod_spec["volumes"] = volumes
    if inputs.runtime.run_as_user is not None:
        pod_spec["securityContext"]["runAsUser"] = inputs.runtime.run_as_user
    for key, value in (
        ("tolerations", placement.tolerations(spec, inputs.rules)),
        ("nodeSelector", dict(spec.node_selector)),
        ("affinity", opaque.affinity(spec, inputs.rules)),
        ("priorityClassName", spec.priority_class_name),
        ("schedulerName", spec.scheduler_name),
    ):
        if value:
            pod_spec[key] = value
    pod = opaque.with_template({"metadata": {"annotations": _POD_ANNOTATIONS}, "spec": pod_spec}, spec)
    # NB: after the merge: who owns a pod and what it is called is not the template's to say.
    user_metadata = pod["metadata"]
    pod["metadata"] = {
        "name": name,
        "namespace": observed.namespace,
        "labels": {**(user_metadata.get("labels") or {}), **_labels(observed, spec, inputs, rank=rank)},
        "annotations": {
            **(user_metadata.get("annotations") or {}),
            names.SPEC_HASH: spechash.spec_hash(spec),
            names.PARAMETERS_DIGEST: spechash.parameters_digest(spec),
        },
        # NB: from the POST on, so that no eviction takes a verdict away that nobody has read yet.
        "finalizers": [names.VERDICT_FINALIZER],
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "TrainingJob",
                "name": observed.name,
                "uid": observed.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def dataset_roles(spec: TrainingJobSpec) -> dict[str, list[str] | str]:
    """Datasets by the part they play, as TRAINYARD_DATASETS has them: `train` is a list, any other a name."""
    roles = spec.datasets.model_dump(exclude_none=True)
    return {role: given for role, given in roles.items() if given or role == "train"}


def dataset_names(spec: TrainingJobSpec) -> tuple[str, ...]:
    """Every Dataset that the job needs, once."""
    roles = dataset_roles(spec).values()
    return tuple(
        dict.fromkeys(name for given in roles for name in ([given] if isinstance(given, str) else given))
    )


def output_uri(observed: ObservedJob, spec: TrainingJobSpec, *, attempt: int) -> str | None:
    """Where the artifacts of an attempt lie; None for a job without an output."""
    if spec.output is None or spec.output.claim_name is None:
        return None
    return uris.pvc(spec.output.claim_name, uris.job_folder(job_uid=observed.uid, attempt=attempt))


def _labels(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int) -> dict[str, str]:
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_JOB: observed.name,
        names.LABEL_JOB_UID: observed.uid,
        names.LABEL_ATTEMPT: str(inputs.attempt),
        names.LABEL_RANK: str(rank),
    }
    if spec.queue_name:
        labels[names.LABEL_QUEUE] = spec.queue_name
    return labels


def _container(
    observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int
) -> tuple[Json, list[Json]]:
    volumes, mounts = _volumes(observed, spec, inputs)
    container: Json = {
        "name": names.TRAINER_CONTAINER,
        "image": inputs.runtime.image,
        "env": _environment(observed, spec, inputs, rank=rank),
        "resources": _resources(spec, inputs.rules),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    for key, value in (
        ("command", list(inputs.action.command)),
        ("args", list(inputs.action.args)),
        ("volumeMounts", mounts),
        ("imagePullPolicy", inputs.image_pull_policy if inputs.runtime.name else None),
    ):
        if value:
            container[key] = value
    return container, volumes


def _resources(spec: TrainingJobSpec, rules: AcceleratorRules) -> Json:
    requests, limits = dict(spec.resources.requests), dict(spec.resources.limits)
    if spec.accelerator is not None:
        device = placement.resource_name(spec.accelerator, rules)
        requests[device] = limits[device] = str(spec.accelerator.count)
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def _volumes(
    observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs
) -> tuple[list[Json], list[Json]]:
    claims: dict[str, str] = {}
    mounts: list[Json] = []

    def mount(claim: str, path: str, folder: str, *, read_only: bool) -> None:
        volume = claims.setdefault(claim, f"claim-{len(claims)}")
        entry: Json = {"name": volume, "mountPath": path}
        if folder:
            entry["subPath"] = folder
        if read_only:
            entry["readOnly"] = True
        mounts.append(entry)

    for name, uri in inputs.dataset_uris.items():
        mount(*_claim_at(uri, f"{DATA_DIR}/{name}"), read_only=True)
    if inputs.parent_uri is not None:
        mount(*_claim_at(inputs.parent_uri, PARENT_DIR), read_only=True)
    if spec.output is not None and spec.output.claim_name is not None:
        mount(spec.output.claim_name, OUTPUT_MOUNT, "", read_only=False)
    volumes: list[Json] = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for claim, volume in claims.items()
    ]
    if spec.shm_size is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.shm_size}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    return volumes, mounts


def _claim_at(uri: str, path: str) -> tuple[str, str, str]:
    claim, folder = uris.split_pvc(uri)
    return claim, path, folder


def _environment(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int) -> list[Json]:
    values: dict[str, str] = {
        "TRAINYARD_JOB": observed.name,
        "TRAINYARD_NAMESPACE": observed.namespace,
        "TRAINYARD_ACTION": spec.action,
        "TRAINYARD_TYPE": spec.type or spec.architecture or "",
        "TRAINYARD_PARAMETERS": orjson.dumps(
            parameters.settled(spec.parameters, schema=inputs.action.schema, defaults=inputs.action.defaults)
        ).decode(),
        "TRAINYARD_ATTEMPT": str(inputs.attempt),
        "TRAINYARD_RANK": str(rank),
    }
    if inputs.dataset_uris:
        values["TRAINYARD_DATA_DIR"] = DATA_DIR
        values["TRAINYARD_DATASETS"] = orjson.dumps(dataset_roles(spec)).decode()
    if inputs.parent_uri is not None:
        values["TRAINYARD_PARENT_DIR"] = PARENT_DIR
    if spec.output is not None and spec.output.claim_name is not None:
        folder = f"{OUTPUT_MOUNT}/{uris.job_folder(job_uid=observed.uid, attempt=inputs.attempt)}"
        values["TRAINYARD_OUTPUT_DIR"] = folder
        values["TRAINYARD_CHECKPOINT_DIR"] = f"{folder}/checkpoints"
        if inputs.resume_attempt is not None:
            earlier = uris.job_folder(job_uid=observed.uid, attempt=inputs.resume_attempt)
            values["TRAINYARD_RESUME"] = f"{OUTPUT_MOUNT}/{earlier}/checkpoints"
    if spec.processes_per_node is not None:
        values["PET_NPROC_PER_NODE"] = str(spec.processes_per_node)  # torchrun's own variable
    # NB: Kubernetes expands $(NAME) in values; these are data and must arrive as they are.
    ours = [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]
    theirs = [e.model_dump(by_alias=True, exclude_none=True) for e in spec.env if e.name not in values]
    taken = values.keys() | {e.name for e in spec.env}
    image_needs = [{"name": k, "value": v} for k, v in inputs.runtime.env.items() if k not in taken]
    return ours + image_needs + theirs
