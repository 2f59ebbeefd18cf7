"""Which claim a push goes to: one that an earlier push has left half full, or a new one.

Separate because a broken push has to be found again, and because what the Dataset has been told of is never touched.
Called by `push`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import typer

from trainyard.api import names
from trainyard.cli import pushpod
from trainyard.cli.amounts import bytes_of
from trainyard.cli.connection import Connection
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]


async def ready(there: Connection, dataset: Json, wanted: Json, *, told: str | None) -> str:
    """The name of the claim to fill. `wanted` is the new one; `told` is the one that the Dataset has now.

    One that an earlier push has left is taken when it is large enough, and removed when it is not.
    """
    async for left in unfinished(there, dataset):
        name = left["metadata"]["name"]
        if name == told:
            continue
        if _fits(left["spec"], wanted["spec"]):
            typer.echo(f"An earlier push has left the claim {name}: going on with it.", err=True)
            return str(name)
        typer.echo(f"An earlier push has left the claim {name}, which is not as wanted: removed.", err=True)
        await remove(there, name)
    await there.client.post(resources.path("PersistentVolumeClaim", there.namespace), wanted)
    return str(wanted["metadata"]["name"])


async def unfinished(there: Connection, dataset: Json) -> AsyncIterator[Json]:
    """Claims of this very Dataset that pushes have left."""
    labels = {names.LABEL_DATASET_UID: dataset["metadata"]["uid"], **pushpod.UNFINISHED}
    listing = await there.client.get(
        resources.path("PersistentVolumeClaim", there.namespace),
        {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())},
    )
    found = [raw for raw in listing.get("items") or [] if not raw["metadata"].get("deletionTimestamp")]
    for raw in sorted(found, key=lambda raw: str(raw["metadata"].get("creationTimestamp"))):
        yield raw


async def exists(there: Connection, name: str) -> bool:
    try:
        await there.client.get(resources.path("PersistentVolumeClaim", there.namespace, name))
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


async def remove(there: Connection, name: str) -> None:
    try:
        await there.client.delete(resources.path("PersistentVolumeClaim", there.namespace, name))
    except ApiError as error:
        if error.status != 404:
            raise


async def finished(there: Connection, name: str) -> None:
    """Takes the mark of an unfinished one off."""
    labels = dict.fromkeys(pushpod.UNFINISHED)
    await there.client.merge_patch(
        resources.path("PersistentVolumeClaim", there.namespace, name), {"metadata": {"labels": labels}}
    )


def _fits(left: Json, wanted: Json) -> bool:
    def size(spec: Json) -> int:
        return bytes_of(str(spec["resources"]["requests"]["storage"])) or 0

    same_class = wanted.get("storageClassName") in (None, left.get("storageClassName"))
    return same_class and left["accessModes"] == wanted["accessModes"] and size(left) >= size(wanted)
