"""The agent in a pod: its two containers, their volumes and what they are told.

Separate because a pod without output and without a parent in a bucket has none of it. Called by `planning.podspec`; the
contract is in docs/artifacts.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.shared import Output, Store
from trainyard.planning import uris
from trainyard.planning.server import CA_FILE, TOKEN_FILE

Json = dict[str, Any]

WORK_DIR = "/trainyard/work"
OUTPUT_MOUNT = "/trainyard/output"
RESUME_DIR = f"{WORK_DIR}/resume"
FETCHED_PARENT_DIR = f"{WORK_DIR}/parent"
PARENT_CHECKPOINT_DIR = f"{WORK_DIR}/parent-checkpoint"
#: Where the claim that holds the parent's checkpoints is mounted, as links to them lead there.
PARENT_STORE_MOUNT = "/trainyard/parent-store"
SECRETS_DIR = "/trainyard/secrets"
#: That the end of the pod has begun; the sidecar is told so before the trainer has ended.
_ENDING = f"{WORK_DIR}/ending"


@dataclass(frozen=True, kw_only=True)
class AgentRules:
    """From the settings: the agent's image, what each of its containers may use, and where pods of its own run."""

    image: str = "trainyard/agent:0.1.0"
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class BucketParent:
    """Artifacts of the parent that have to be fetched, and how their store is reached."""

    uri: str
    store: Store


@dataclass(frozen=True, kw_only=True)
class HandedCheckpoint:
    """The checkpoint of the parent `job` that a pod works on: its newest one, or that of `epoch`, in `output`.

    `uids` are the parent's, the present one first, then those before it was restored. What `continues` goes on from it
    as from a checkpoint of its own.
    """

    job: str
    uids: tuple[str, ...]
    output: Output
    epoch: int | None
    continues: bool


@dataclass(frozen=True, kw_only=True)
class BaseModelOrder:
    """A model that the job starts from: one that is `mounted` at `folder` is checked there, another one is fetched into
    it. A `version` is a folder with a manifest, which has the digest `sha256`; a `folder` may have one, and a `file` is
    one file. `card` is the address of its model card, which is fetched beside it.
    """

    name: str
    folder: str
    mounted: bool
    uri: str
    kind: str
    sha256: str | None
    store: Store | None
    card: str | None


@dataclass(frozen=True, kw_only=True)
class AgentOrder:
    """What the agent of one pod has to do. `origins` are UIDs that the job had before it was restored."""

    namespace: str
    job: str
    uid: str
    origins: tuple[str, ...]
    attempt: int
    rank: int
    ranks: int
    output: Output | None
    parent: BucketParent | None
    handed: HandedCheckpoint | None
    resumable: bool
    grace_seconds: int
    upload_seconds: int
    verdict_url: str | None
    base_models: tuple[BaseModelOrder, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """Parts of a PodSpec: init containers, volumes, and mounts of the trainer."""

    init_containers: tuple[Json, ...] = ()
    volumes: tuple[Json, ...] = ()
    mounts: tuple[Json, ...] = ()


def fragments(
    order: AgentOrder, rules: AgentRules, *, mounts: tuple[Json, ...] = (), pull_policy: str | None = None
) -> Fragments:
    """The agent's parts; `mounts` are those that it has in common with the trainer: the output, the claims of the
    parent and of base models, the server's token.
    """
    volumes: list[Json] = [{"name": "trainyard-work", "emptyDir": {}}]
    work = {"name": "trainyard-work", "mountPath": WORK_DIR}
    own = [work, *mounts]
    stores: tuple[tuple[str, Store | None], ...] = (
        ("output", order.output),
        ("parent", _store_of_parent(order)),
        *((f"base-{number}", model.store) for number, model in enumerate(order.base_models)),
    )
    for part, store in stores:
        if store is not None and store.secret_ref is not None:
            volume = f"trainyard-secret-{part}"
            volumes.append({"name": volume, "secret": {"secretName": store.secret_ref.name}})
            own.append({"name": volume, "mountPath": f"{SECRETS_DIR}/{part}", "readOnly": True})
    container: Json = {
        "image": rules.image,
        "env": [{"name": "TRAINYARD_AGENT", "value": _told(order).replace("$", "$$")}],
        "resources": {
            key: dict(value)
            for key, value in (("requests", rules.requests), ("limits", rules.limits))
            if value
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": own,
    }
    if pull_policy is not None:
        container["imagePullPolicy"] = pull_policy
    containers = [{"name": names.FETCH_CONTAINER, "args": ["fetch"], **container}]
    if order.output is not None:
        containers.append(
            {
                "name": names.AGENT_CONTAINER,
                "args": ["run"],
                "restartPolicy": "Always",
                "lifecycle": {"preStop": {"exec": {"command": ["touch", _ENDING]}}},
                **container,
            }
        )
    return Fragments(
        init_containers=tuple(containers),
        volumes=tuple(volumes),
        mounts=({**work, "readOnly": True},),
    )


def _store_of_parent(order: AgentOrder) -> Store | None:
    """The bucket that the agent reads the parent's artifacts or checkpoints from."""
    if order.parent is not None:
        return order.parent.store
    return order.handed.output if order.handed is not None else None


def _told(order: AgentOrder) -> str:
    output_dir = f"{OUTPUT_MOUNT}/" + uris.job_folder(
        job_uid=order.uid, attempt=order.attempt, rank=order.rank
    )
    told: Json = {
        "namespace": order.namespace,
        "job": order.job,
        "uid": order.uid,
        "origins": list(order.origins),
        "attempt": order.attempt,
        "rank": order.rank,
        "ranks": order.ranks,
        "output": None,
        "store": None,
        "outputDir": output_dir,
        "checkpointDir": f"{output_dir}/checkpoints",
        "resumeDir": RESUME_DIR,
        "parent": None,
        "parentDir": FETCHED_PARENT_DIR,
        "resumable": order.resumable,
        "graceSeconds": order.grace_seconds,
        "uploadSeconds": order.upload_seconds,
        "verdict": None,
    }
    if order.output is not None:
        told["store"] = uris.store(order.output)
        told["output"] = place(order.output, OUTPUT_MOUNT)
    if order.parent is not None:
        told["parent"] = {"uri": order.parent.uri, **_reached(order.parent.store)}
    if order.handed is not None:
        told["handed"] = {
            "job": order.handed.job,
            "uids": list(order.handed.uids),
            "output": place(order.handed.output, PARENT_STORE_MOUNT),
            "store": uris.store(order.handed.output),
            "epoch": order.handed.epoch,
            "continues": order.handed.continues,
            "folder": PARENT_CHECKPOINT_DIR,
        }
    if order.base_models:
        told["baseModels"] = [_base_model(number, model) for number, model in enumerate(order.base_models)]
    if order.verdict_url is not None:
        told["verdict"] = {"url": order.verdict_url, "caFile": CA_FILE, "tokenFile": TOKEN_FILE}
    return orjson.dumps(told).decode()


def _base_model(number: int, model: BaseModelOrder) -> Json:
    store = model.store
    has_secret = store is not None and store.secret_ref is not None
    return {
        "name": model.name,
        "folder": model.folder,
        "mounted": model.mounted,
        "uri": model.uri,
        **(_reached(store) if store is not None else {}),
        "secrets": f"{SECRETS_DIR}/base-{number}" if has_secret else None,
        "sha256": model.sha256,
        "kind": model.kind,
        "card": model.card,
    }


def place(output: Output, mount: str) -> Json:
    """An output as an agent is told of it: a folder where it is a claim, which is at `mount`, else a bucket."""
    if output.claim_name is not None:
        return {"path": mount}
    return {"uri": uris.store(output), **_reached(output)}


def _reached(store: Store) -> Json:
    return {
        key: value
        for key, value in (
            ("endpoint", store.endpoint),
            ("region", store.region),
            ("account", store.account),
        )
        if value is not None
    }
