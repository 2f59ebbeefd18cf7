"""Lists of all objects of a kind, page by page.

Separate because there are two uses only: whole before the first reconcile, and by metadata alone at every resync,
to find what no watch has told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.cluster import resources
from trainyard.cluster.cache import POD, Cache, Key, version_of
from trainyard.cluster.client import ApiError, Client

Json = dict[str, Any]

#: NB: 500 are as quick, but of the memory that a page takes while it is read much is never given back.
_PAGE = 100
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What the cluster has otherwise than the cache: UID and key of what is gone, keys of what is not known so."""

    ghosts: dict[str, Key]
    missed: list[Key]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some objects of a list, and the list's resourceVersion."""

    items: list[Json]
    version: str


async def pages(
    client: Client, kind: str, *, namespace: str | None = None, metadata_only: bool = False
) -> AsyncIterator[Page]:
    """Pages of at most 100 objects; of pods only ours. Raises ApiError (410 when the list took too long)."""
    params = {"limit": str(_PAGE)}
    if kind == POD:
        params["labelSelector"] = names.POD_SELECTOR
    # NB: as it is: packing and unpacking takes longer than a cluster's network, as for Kubernetes' own controllers.
    headers = {"Accept-Encoding": "identity"}
    if metadata_only:
        headers["Accept"] = _METADATA_ONLY
    while True:
        answer = await client.request("GET", resources.path(kind, namespace), params=params, headers=headers)
        metadata = answer.get("metadata") or {}
        yield Page(items=answer.get("items") or [], version=metadata.get("resourceVersion") or "")
        token = metadata.get("continue")
        if not token:
            return
        params = {**params, "continue": token}


async def load(
    client: Client, cache: Cache, kind: str, *, namespaces: tuple[str | None, ...]
) -> dict[str | None, str]:
    """Fill the cache with everything there is; for each namespace the resourceVersion that a watch can go on from."""
    versions: dict[str | None, str] = {}
    for namespace in namespaces:
        async for page in pages(client, kind, namespace=namespace):
            # NB: all pages of a list show the state of one moment, that of the first.
            versions.setdefault(namespace, page.version)
            for raw in page.items:
                cache.store(kind, raw)
    return versions


async def differences(
    client: Client, cache: Cache, kind: str, *, namespaces: tuple[str | None, ...]
) -> Differences:
    """Compare the cache with the metadata of all there is: by UID, and by resourceVersion where the cache tells it."""
    # NB: before the list, or an object made meanwhile would be taken for a ghost.
    known = {cache.uid(key): key for key in cache.keys(kind)}
    listed: dict[Key, Json] = {}
    for namespace in namespaces:
        async for page in pages(client, kind, namespace=namespace, metadata_only=True):
            for raw in page.items:
                metadata = raw["metadata"]
                known.pop(metadata.get("uid"), None)
                listed[Key(kind, metadata["namespace"], metadata["name"])] = metadata
    # NB: after the list; the watch has told most of what came while it was read.
    missed = [key for key, metadata in listed.items() if _is_news(cache, key, metadata)]
    return Differences(ghosts={uid: key for uid, key in known.items() if uid}, missed=missed)


async def fetch(client: Client, cache: Cache, key: Key) -> None:
    """Store one object as it is now; nothing when it has gone meanwhile."""
    try:
        raw = await client.get(resources.path(key.kind, key.namespace, key.name))
    except ApiError as error:
        if error.status != 404:
            raise
    else:
        cache.store(key.kind, raw)


def _is_news(cache: Cache, key: Key, metadata: Json) -> bool:
    if cache.uid(key) != metadata.get("uid"):
        return True
    known = cache.version(key)
    return known is not None and known < version_of(metadata)
