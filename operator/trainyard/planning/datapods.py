"""The pods of a Dataset: one that lists its source, one that pulls and checks it; and the containers by which the pods
of a job pull what is kept on no volume.

Separate because it is the contract with the agent's and the data image (docs/datasets.md). Called by
`planning.datapull` and `planning.podspec`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.dataset import DatasetSource, DatasetSpec
from trainyard.planning.agentpod import AgentRules

Json = dict[str, Any]

VOLUME_DIR = "/trainyard/volume"
#: The folder of a claim that jobs mount.
DATA = "data"
_SECRETS_DIR = "/trainyard/secrets"
_GROUP_ID = 65532
_HOME = {"name": "HOME", "value": "/tmp"}
_TMP: Json = {"name": "tmp", "mountPath": "/tmp"}
SURVEY, PULL = "survey", "pull"


@dataclass(frozen=True, kw_only=True)
class DataRules:
    """From the settings: images, what the containers may use, where their pods run, and how volumes are made."""

    image: str = "trainyard/data:0.1.0"
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    agent: AgentRules = field(default_factory=AgentRules)
    storage_class: str | None = None
    access_mode: str = "ReadWriteOnce"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    image_pull_policy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Whose:
    """The Dataset that a pod is made for."""

    namespace: str
    name: str
    uid: str


def survey(whose: Whose, spec: DatasetSpec, source: DatasetSource, *, number: int, rules: DataRules) -> Json:
    """The pod that lists a source."""
    told = _order(whose.namespace, whose.name, source, format_=spec.format)
    container = _agent(names.SURVEY_CONTAINER, "survey", told, spec, rules)
    mounts, volumes = _secret(source)
    container["volumeMounts"] = [_TMP, *mounts]
    return _pod(whose, spec, source, SURVEY, number, rules, containers=[container], volumes=volumes)


def pull(
    whose: Whose,
    spec: DatasetSpec,
    source: DatasetSource,
    *,
    number: int,
    rules: DataRules,
    claim: str | None,
    folder: str = DATA,
    listing: str | None,
    digest: bool,
) -> Json:
    """The pod that pulls what `listing` pins, if it is to be pulled, and checks it.

    It lies in `folder` of a claim, or on a volume of the pod's own where there is no claim.
    """
    volume: Json = {"name": "data"}
    volume |= {"persistentVolumeClaim": {"claimName": claim}} if claim is not None else {"emptyDir": {}}
    volumes, init = [volume], []
    where = f"{VOLUME_DIR}/{folder}" if folder else VOLUME_DIR
    if listing is not None:
        told = _order(whose.namespace, whose.name, source, format_=spec.format, listing=listing)
        container = _agent(names.PULL_CONTAINER, "pull", told, spec, rules)
        mounts, more = _secret(source)
        container["volumeMounts"] = [_TMP, {"name": "data", "mountPath": VOLUME_DIR}, *mounts]
        volumes += more
        init.append(container)
    check = _container(names.CHECK_CONTAINER, rules.image, rules.requests, rules.limits, rules)
    check["args"] = ["check"]
    check["env"] = [
        _HOME,
        _value("TRAINYARD_CHECK", _check_order(whose, spec, source, where, digest=digest)),
        *_theirs(spec),
    ]
    check["volumeMounts"] = [_TMP, {"name": "data", "mountPath": VOLUME_DIR, "readOnly": True}]
    return _pod(
        whose, spec, source, PULL, number, rules, containers=[check], volumes=volumes, init_containers=init
    )


def for_a_job(
    namespace: str,
    dataset: str,
    source: DatasetSource,
    *,
    number: int,
    listing: str,
    rules: AgentRules,
    image_pull_policy: str | None,
    path: str,
) -> tuple[Json, list[Json], Json]:
    """Init container, volumes and the trainer's mount at `path` of a dataset that each job pulls for itself."""
    volume = f"dataset-{number}"
    told = _order(namespace, dataset, source, format_="", listing=listing)
    container = _container(
        f"{names.PULL_CONTAINER}-{number}", rules.image, rules.requests, rules.limits, None
    )
    if image_pull_policy is not None:
        container["imagePullPolicy"] = image_pull_policy
    container["args"] = ["pull"]
    container["env"] = [_HOME, _value("TRAINYARD_DATA", told)]
    mounts, secrets = _secret(source, name=f"{volume}-secret")
    container["volumeMounts"] = [{"name": volume, "mountPath": VOLUME_DIR}, *mounts]
    mount = {"name": volume, "mountPath": path, "subPath": DATA, "readOnly": True}
    return container, [{"name": volume, "emptyDir": {}}, *secrets], mount


def _order(
    namespace: str, dataset: str, source: DatasetSource, *, format_: str, listing: str | None = None
) -> Json:
    said = source.model_dump(by_alias=True, exclude_none=True, exclude={"secret_ref", "upload"})
    return {
        "namespace": namespace,
        "dataset": dataset,
        "source": {k: v for k, v in said.items() if k != "serviceAccountName"},
        "format": format_,
        **({"volume": VOLUME_DIR, "listing": listing} if listing is not None else {}),
    }


def _check_order(
    whose: Whose, spec: DatasetSpec, source: DatasetSource, folder: str, *, digest: bool
) -> Json:
    check = spec.validation
    return {
        "dataset": whose.name,
        "folder": folder,
        "type": spec.type,
        "format": spec.format,
        "usage": list(spec.usage),
        "target": (check.target if check is not None else None) or "",
        "mode": check.mode if check is not None else "Full",
        "digest": digest,
        # NB: what is pulled is compared by the agent, which knows an archive's own digest as well.
        "sha256": (source.sha256 or "") if digest else "",
    }


def _agent(name: str, verb: str, told: Json, spec: DatasetSpec, rules: DataRules) -> Json:
    agent = rules.agent
    container = _container(name, agent.image, agent.requests, agent.limits, rules)
    container["args"] = [verb]
    container["env"] = [_HOME, _value("TRAINYARD_DATA", told), *_theirs(spec)]
    return container


def _container(
    name: str,
    image: str,
    requests: Mapping[str, str],
    limits: Mapping[str, str],
    rules: DataRules | None,
) -> Json:
    resources = {k: dict(v) for k, v in (("requests", requests), ("limits", limits)) if v}
    container: Json = {
        "name": name,
        "image": image,
        "resources": resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": rules is not None,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if rules is not None and rules.image_pull_policy is not None:
        container["imagePullPolicy"] = rules.image_pull_policy
    return container


def _pod(
    whose: Whose,
    spec: DatasetSpec,
    source: DatasetSource,
    stage: str,
    number: int,
    rules: DataRules,
    *,
    containers: list[Json],
    volumes: list[Json],
    init_containers: Sequence[Json] = (),
) -> Json:
    pod_spec: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "enableServiceLinks": False,
        "automountServiceAccountToken": source.service_account_name is not None,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _GROUP_ID,
            "runAsGroup": _GROUP_ID,
            "fsGroup": _GROUP_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
    }
    for key, value in (
        ("initContainers", list(init_containers)),
        ("serviceAccountName", source.service_account_name),
        ("nodeSelector", dict(rules.node_selector)),
        ("tolerations", [dict(one) for one in rules.tolerations]),
    ):
        if value:
            pod_spec[key] = value
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.staged_pod_name(owner=whose.name, stage=stage, number=number),
            "namespace": whose.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_DATASET: whose.name,
                names.LABEL_DATASET_UID: whose.uid,
                names.LABEL_ATTEMPT: str(number),
            },
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "Dataset",
                    "name": whose.name,
                    "uid": whose.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": pod_spec,
    }


def _secret(source: DatasetSource, name: str = "source-secret") -> tuple[list[Json], list[Json]]:
    """Mounts and volumes of the source's Secret."""
    if source.secret_ref is None:
        return [], []
    mount = {"name": name, "mountPath": f"{_SECRETS_DIR}/source", "readOnly": True}
    return [mount], [{"name": name, "secret": {"secretName": source.secret_ref.name}}]


def _theirs(spec: DatasetSpec) -> list[Json]:
    ours = {"HOME", "TRAINYARD_DATA", "TRAINYARD_CHECK"}
    return [e.model_dump(by_alias=True, exclude_none=True) for e in spec.env if e.name not in ours]


def _value(name: str, told: Json) -> Json:
    # NB: Kubernetes expands $(NAME) in values; this is data and must arrive as it is.
    return {"name": name, "value": orjson.dumps(told).decode().replace("$", "$$")}
