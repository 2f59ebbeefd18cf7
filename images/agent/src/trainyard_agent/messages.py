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
from trainyard_agent.troubles import Kind

LIMIT = 3 << 10
_LONGEST_ERROR = 1000


def write(path: Path, message: bytes) -> None:
    """Where it cannot be written it is left out: the log has it, too."""
    try:
        path.write_bytes(message)
    except OSError as error:
        say(f"{path} cannot be written: {error}")


def failed(
    sentence: str, *, claimed: int | None = None, kind: Kind | None = None, model: str | None = None
) -> bytes:
    """`claimed` is the attempt that has begun instead; `kind` is told where the operator acts by it; `model` is the
    base model which no other attempt can help, and is left out where its name is too long.
    """
    more = {"claimed": claimed, "kind": kind, "modelFailed": True if model is not None else None}
    said = {"error": _cut(sentence)} | {name: one for name, one in more.items() if one is not None}
    whole = _dumped({**said, "baseModel": model})
    return whole if model is not None and len(whole) <= LIMIT else _dumped(said)


def done(told: Mapping[str, Any]) -> bytes:
    """What was done, in a few words that fit."""
    return _dumped(told)


def complete(result: Mapping[str, Any]) -> bytes:
    """The result of an earlier attempt, which loses the largest parts of its record, then of itself, until it fits."""
    told = dict(result)
    record = told.pop("record", None)
    record = dict(record) if isinstance(record, dict) else {}
    while len(message := _dumped({"complete": True, "result": {**told, "record": record}})) > LIMIT:
        larger = record or told
        del larger[max(larger, key=lambda name: len(json.dumps(larger[name])))]
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
    """NB: "replace", as a name that is no UTF-8 must not cost the whole message."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _cut(sentence: str) -> str:
    """To so many bytes as they are in JSON, where a character has up to 6."""
    if len(_dumped(sentence)) <= _LONGEST_ERROR:
        return sentence
    kept = sentence[:_LONGEST_ERROR]
    while len(_dumped(kept)) > _LONGEST_ERROR - 3:
        kept = kept[: -max(1, len(kept) // 20)]
    return f"{kept}..."
