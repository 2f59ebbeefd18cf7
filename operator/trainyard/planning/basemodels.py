"""The models that a job starts from, as they were when it began: all its attempts start from the same.

Separate because four places must agree: what a job waits for, the pod that is made with them, its annotation, which
survives the operator, and the job's status. What a pod mounts and is told of them is in `planning.basemodelpod`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from trainyard.api.basemodels import BaseModelReference
from trainyard.api.reasons import Phase, Reason
from trainyard.api.shared import Store
from trainyard.planning import attempts, modelview, uris, useddatasets
from trainyard.planning.agent import fetched, fetched_models
from trainyard.planning.finding import Finding
from trainyard.planning.modelview import ARCHIVED, DEPRECATED, VersionView
from trainyard.planning.nearest import listed
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Announcement
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]

#: What the agent fetches, or a pod mounts.
SCHEMES = ("pvc://", "s3://", "gs://", "abfs://", "hf://", "https://")
#: Reason of an Event.
MODEL_DEPRECATED = "ModelDeprecated"
_MOST = 2
_TEXT, _MESSAGE = 2048, 1024
_PINNED = ("version", "uri", "sha256", "store", "card")
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class UsedModel:
    """A base model as a pod is made with it. `name` is as the spec says it; of a `backbone` the weights are taken, else
    the whole model is worked on.
    """

    name: str
    uri: str
    backbone: bool
    kind: Literal["version", "folder", "file"]
    version: int | None = None
    sha256: str | None = None
    store: Store | None = None
    card: str | None = None


def name_of(reference: BaseModelReference) -> str:
    """`a@2`, `a:champion`, `a` for the newest version, or the address; no two of a job have the same."""
    if reference.model is None:
        return reference.uri or ""
    if reference.version is not None:
        return f"{reference.model}@{reference.version}"
    return f"{reference.model}:{reference.alias}" if reference.alias is not None else reference.model


def recorded(status: Json, pods: Iterable[PodView]) -> dict[str, Json]:
    """What the job has begun with, by name: by its status, else by the newest attempt's pods; empty before that."""
    if known := status.get("baseModels"):
        return {str(one.get("name")): _pinned(one) for one in known}
    pods = tuple(pods)
    newest = attempts.newest(status, pods)
    for pod in pods:
        told = useddatasets.parsed(pod.base_models) if pod.attempt == newest and pod.base_models else None
        if isinstance(told, list):
            entries = [one for one in told[:_MOST] if isinstance(one, dict)]
            return {str(one["name"])[:_TEXT]: _pinned(one) for one in entries if one.get("name")}
    return {}


def unusable(observed: ObservedJob) -> Finding | None:
    """Make sure that there is every model that the job starts from."""
    if observed.spec is None or not observed.spec.base_models:
        return None
    begun_with = recorded(observed.status, observed.pods)
    for reference in observed.spec.base_models:
        if reference.model is None or begun_with.get(name_of(reference), {}).get("uri"):
            continue  # NB: what the job has begun with stays, whatever becomes of the model
        found = _version(observed, reference, reference.model)
        if isinstance(found, Finding):
            return found
    return None


def of(observed: ObservedJob) -> tuple[UsedModel, ...]:
    """What the next pod is made with: what the job has begun with, and for the rest what its models have now."""
    assert observed.spec is not None
    begun_with = recorded(observed.status, observed.pods)
    used = []
    for reference in observed.spec.base_models:
        begun = begun_with.get(name_of(reference), {})
        if reference.model is None:
            used.append(_by_address(reference, begun))
            continue
        if begun.get("uri"):
            used.append(_as_begun(reference, begun))
            continue
        found = _version(observed, reference, reference.model)
        assert isinstance(found, VersionView)  # `unusable` has looked
        used.append(_as_it_is(reference, found))
    return tuple(used)


def annotation(used: Iterable[UsedModel]) -> str:
    """As a pod carries it."""
    return orjson.dumps([_entry(one) for one in used]).decode()


def as_status(observed: ObservedJob, status: Json) -> list[Json] | None:
    """`status.baseModels`; None for a job that has begun with none."""
    if not (status.get("baseModels") or (observed.spec is not None and observed.spec.base_models)):
        return None
    begun_with = recorded(status, observed.pods)
    if observed.spec is not None:
        wanted = {name_of(reference) for reference in observed.spec.base_models}
        begun_with = {name: one for name, one in begun_with.items() if name in wanted}
    before = {one.get("name"): one for one in status.get("baseModels") or ()}
    newest = attempts.newest(status, observed.pods)
    pods = [pod for pod in observed.pods if pod.attempt == newest and pod.base_models]
    entries: list[Json] = []
    for name, pinned in begun_with.items():
        entry = {"name": name, **before.get(name, {}), **pinned, **_fetching(name, pods)}
        if "version" in pinned and "sha256" not in pinned:
            # NB: of a version without a digest what is there is taken, and no manifest is asked for at any attempt.
            entry["sha256"] = None
        entries.append({key: value for key, value in entry.items() if value is not None})
    return entries or None


def warnings(observed: ObservedJob) -> tuple[Announcement, ...]:
    """Events for a job that begins: it starts from what is not meant for anything new."""
    if observed.spec is None or recorded(observed.status, observed.pods):
        return ()
    models = dict.fromkeys(one.model for one in observed.spec.base_models if one.model is not None)
    return tuple(
        Announcement(
            type="Warning",
            reason=MODEL_DEPRECATED,
            message=f"MLModel {name} is deprecated: still in use, but not for anything new. This job starts from it "
            "all the same.",
        )
        for name in models
        if (model := observed.models.get(name)) is not None
        and model.lifecycle == DEPRECATED
        and model.uid != observed.made_by
    )


def _version(observed: ObservedJob, reference: BaseModelReference, name: str) -> VersionView | Finding:
    """The version that a reference means now, or why there is none. NB: what an archived model does for itself, such as
    taking back what it has published, it may still do.
    """
    model = observed.models.get(name)
    if model is None:
        return _waiting(f"There is no MLModel {name} in this namespace yet; the job starts when it is there.")
    if model.deleting:
        return _waiting(f"MLModel {name} is being deleted, and nothing starts from it any more.")
    if model.lifecycle == ARCHIVED and model.uid != observed.made_by:
        return _waiting(
            f"MLModel {name} is archived: it is kept as a record, and nothing starts from it. Set its spec.stage to "
            "active or deprecated, or name another model."
        )
    number = reference.version
    meant = f"Version {number} of MLModel {name}"
    if reference.alias is not None:
        number = model.aliases.get(reference.alias)
        meant = f"Version {number} of MLModel {name}, its {reference.alias},"
        if number is None:
            known = listed([f"{alias} ({of})" for alias, of in sorted(model.aliases.items())][:_SHOWN])
            return _waiting(
                f"MLModel {name} has no alias {reference.alias}; it has {known or 'none yet'}. The job starts when "
                "it stands for a version."
            )
    if not model.versions:
        stands = f" ({model.lifecycle})" if model.lifecycle else ""
        return _waiting(f"MLModel {name} has no version yet{stands}; the job starts when it has one.")
    found = model.versions[-1] if number is None else model.numbered(number)
    if found is None and number in model.former:
        return _waiting(
            f"{meant} is too old to be listed in its status (spec.versionsRetained); name it by its uri, which its "
            "record in the store has."
        )
    if found is None:
        known = listed([str(one.number) for one in model.versions[-_SHOWN:]])
        return _waiting(f"MLModel {name} has no version {number}; it has {known}.")
    if not found.uri:
        return _failed(
            f"Version {found.number} of MLModel {name} has no artifact that could be started from."
        )
    if problem := problem_of(found.uri):
        return _failed(f"Version {found.number} of MLModel {name} cannot be fetched: {problem}")
    if reference.sha256 and found.sha256 and reference.sha256 != found.sha256:
        return _failed(
            f"Version {found.number} of MLModel {name} has the digest {found.sha256}, and spec.baseModels expects "
            f"{reference.sha256}. It is the digest of the version's artifacts.json, which status.versions has."
        )
    return found


def problem_of(uri: str) -> str | None:
    """Make sure that an address can be mounted or fetched."""
    if not uri.startswith(SCHEMES):
        return f"it lies at {uri.partition(':')[0]}:, and only {listed(SCHEMES)} can be read."
    if uris.is_pvc(uri):
        try:
            uris.split_pvc(uri)
        except ValueError as error:
            return str(error)
    return None


def _by_address(reference: BaseModelReference, begun: Json) -> UsedModel:
    uri = reference.uri or ""
    said = {"secret_ref", "endpoint", "region", "account"} & reference.model_fields_set
    return UsedModel(
        name=name_of(reference),
        uri=uri,
        backbone=reference.is_ptm_backbone,
        kind="file" if uri.startswith("https://") else "folder",
        # NB: what was fetched once is what every attempt starts from.
        sha256=reference.sha256 or begun.get("sha256"),
        store=Store.model_validate({name: getattr(reference, name) for name in said}) if said else None,
    )


def _as_begun(reference: BaseModelReference, begun: Json) -> UsedModel:
    digest = begun.get("sha256")
    return UsedModel(
        name=name_of(reference),
        uri=str(begun["uri"]),
        backbone=reference.is_ptm_backbone,
        kind=_kind(str(begun["uri"]), digest),
        version=begun.get("version"),
        sha256=reference.sha256 or digest,
        store=modelview.store(begun.get("store")),
        card=begun.get("card"),
    )


def _as_it_is(reference: BaseModelReference, version: VersionView) -> UsedModel:
    return UsedModel(
        name=name_of(reference),
        uri=version.uri,
        backbone=reference.is_ptm_backbone,
        kind=_kind(version.uri, version.sha256),
        version=version.number,
        sha256=reference.sha256 or version.sha256 or None,
        store=version.store,
        card=version.card or None,
    )


def _kind(uri: str, digest: str | None) -> Literal["version", "folder", "file"]:
    """NB: a version that was reported from outside may have no manifest, and then has no digest."""
    if digest:
        return "version"
    return "file" if uri.startswith("https://") else "folder"


def _entry(used: UsedModel) -> dict[str, Any]:
    found = {name: value for name in ("name", *_PINNED) if (value := getattr(used, name))}
    if used.version is not None and used.kind != "version":
        found.pop("sha256", None)
    if used.store is not None:
        found["store"] = used.store.model_dump(by_alias=True, mode="json", exclude_none=True)
    return found


def _pinned(told: Json) -> dict[str, Any]:
    """What a status can hold of what it or a pod carries. NB: anybody can write an annotation."""
    found: dict[str, Any] = {}
    uri, card, digest, version = (told.get(name) for name in ("uri", "card", "sha256", "version"))
    if isinstance(uri, str) and len(uri) <= _TEXT and problem_of(uri) is None:
        found["uri"] = uri
    if isinstance(card, str) and len(card) <= _TEXT and problem_of(card) is None:
        found["card"] = card
    if isinstance(digest, str) and len(digest) == 64:
        found["sha256"] = digest
    if isinstance(version, int) and not isinstance(version, bool):
        found["version"] = version
    if (store := modelview.store(told.get("store"))) is not None:
        found["store"] = store.model_dump(by_alias=True, mode="json", exclude_none=True)
    return found


def _fetching(name: str, pods: list[PodView]) -> dict[str, Any]:
    """How far the pods of the newest attempt are; empty where there are none."""
    fetches = [pod.fetch for pod in pods]
    if not fetches:
        return {}
    ended = [one for one in fetches if one is not None and one.state == "terminated"]
    for one in ended:
        if one.exit_code != 0:
            word = fetched(one)
            if word.complete or word.outrun_by is not None or not word.problem:
                return {}
            if word.model and word.model != name:
                continue
            return {"pull": "invalid_pull", "message": word.problem[:_MESSAGE]}
    if ended and len(ended) == len(fetches):
        return {"pull": "pull_complete", "message": None, **fetched_models(ended[0]).get(name, {})}
    begun = any(one is not None and one.started_at is not None for one in fetches)
    return {"pull": "in_progress" if begun else "starting", "message": None}


def _waiting(message: str) -> Finding:
    return Finding(phase=Phase.PENDING, reason=Reason.WAITING_FOR_MODEL, message=message)


def _failed(message: str) -> Finding:
    return Finding(phase=Phase.ERROR, reason=Reason.MODEL_FAILED, message=message)
