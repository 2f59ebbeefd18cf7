"""The agent's last word: one JSON object in the container's termination message, cut to what Kubernetes keeps.

Separate because a message that is too long would be cut in the middle of the JSON, and the operator would read nothing.
Called by `__main__`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainyard_agent.log import say

LIMIT = 3 << 10
_LONGEST_ERROR = 1000


def write(path: Path, message: bytes) -> None:
    """Where it cannot be written it is left out: the log has it, too."""
    try:
        path.write_bytes(message)
    except OSError as error:
        say(f"{path} cannot be written: {error}")


def failed(sentence: str, *, claimed: int | None = None) -> bytes:
    """`claimed` is the attempt that has begun instead."""
    return _dumped({"error": _cut(sentence)} | ({} if claimed is None else {"claimed": claimed}))


def complete(result: Mapping[str, Any]) -> bytes:
    """The result of an earlier attempt, without the largest parts of its record where it is too long."""
    told = dict(result)
    record = told.get("record")
    record = dict(record) if isinstance(record, dict) else {}
    while (
        len(message := _dumped({"complete": True, "result": {**told, "record": record}})) > LIMIT and record
    ):
        del record[max(record, key=lambda name: len(json.dumps(record[name])))]
    return message


def outcome(told: Mapping[str, Any], artifacts: list[dict[str, Any]]) -> bytes:
    """What `run` says, with as many of the artifacts as fit."""
    said = {**told, "error": _cut(str(told.get("error") or "")), "artifacts": list[dict[str, Any]]()}
    room = LIMIT - len(_dumped(said))
    for artifact in artifacts:
        room -= len(_dumped(artifact)) + 1
        if room < 0:
            break
        said["artifacts"].append(artifact)
    return _dumped(said)


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _cut(sentence: str) -> str:
    return sentence if len(sentence) <= _LONGEST_ERROR else f"{sentence[: _LONGEST_ERROR - 3]}..."
