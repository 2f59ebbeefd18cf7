"""Events: what `kubectl describe` shows of what happened to an object.

Separate because an Event is told and forgotten: one that cannot be posted is logged and lost, and status has said the
same. Called by `execute`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.plan import Announcement
from trainyard.planning.times import stamp

Json = dict[str, Any]

logger = logging.getLogger(__name__)

_LIMIT_SECONDS = 10.0
#: Nothing of the answer is read.
_METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}


def event(raw: Mapping[str, Any], announcement: Announcement) -> Json:
    """The Event about `raw` that says so, of this moment."""
    metadata, now = raw["metadata"], stamp(time.time())
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{time.time_ns():x}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": announcement.type,
        "reason": announcement.reason,
        "message": announcement.message,
        "source": {"component": "trainyard"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


async def post(client: Client, body: Json) -> bool:
    """Whether it was posted."""
    where = resources.path("Event", body["metadata"]["namespace"])
    try:
        await client.request("POST", where, body=body, headers=_METADATA_ONLY, limit_seconds=_LIMIT_SECONDS)
    except (ApiError, aiohttp.ClientError, TimeoutError) as error:
        if isinstance(error, ApiError) and error.status == 409:
            return True  # the answer to an earlier try was lost
        told, about = str(error) or type(error).__name__, body["involvedObject"]["name"]
        logger.warning("Event %s of %s was not posted: %s", body["reason"], about, told)
        return False
    return True
