"""The jobs that publish a version and take it away again: their specs, which are the contract with images/publisher.

Separate because that contract (docs/publishing.md) changes with the image and not with when a job is due. Called by
`planning.modelpublish`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api import names
from trainyard.api.mlmodel import PublishTarget
from trainyard.planning import modeltasks, uris
from trainyard.planning.agentpod import SECRETS_DIR
from trainyard.planning.modelobserved import ObservedModel

Json = Mapping[str, Any]

RUNTIME = "publisher"
#: Where images/publisher looks for the target's Secret, and for the claim of a pvc:// target.
SECRET_MOUNT, CLAIM_MOUNT = f"{SECRETS_DIR}/target", "/trainyard/target"

_TOLD = ("uri", "endpoint", "region", "account", "private")
#: Two targets that agree in these are one place.
_PLACE = ("uri", "endpoint", "account")
#: What is not of the place but of which version goes there.
_CHOICE = frozenset({"name", "alias", "version"})
_MOST_METRICS = 64
_LINEAGE = (
    "job",
    "jobUid",
    "experiment",
    "trial",
    "runtime",
    "imageDigest",
    "parametersDigest",
    "parentVersion",
)


def told(target: PublishTarget) -> dict[str, Any]:
    """A target as its job and status keep it, without which version it is about."""
    said: dict[str, Any] = target.model_dump(by_alias=True, mode="json", exclude_none=True)
    return {key: value for key, value in said.items() if key not in _CHOICE and value != []}


def with_former(said: Json, before: Json | None) -> dict[str, Any]:
    """A target with the aliases that it may have and names no longer, by what status kept of it."""
    known = {*((before or {}).get("targetAliases") or ()), *((before or {}).get("formerAliases") or ())}
    former = sorted(known.difference(said.get("targetAliases") or ()))
    return {**said, "formerAliases": former} if former else dict(said)


def place(target: Json) -> tuple[str, ...]:
    """Where a target is, whatever it is called."""
    return tuple(str(target.get(key) or "").rstrip("/") for key in _PLACE)


def publish_digest(target: Json, version: Json) -> str:
    """Digest of what is published where; another one is published anew."""
    return modeltasks.digest_of({"publish": dict(target)}, version["number"], version.get("sha256"))


def unpublish_digest(target: Json) -> str:
    """Digest of what is taken away."""
    return modeltasks.digest_of({"unpublish": dict(target)})


def publish_spec(observed: ObservedModel, name: str, target: Json, version: Json) -> dict[str, Any]:
    """The spec of a job that publishes a version as status has it."""
    assert observed.spec is not None
    number = int(version["number"])
    parameters = {
        **_parameters(observed, name, target, number),
        "formerAliases": list(target.get("formerAliases") or ()),
        "description": observed.spec.description,
        "metadata": _metadata(observed, version),
    }
    return {
        **_common(target),
        "action": "publish",
        "baseModels": [{"model": observed.name, "version": number, "isPtmBackbone": False}],
        "parameters": _clean(parameters),
    }


def unpublish_spec(observed: ObservedModel, name: str, target: Json, entry: Json) -> dict[str, Any]:
    """The spec of a job that takes away what `entry` of status.published says."""
    parameters = {
        **_parameters(observed, name, target, int(entry.get("version") or 1)),
        "digest": entry.get("digest"),
    }
    return {**_common(target), "action": "unpublish", "parameters": _clean(parameters)}


def _parameters(observed: ObservedModel, name: str, target: Json, version: int) -> dict[str, Any]:
    return {
        **{key: target.get(key) for key in _TOLD},
        "aliases": list(target.get("targetAliases") or ()),
        "model": observed.name,
        "version": version,
        "target": name,
    }


def _common(target: Json) -> dict[str, Any]:
    """What both have: little to run on, and the mounts of the target's Secret and claim."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    secret = (target.get("secretRef") or {}).get("name")
    if secret:
        volumes.append({"name": "target-secret", "secret": {"secretName": secret}})
        mounts.append({"name": "target-secret", "mountPath": SECRET_MOUNT, "readOnly": True})
    if uris.is_pvc(str(target["uri"])):
        claim = uris.split_pvc(str(target["uri"]))[0]
        volumes.append({"name": "target", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "target", "mountPath": CLAIM_MOUNT})
    spec: dict[str, Any] = {
        "runtime": RUNTIME,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
    }
    if volumes:
        container = {"name": names.TRAINER_CONTAINER, "volumeMounts": mounts}
        spec["template"] = {"spec": {"containers": [container], "volumes": volumes}}
    return spec


def _metadata(observed: ObservedModel, version: Json) -> dict[str, Any]:
    """What a target can keep beside the files."""
    spec = observed.spec
    assert spec is not None
    lineage = version.get("lineage") or {}
    license = spec.metadata.get("license")
    metrics = [*(version.get("performanceMetrics") or ()), *(version.get("trainingMetrics") or ())]
    return _clean(
        {
            "time": version.get("time"),
            "uid": observed.uid,
            "uri": version.get("uri"),
            "displayName": spec.display_name,
            "architecture": lineage.get("architecture"),
            "license": license if isinstance(license, str) else None,
            "syntheticData": version.get("syntheticData") or None,
            "metrics": {one["name"]: one["value"] for one in metrics[:_MOST_METRICS]},
            "lineage": _clean({key: lineage.get(key) for key in _LINEAGE}),
        }
    )


def _clean(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value not in (None, [], {}, "")}
