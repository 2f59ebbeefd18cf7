"""Changing the very object that was looked at, and only the fields that are meant.

Separate because every verb that changes something does it so. Called by `verbs`, `modelverbs` and `modeltrain`.
"""

from __future__ import annotations

from typing import Any

from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError
from trainyard.cli.intents import FIELD_MANAGER
from trainyard.cluster import resources
from trainyard.cluster.client import MERGE_PATCH, ApiError

Json = dict[str, Any]


async def patched(there: Connection, raw: Json, patch: Json) -> Json:
    """The object after a merge patch of these fields alone.

    Raises CommandError where it was deleted or replaced meanwhile; ApiError with the status 409 where `patch` has a
    resourceVersion and somebody else has changed the object since.
    """
    metadata = {**(patch.get("metadata") or {}), "uid": raw["metadata"]["uid"]}
    kind, name = raw["kind"], raw["metadata"]["name"]
    try:
        return await there.client.request(
            "PATCH",
            resources.path(kind, there.namespace, name),
            body={**patch, "metadata": metadata},
            content_type=MERGE_PATCH,
            params={"fieldManager": FIELD_MANAGER},
        )
    except ApiError as error:
        if is_replaced(error, name):
            raise CommandError(
                f"{kind} {name} was deleted or replaced meanwhile; look again by `trainyard get`."
            ) from None
        raise


def is_replaced(error: ApiError, name: str) -> bool:
    """Whether the object of this name is gone, or is another one by now."""
    # NB: the name is quoted in the message, and may have "uid" in it.
    said = error.message.replace(f'"{name}"', "").lower()
    return error.status == 404 or (error.status == 409 and "uid" in said)
