"""Objects as the cache keeps them: in few bytes.

Separate because nobody but the cache need know. A job is 8 kB of dicts, 2 kB of JSON, and less than 1 kB when that is
compressed; it is read a few times in its life, for 10 us of CPU each. Most jobs of a cluster have ended, and hardly
anything reads these again, so they are compressed.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import orjson

from trainyard.cluster.client import decoded

Json = dict[str, Any]

_LEVEL = 1
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Packed:
    """One object, and what is asked of it more often than it is read. `finished`: its life is over (a job's)."""

    __slots__ = ("_data", "finished", "uid", "version")

    def __init__(self, raw: Json, *, version: int) -> None:
        metadata = raw["metadata"]
        self.uid: str = metadata.get("uid", "")
        self.version = version
        self.finished = bool((raw.get("status") or {}).get("completionTime"))
        data = _encoded(_without_ballast(raw))
        # NB: a copy, as what orjson makes is of the size that it has reserved.
        self._data = zlib.compress(data, _LEVEL) if self.finished else bytes(memoryview(data))

    def raw(self) -> Json:
        """The object, made anew each time."""
        found: Json = decoded(zlib.decompress(self._data) if self.finished else self._data)
        return found


def _without_ballast(raw: Json) -> Json:
    """What is large and that nobody here reads: who set which field, and what somebody's kubectl has sent."""
    metadata = raw["metadata"]
    metadata.pop("managedFields", None)
    if _LAST_APPLIED in (annotations := metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != _LAST_APPLIED}
    return raw


def _encoded(raw: Json) -> bytes:
    try:
        return orjson.dumps(raw)
    except TypeError:
        # NB: orjson stops at 254 levels and at half characters (of UTF-16); the API server lets both in.
        return json.dumps(raw).encode()
