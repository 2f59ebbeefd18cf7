"""The claims that hold pulled datasets: what is known of one, and what is to be done to it.

Separate because several Datasets may share one: what it holds is pinned by the listing that it is named by, and whoever
needs the same finds it. Executed by `cluster.dataclaims`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from trainyard.api import names

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Published:
    """That what a claim holds is whole, and what that is."""

    sha256: str
    bytes: int
    files: int

    def text(self) -> str:
        """As the annotation of the claim has it."""
        return orjson.dumps({"sha256": self.sha256, "bytes": self.bytes, "files": self.files}).decode()

    @classmethod
    def read(cls, text: str) -> Published | None:
        """None for what is no such annotation."""
        try:
            told = orjson.loads(text)
            return cls(sha256=str(told["sha256"])[:64], bytes=int(told["bytes"]), files=int(told["files"]))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, kw_only=True)
class ClaimView:
    """A claim as the API server shows it; `puller` is the UID of the Dataset whose pods write to it."""

    name: str
    uid: str
    version: str
    deleting: bool = False
    managed: bool = False
    listing: str = ""
    puller: str = ""
    owners: tuple[Json, ...] = ()
    published: Published | None = None
    storage: str = ""
    access_modes: tuple[str, ...] = ()
    storage_class: str | None = None

    @classmethod
    def from_raw(cls, raw: Json) -> ClaimView:
        metadata, spec = raw["metadata"], raw.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            deleting=bool(metadata.get("deletionTimestamp")),
            managed=(metadata.get("labels") or {}).get(names.LABEL_MANAGED_BY) == names.MANAGED_BY,
            listing=annotations.get(names.LISTING, ""),
            puller=annotations.get(names.PULLER, ""),
            owners=tuple(metadata.get("ownerReferences") or ()),
            published=Published.read(annotations.get(names.PUBLISHED, "")),
            storage=str(((spec.get("resources") or {}).get("requests") or {}).get("storage") or ""),
            access_modes=tuple(spec.get("accessModes") or ()),
            storage_class=spec.get("storageClassName"),
        )

    def is_owned_by(self, uid: str) -> bool:
        return any(owner.get("uid") == uid for owner in self.owners)


@dataclass(frozen=True, kw_only=True)
class ClaimStep:
    """One thing to do to a claim: make it from `body`, change the metadata of the one seen, or let go of it, which
    removes it where nobody else owns it.
    """

    verb: Literal["make", "change", "let_go"]
    name: str
    body: Json | None = None
    seen: ClaimView | None = None
    metadata: Json | None = None


def owner(*, name: str, uid: str) -> dict[str, Any]:
    """The ownerReference of a claim to a Dataset; several may own it, so that none controls it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Dataset",
        "name": name,
        "uid": uid,
        "blockOwnerDeletion": False,
    }


def made(
    *,
    name: str,
    namespace: str,
    dataset: str,
    uid: str,
    listing: str,
    size: str,
    access_mode: str,
    storage_class: str | None,
) -> ClaimStep:
    """A new claim for what `listing` pins, which this Dataset pulls."""
    spec: dict[str, Any] = {
        "accessModes": [access_mode],
        "resources": {"requests": {"storage": size}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return ClaimStep(
        verb="make",
        name=name,
        body={
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
                "annotations": {names.LISTING: listing, names.PULLER: uid},
                "ownerReferences": [owner(name=dataset, uid=uid)],
            },
            "spec": spec,
        },
    )


def owned(seen: ClaimView, *, name: str, uid: str) -> ClaimStep:
    """The Dataset becomes one more owner."""
    owners = [*map(dict, seen.owners), owner(name=name, uid=uid)]
    return ClaimStep(verb="change", name=seen.name, seen=seen, metadata={"ownerReferences": owners})


def taken_over(seen: ClaimView, *, uid: str) -> ClaimStep:
    """The Dataset pulls from now on, as the one that did is gone or has given up."""
    return ClaimStep(verb="change", name=seen.name, seen=seen, metadata={"annotations": {names.PULLER: uid}})


def published(seen: ClaimView, what: Published) -> ClaimStep:
    """All can read it from now on."""
    return ClaimStep(
        verb="change", name=seen.name, seen=seen, metadata={"annotations": {names.PUBLISHED: what.text()}}
    )
