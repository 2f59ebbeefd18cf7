"""The agent's words: what its containers leave in their termination messages, and what the operator confirms to it.

Separate because it is the operator's half of the contract with the agent image (docs/artifacts.md); the containers
themselves are made by `planning.agentpod`. Nothing here trusts the text: a user's program can write it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from trainyard.planning.podview import ContainerView
from trainyard.planning.statusline import MAX_PATH
from trainyard.planning.times import seconds

Json = Mapping[str, Any]

#: Exit codes of the container that fetches.
EXIT_COMPLETE = 10
EXIT_OUTRUN = 11
_MAX_FILES = 63
_MAX_MESSAGE = 1000
_DIGEST_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """What the sidecar says of its pod's output.

    `artifacts` are entries of `status.artifacts`: the folder first, with the digest of its manifest `artifacts.json`,
    then files. `checkpoint` is that of `status.lastCheckpoint`, the newest that is safe.
    """

    safe: bool
    problem: str = ""
    artifacts: tuple[Json, ...] = ()
    checkpoint: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What the init container says when it kept the trainer from starting.

    `complete`: the job's result is there already, with what is known of it. `outrun_by`: the number of a later attempt
    that has begun. `absent`: what the job was told to work on is not there, and another try would not find it.
    `model_failed`: a base model is not what it is said to be; `model` is its name, where the agent tells it.
    """

    complete: bool = False
    artifacts: tuple[Json, ...] = ()
    record: Json | None = None
    completed_at: str | None = None
    outrun_by: int | None = None
    absent: bool = False
    model_failed: bool = False
    model: str = ""
    problem: str = ""


def uploaded(container: ContainerView) -> Uploaded:
    """The word of a sidecar; one that has not ended has not given it."""
    told = _object(container.message)
    if container.state != "terminated":
        return Uploaded(safe=False)
    if told is None:
        words = container.message.strip()[-_MAX_MESSAGE:] or container.reason or "no reason is given"
        return Uploaded(
            safe=False, problem=f"The agent ended with code {container.exit_code} and left no word: {words}."
        )
    checkpoint = told.get("checkpoint")
    return Uploaded(
        safe=told.get("uploaded") is True,
        problem=_text(told.get("error")),
        artifacts=_artifacts(told, told.get("artifacts")),
        checkpoint=_checkpoint(checkpoint) if isinstance(checkpoint, Mapping) else None,
    )


def fetched(container: ContainerView) -> Fetched:
    """The word of an init container that has ended with another code than 0."""
    told = _object(container.message) or {}
    if container.exit_code == EXIT_COMPLETE and told.get("complete") is True:
        result = told.get("result")
        result = result if isinstance(result, Mapping) else {}
        folder, record = result.get("artifacts"), result.get("record")
        completed = result.get("completedAt")
        return Fetched(
            complete=True,
            artifacts=_artifacts(folder, ()) if isinstance(folder, Mapping) else (),
            record=record if isinstance(record, Mapping) else None,
            completed_at=completed if isinstance(completed, str) and seconds(completed) else None,
        )
    claimed = told.get("claimed")
    return Fetched(
        outrun_by=claimed if container.exit_code == EXIT_OUTRUN and isinstance(claimed, int) else None,
        absent=told.get("kind") == "absent",
        model_failed=told.get("modelFailed") is True,
        model=_text(told.get("baseModel"), MAX_PATH),
        problem=_text(told.get("error")) or container.message.strip()[-_MAX_MESSAGE:],
    )


def fetched_models(container: ContainerView) -> Mapping[str, Json]:
    """What an init container that has ended with 0 says of the base models, by name: their digests and sizes."""
    told = (_object(container.message) or {}).get("baseModels")
    found: dict[str, Json] = {}
    for one in told if isinstance(told, list) else ():
        if isinstance(one, Mapping) and (name := _text(one.get("name"), MAX_PATH)):
            sized = {key: one[key] for key in ("bytes",) if isinstance(one.get(key), int)}
            digest = _text(one.get("sha256"))
            found[name] = {**sized, **({"sha256": digest} if len(digest) == _DIGEST_LENGTH else {})}
    return found


def _artifacts(folder: Json, files: Any) -> tuple[Json, ...]:
    uri = _text(folder.get("uri"), MAX_PATH)
    if not uri:
        return ()
    entries = [_artifact(folder, uri)]
    for file in files if isinstance(files, list) else ():
        path = _text(file.get("path"), MAX_PATH) if isinstance(file, Mapping) else ""
        if path:
            entries.append(_artifact(file, f"{uri.rstrip('/')}/{path}"[:MAX_PATH]))
    return tuple(entries[: _MAX_FILES + 1])


def _artifact(told: Json, uri: str) -> Json:
    size, digest = told.get("size"), told.get("sha256")
    entry: dict[str, Any] = {"uri": uri}
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        entry["size"] = size
    if isinstance(digest, str) and len(digest) == 64:
        entry["sha256"] = digest
    return entry


def _checkpoint(told: Json) -> Json | None:
    epoch, step, uri, time = (told.get(key) for key in ("epoch", "step", "uri", "time"))
    if not isinstance(time, str) or seconds(time) is None or not isinstance(uri, str):
        return None
    entry: dict[str, Any] = {"uri": uri[:MAX_PATH], "time": time}
    if isinstance(epoch, int | float) and not isinstance(epoch, bool):
        entry["epoch"] = epoch
    if isinstance(step, int) and not isinstance(step, bool):
        entry["step"] = step
    return entry


def _object(text: str) -> Json | None:
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _text(value: Any, limit: int = _MAX_MESSAGE) -> str:
    return value[:limit] if isinstance(value, str) else ""
