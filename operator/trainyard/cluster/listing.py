"""Lists of all objects of a kind, page by page.

Separate because they are read twice in an operator's life only: whole before the first reconcile, and by metadata
alone at every resync, to find what a cut watch never told to be gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from trainyard.api import names
from trainyard.cluster import resources
from trainyard.cluster.cache import POD, Cache, Key
from trainyard.cluster.client import Client

Json = dict[str, Any]

_PAGE = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def pages(
    client: Client, kind: str, *, namespace: str | None = None, metadata_only: bool = False
) -> AsyncIterator[list[Json]]:
    """Pages of at most 500 objects; of pods only ours. Raises ApiError (410 when the list took too long)."""
    params = {"limit": str(_PAGE)}
    if kind == POD:
        params["labelSelector"] = names.POD_SELECTOR
    headers = {"Accept": _METADATA_ONLY} if metadata_only else {}
    while True:
        answer = await client.request("GET", resources.path(kind, namespace), params=params, headers=headers)
        yield answer.get("items") or []
        token = (answer.get("metadata") or {}).get("continue")
        if not token:
            return
        params = {**params, "continue": token}


async def load(client: Client, cache: Cache, kind: str, *, namespaces: tuple[str | None, ...]) -> None:
    """Fill the cache with everything there is."""
    for namespace in namespaces:
        async for page in pages(client, kind, namespace=namespace):
            for raw in page:
                cache.store(kind, raw)


async def drop_ghosts(
    client: Client, cache: Cache, kind: str, *, namespaces: tuple[str | None, ...]
) -> list[Key]:
    """Forget what is in the cache and no longer in the cluster; its keys."""
    # NB: before the list, or an object made meanwhile would be taken for a ghost.
    known = {cache.uid(key): key for key in cache.keys(kind)}
    for namespace in namespaces:
        async for page in pages(client, kind, namespace=namespace, metadata_only=True):
            for raw in page:
                known.pop(raw["metadata"].get("uid"), None)
    for uid, key in known.items():
        if uid is not None:
            cache.remove(kind, namespace=key.namespace, name=key.name, uid=uid)
    return list(known.values())
