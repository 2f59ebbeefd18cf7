"""The pod of one rank of one attempt.

Separate because it is the contract with a trainer: environment, folders, security, ownership. Called by
`planning.podcreation` when a pod is missing.
"""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import (
    agentpod,
    basemodelpod,
    basemodels,
    datapods,
    network,
    opaque,
    owner,
    placement,
    podenvironment,
    resourceclaims,
    server,
    sharedclaims,
    spechash,
    uris,
    useddatasets,
)
from trainyard.planning.agentpod import OUTPUT_MOUNT, PARENT_STORE_MOUNT, AgentOrder
from trainyard.planning.gang import gang
from trainyard.planning.observed import ObservedJob
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.podinputs import DATA_DIR, PARENT_DIR, PodInputs

Json = dict[str, Any]

_GROUP_ID = 65532  # owns the volumes, whatever user the image runs as

_POD_ANNOTATIONS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def build(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int = 0) -> Json:
    """The whole Pod object to POST. Raises TemplateError."""
    name = names.pod_name(job=observed.name, attempt=inputs.attempt, rank=rank)
    container, init_containers, volumes = _containers(observed, spec, inputs, rank=rank)
    pod_spec: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_seconds(spec),
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
    if init_containers:
        pod_spec["initContainers"] = init_containers
    if volumes:
        pod_spec["volumes"] = volumes
    if spec.nodes > 1:
        pod_spec["hostname"] = name
        pod_spec["subdomain"] = names.service_name(job=observed.name, attempt=inputs.attempt)
    if inputs.runtime.run_as_user is not None:
        pod_spec["securityContext"]["runAsUser"] = inputs.runtime.run_as_user
    for key, value in (
        ("tolerations", placement.tolerations(spec, inputs.rules)),
        ("nodeSelector", dict(spec.node_selector)),
        ("affinity", _affinity(observed, spec, inputs)),
        ("resourceClaims", resourceclaims.of_pod(spec)),
        ("priorityClassName", spec.priority_class_name),
        ("schedulerName", spec.scheduler_name),
    ):
        if value:
            pod_spec[key] = value
    pod = opaque.with_template({"metadata": {"annotations": _POD_ANNOTATIONS}, "spec": pod_spec}, spec)
    # NB: after the merge: who owns a pod and what it is called is not the template's to say.
    user_metadata = pod["metadata"]
    admitted = gang(
        observed,
        spec,
        attempt=inputs.attempt,
        rank=rank,
        schedulers=inputs.schedulers,
        rules=inputs.rules,
    )
    pod["metadata"] = {
        "name": name,
        "namespace": observed.namespace,
        "labels": {
            **(user_metadata.get("labels") or {}),
            **admitted.labels,
            **_labels(observed, inputs, rank=rank),
        },
        "annotations": {
            **(user_metadata.get("annotations") or {}),
            **admitted.annotations,
            **({names.SERVER_CA: inputs.server.ca} if inputs.server is not None else {}),
            **(
                {names.DATASETS: useddatasets.annotation(inputs.used_datasets)}
                if inputs.used_datasets
                else {}
            ),
            **({names.BASE_MODELS: basemodels.annotation(inputs.base_models)} if inputs.base_models else {}),
            names.SPEC_HASH: spechash.spec_hash(spec),
            names.PARAMETERS_DIGEST: spechash.parameters_digest(spec),
        },
        # NB: from the POST on, so that no eviction takes a verdict away that nobody has read yet.
        "finalizers": [names.VERDICT_FINALIZER],
        "ownerReferences": [owner.reference(observed)],
    }
    return {"apiVersion": "v1", "kind": "Pod", **pod, "spec": sharedclaims.joined(pod["spec"])}


def output_uri(observed: ObservedJob, spec: TrainingJobSpec, *, attempt: int) -> str | None:
    """Where the artifacts of an attempt lie; None for a job without an output."""
    if spec.output is None:
        return None
    return uris.below(uris.store(spec.output), uris.job_folder(job_uid=observed.uid, attempt=attempt))


def grace_seconds(spec: TrainingJobSpec) -> int:
    """From SIGTERM to SIGKILL: the trainer's time to save, and the agent's to bring it to the output.

    NB: never 0, which is a deletion by force that no node confirms.
    """
    return max(1, spec.grace_period_seconds + (spec.upload_seconds if spec.output is not None else 0))


def _labels(observed: ObservedJob, inputs: PodInputs, *, rank: int) -> dict[str, str]:
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_JOB: observed.name,
        names.LABEL_JOB_UID: observed.uid,
        names.LABEL_ATTEMPT: str(inputs.attempt),
        names.LABEL_RANK: str(rank),
    }


def _affinity(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs) -> Json:
    theirs = opaque.affinity(spec, inputs.rules)
    if spec.nodes == 1 or "podAntiAffinity" in theirs:
        return theirs
    return {**theirs, **network.spread(observed, attempt=inputs.attempt)}


def _containers(
    observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int
) -> tuple[Json, list[Json], list[Json]]:
    """The training container, init containers, and volumes."""
    volumes, mounts = _volumes(spec, inputs)
    init_containers: list[Json] = []
    # NB: of models that are mounted as well the agent checks the digests.
    if spec.output is not None or inputs.bucket_parent or inputs.handed or inputs.base_models:
        models = (path for _, path in basemodelpod.mounts(inputs.base_models))
        common = (OUTPUT_MOUNT, PARENT_STORE_MOUNT, server.mount()["mountPath"], *models)
        shared = [m for m in mounts if m["mountPath"] in common]
        agent = agentpod.fragments(
            _order(observed, spec, inputs, rank=rank),
            inputs.agent,
            mounts=tuple(shared),
            pull_policy=inputs.image_pull_policy,
        )
        init_containers = list(agent.init_containers)
        volumes = [*volumes, *agent.volumes]
        mounts = [*mounts, *agent.mounts]
    pulled = [
        datapods.for_a_job(
            observed.namespace,
            name,
            pull.source,
            number=number,
            listing=pull.listing,
            rules=inputs.agent,
            image_pull_policy=inputs.image_pull_policy,
            path=f"{DATA_DIR}/{name}",
        )
        for number, (name, pull) in enumerate(inputs.dataset_pulls.items())
    ]
    init_containers = [*(init for init, _, _ in pulled), *init_containers]
    volumes = [*volumes, *(volume for _, own, _ in pulled for volume in own)]
    mounts = [*mounts, *(mount for _, _, mount in pulled)]
    container: Json = {
        "name": names.TRAINER_CONTAINER,
        "image": inputs.runtime.image,
        "env": podenvironment.environment(observed, spec, inputs, rank=rank),
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
    return container, init_containers, volumes


def _order(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int) -> AgentOrder:
    url = (
        server.job_url(inputs.server, namespace=observed.namespace, job=observed.name, what="verdict")
        if inputs.server is not None
        else None
    )
    return AgentOrder(
        namespace=observed.namespace,
        job=observed.name,
        uid=observed.uid,
        origins=observed.origins,
        attempt=inputs.attempt,
        rank=rank,
        ranks=spec.nodes,
        output=spec.output,
        parent=inputs.bucket_parent,
        handed=inputs.handed,
        resumable=inputs.action.resumable,
        grace_seconds=spec.grace_period_seconds,
        upload_seconds=spec.upload_seconds,
        verdict_url=url,
        base_models=basemodelpod.orders(inputs.base_models),
    )


def _resources(spec: TrainingJobSpec, rules: AcceleratorRules) -> Json:
    requests, limits = dict(spec.resources.requests), dict(spec.resources.limits)
    if spec.accelerator is not None:
        device = placement.resource_name(spec.accelerator, rules)
        requests[device] = limits[device] = str(spec.accelerator.count)
    found = (("requests", requests), ("limits", limits), ("claims", resourceclaims.of_trainer(spec)))
    return {key: value for key, value in found if value}


def _volumes(spec: TrainingJobSpec, inputs: PodInputs) -> tuple[list[Json], list[Json]]:
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
    if inputs.handed is not None and inputs.handed.output.claim_name is not None:
        mount(inputs.handed.output.claim_name, PARENT_STORE_MOUNT, "", read_only=True)
    for uri, path in basemodelpod.mounts(inputs.base_models):
        mount(*_claim_at(uri, path), read_only=True)
    if spec.output is not None and spec.output.claim_name is not None:
        mount(spec.output.claim_name, OUTPUT_MOUNT, "", read_only=False)
    volumes: list[Json] = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for claim, volume in claims.items()
    ]
    if spec.output is not None and spec.output.claim_name is None:
        volumes.append({"name": "trainyard-output", "emptyDir": {}})
        mounts.append({"name": "trainyard-output", "mountPath": OUTPUT_MOUNT})
    if inputs.server is not None:
        volumes.append(server.volume())
        mounts.append(server.mount())
    if spec.shm_size is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": spec.shm_size}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    return volumes, mounts


def _claim_at(uri: str, path: str) -> tuple[str, str, str]:
    claim, folder = uris.split_pvc(uri)
    return claim, path, folder
