"""An MLModel as the jobs see it that start from its versions or become one.

Separate from the plan of an MLModel itself: of its versions only what a job's pod is made of is read. Made by
`reconcile.modelviews`, once for each version of the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from trainyard.api.shared import Store

Json = Mapping[str, Any]

DEPRECATED, ARCHIVED = "deprecated", "archived"


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionView:
    """A version that status lists. `uri` is where it lies, `store` how that is reached where it is no claim and not
    public; `card` is the address of its model card.
    """

    number: int
    uri: str = ""
    sha256: str = ""
    size: int | None = None
    store: Store | None = None
    card: str = ""
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelView:
    """An MLModel. `versions` are those that status lists, the oldest first, and `former` the numbers of those that it
    lists no longer; `registered` has the number of the version that a job became, by the job's UID.
    """

    name: str
    uid: str
    deleting: bool = False
    lifecycle: str = ""
    versions: tuple[VersionView, ...] = ()
    former: frozenset[int] = frozenset()
    aliases: Mapping[str, int] = field(default_factory=dict)
    registered: Mapping[str, int] = field(default_factory=dict)

    def numbered(self, number: int) -> VersionView | None:
        """The version of this number, where status lists it."""
        return next((one for one in self.versions if one.number == number), None)


def view(raw: Json) -> ModelView:
    """The view of a raw MLModel. What cannot be read of its status counts as not there."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    versions, former = status.get("versions") or (), status.get("formerVersions") or ()
    # NB: what the user says holds at once, and the operator's word on it comes later.
    stage = spec.get("stage")
    registered = {str(one["source"]): int(one["number"]) for one in former if one.get("source")}
    registered |= {
        str(uid): int(one["number"]) for one in versions if (uid := (one.get("lineage") or {}).get("jobUid"))
    }
    return ModelView(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        lifecycle=stage if stage in (DEPRECATED, ARCHIVED) else str(status.get("lifecycle") or ""),
        versions=tuple(sorted(map(_version, versions), key=lambda one: one.number)),
        former=frozenset(int(one["number"]) for one in former),
        aliases={str(one["name"]): int(one["version"]) for one in status.get("aliases") or ()},
        registered=registered,
    )


def _version(told: Json) -> VersionView:
    return VersionView(
        number=int(told["number"]),
        uri=str(told.get("uri") or ""),
        sha256=str(told.get("sha256") or ""),
        size=told.get("size"),
        store=store(told.get("store")),
        card=str(told.get("card") or ""),
        synthetic=told.get("syntheticData") is True,
    )


def store(told: Any) -> Store | None:
    """How a store is reached, as a status or a pod says it; None for nothing, or for what cannot be read."""
    if not isinstance(told, Mapping) or not told:
        return None
    try:
        found = Store.model_validate(told)
    except ValidationError:
        return None
    return found if found.model_dump(exclude_none=True) else None
