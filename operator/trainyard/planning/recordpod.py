"""The pod that stores the record and the model card of a version beside its artifacts, and what it says.

Separate because it is the contract with the agent's verb `record` (docs/model-card.md). Called by the planning of
MLModels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.shared import Output, Store
from trainyard.planning import experimentpod, modeltasks, uris
from trainyard.planning.agentpod import OUTPUT_MOUNT, SECRETS_DIR, place
from trainyard.planning.context import Context
from trainyard.planning.modelobserved import ObservedModel
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]

STAGE = "record"
#: Linux takes 128 KiB for one variable of the environment.
_MOST_TOLD = 120_000
_MAX_MESSAGE = 500
_ATTEMPT = re.compile(r"attempt-\d+")
_SCHEMES = ("pvc://", "s3://", "gs://", "abfs://")
_PROFILE = "profile.json"
#: What the pod itself adds to a version.
_ADDED = ("card", "profile")
_ABOUT = ("displayName", "description", "type", "architecture")


@dataclass(frozen=True, kw_only=True)
class _Artifacts:
    """Where a version lies: `<store>/<folder>/<attempt>`."""

    store: str
    folder: str
    attempt: str


def wanted(version: Json) -> bool:
    """Whether the record of a version is still to be stored, and can be: beside what a job has stored."""
    has_place = bool(version.get("sha256")) and _artifacts(version) is not None
    return has_place and version.get("origin") == "job" and not version.get("card")


def build(observed: ObservedModel, version: Json, *, job: Json, rules: Context) -> dict[str, Any]:
    """The pod `<model>-record-<version>`; `job` is the raw job that the version comes from, empty where that is gone.
    Raises ValueError for a version that lies in no job's folder.
    """
    found = _found(version)
    output = _output(version, found)
    told = {
        "namespace": observed.namespace,
        "store": found.store,
        "output": place(output, OUTPUT_MOUNT),
        "uid": found.folder,
        "artifacts": f"{found.folder}/{found.attempt}",
        "sha256": version["sha256"],
        "model": observed.name,
        "version": version["number"],
        "record": _record(observed, version, job),
    }
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    if output.claim_name is not None:
        volumes.append({"name": "output", "persistentVolumeClaim": {"claimName": output.claim_name}})
        mounts.append({"name": "output", "mountPath": OUTPUT_MOUNT})
    if output.secret_ref is not None:
        volumes.append({"name": "secret", "secret": {"secretName": output.secret_ref.name}})
        mounts.append({"name": "secret", "mountPath": f"{SECRETS_DIR}/output", "readOnly": True})
    main = experimentpod.container(
        names.RECORD_CONTAINER,
        rules.agent.image,
        verb="record",
        # NB: Kubernetes expands $(NAME) in values; this is data and must arrive as it is.
        env=[{"name": "TRAINYARD_RECORD", "value": _fitting(told).replace("$", "$$")}],
        mounts=mounts,
        requests=rules.agent.requests,
        limits=rules.agent.limits,
        image_pull_policy=rules.image_pull_policy,
    )
    number = int(version["number"])
    metadata = {
        "name": names.staged_pod_name(owner=observed.name, stage=STAGE, number=number),
        "namespace": observed.namespace,
        "labels": {
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_MODEL: observed.name,
            names.LABEL_MODEL_UID: observed.uid,
            names.LABEL_ATTEMPT: str(number),
        },
        "ownerReferences": [modeltasks.owner(observed)],
    }
    return experimentpod.pod_of(
        metadata, main, volumes=volumes, group=True, **experimentpod.placed(rules.agent)
    )


def recorded(pod: PodView, version: Json) -> dict[str, Any] | None:
    """What a pod adds to its version, of one that has done its work: the address of the card, and the profile of the
    data where there is one. None for any other: one that runs, that was lost, that failed.
    """
    container, found = pod.trainer, _artifacts(version)
    if container is None or container.state != "terminated" or container.exit_code != 0 or found is None:
        return None
    said = _said(container.message)
    if not _digest(said.get("card")) or not _digest(said.get("record")):
        return None
    number = version["number"]
    model = pod.name.removesuffix(f"-{STAGE}-{number}")
    told: dict[str, Any] = {"card": uris.below(found.store, found.folder, "models", f"{model}-{number}.md")}
    if digest := _digest(said.get("profile")):
        told["profile"] = {"uri": f"{version['uri'].rstrip('/')}/{_PROFILE}", "sha256": digest}
    return told


def problem(pod: PodView) -> str:
    """Why a pod that has ended has stored nothing, in a sentence."""
    message = pod.trainer.message if pod.trainer is not None else ""
    error = _said(message).get("error")
    if isinstance(error, str) and error:
        return error[:_MAX_MESSAGE]
    return message.strip()[-_MAX_MESSAGE:] or pod.message or pod.reason or "no reason is given"


def _record(observed: ObservedModel, version: Json, job: Json) -> dict[str, Any]:
    """NB: without what the pod itself adds, so that it is the same whenever it is made."""
    spec: Json = (
        observed.spec.model_dump(by_alias=True, exclude_none=True) if observed.spec is not None else {}
    )
    metadata = spec.get("metadata") or {}
    about = {key: spec[key] for key in _ABOUT if spec.get(key)}
    if isinstance(license := metadata.get("license"), str):
        about["license"] = license
    if isinstance(tags := metadata.get("tags"), list):
        about["tags"] = [tag for tag in tags if isinstance(tag, str)]
    # NB: null, of a job that is gone: the lineage has the digest of its parameters.
    parameters = dict((job.get("spec") or {}).get("parameters") or {}) if job else None
    return {
        "model": observed.name,
        "namespace": observed.namespace,
        "modelUid": observed.uid,
        "about": about,
        **{key: value for key, value in version.items() if key not in _ADDED},
        "parameters": parameters,
    }


def _fitting(told: dict[str, Any]) -> str:
    """The order as JSON; what is too long for it goes, the parameters first."""
    for shorten in (lambda _: None, _without_parameters, _without_addresses):
        shorten(told["record"])
        if len(text := orjson.dumps(told)) <= _MOST_TOLD:
            break
    return text.decode()


def _without_parameters(record: dict[str, Any]) -> None:
    """NB: null, as where the job is gone."""
    record["parameters"] = None


def _without_addresses(record: dict[str, Any]) -> None:
    lineage = dict(record.get("lineage") or {})
    lineage["datasets"] = [
        {key: value for key, value in one.items() if key != "uri"} for one in lineage.get("datasets") or ()
    ]
    record["lineage"] = lineage
    record["about"] = {}


def _found(version: Json) -> _Artifacts:
    found = _artifacts(version)
    if found is None:
        raise ValueError(f"version {version.get('number')} lies in no job's folder: {version.get('uri')}")
    return found


def _artifacts(version: Json) -> _Artifacts | None:
    store, _, rest = str(version.get("uri") or "").rstrip("/").rpartition("/")
    top, _, folder = store.rpartition("/")
    if not top.startswith(_SCHEMES) or not folder or folder.startswith(".") or not _ATTEMPT.fullmatch(rest):
        return None
    if uris.is_pvc(top) and uris.split_pvc(top)[1]:
        return None
    return _Artifacts(store=top, folder=folder, attempt=rest)


def _output(version: Json, found: _Artifacts) -> Output:
    if uris.is_pvc(found.store):
        return Output(claim_name=uris.split_pvc(found.store)[0])
    store = Store.model_validate(version.get("store") or {})
    return Output(uri=found.store, **{name: getattr(store, name) for name in Store.model_fields})


def _digest(told: Any) -> str:
    digest = told.get("sha256") if isinstance(told, Mapping) else None
    return digest if isinstance(digest, str) and len(digest) == 64 else ""


def _said(message: str) -> Json:
    try:
        said = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
