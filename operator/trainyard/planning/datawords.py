"""The words of the pods of a Dataset: what its survey, its pull and its check have told.

Separate because it is the operator's half of the contract with the agent's and the data image (docs/datasets.md).
Nothing here trusts the text: a name in the data may be in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from trainyard.api.datasetstatus import Profile
from trainyard.api.reasons import Reason
from trainyard.planning.dataclaims import Published
from trainyard.planning.datasizes import UNPACKED
from trainyard.planning.podview import ContainerView

Json = Mapping[str, Any]

_LONGEST = 1000
#: What another try cannot cure.
FINAL_KINDS = frozenset({"broken", "hostile", "mismatch", "empty", "unsupported"})
_REASONS = {
    "forbidden": Reason.ACCESS_DENIED,
    "missing": Reason.SOURCE_NOT_FOUND,
    "full": Reason.VOLUME_FULL,
    "changed": Reason.SOURCE_CHANGED,
    "mismatch": Reason.DIGEST_MISMATCH,
    "broken": Reason.INVALID_DATA,
    "hostile": Reason.INVALID_DATA,
    "empty": Reason.INVALID_DATA,
    "unsupported": Reason.INVALID_SPEC,
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a container of a Dataset's pod failed; `kind` is the agent's word for what would cure it."""

    kind: str
    message: str

    @property
    def final(self) -> bool:
        return self.kind in FINAL_KINDS

    @property
    def reason(self) -> Reason:
        return _REASONS.get(self.kind, Reason.PULL_FAILED)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a source lists; `unpacked_bytes` of an archive are a guess where it does not tell them."""

    listing: str
    revision: str
    bytes: int
    files: int
    unpacked_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the check found."""

    valid: bool
    message: str
    first: Json | None = None
    files_checked: int | None = None
    problems: int | None = None
    profile: Json | None = None
    sha256: str = ""
    bytes: int | None = None
    files: int | None = None


def survey(container: ContainerView) -> Survey | Failure:
    """The word of a survey that has ended."""
    told = _object(container.message) or {}
    listing, files = told.get("listing"), _count(told.get("files"))
    if container.exit_code != 0 or not _is_digest(listing) or files is None:
        return _failure(container, told)
    size, unpacked = _count(told.get("bytes")) or 0, _count(told.get("unpackedBytes"))
    if unpacked is None and told.get("archive") is True:
        unpacked = UNPACKED * size
    return Survey(
        listing=str(listing),
        revision=_text(told.get("revision"), 253) or str(listing)[:12],
        bytes=size,
        files=files,
        unpacked_bytes=unpacked,
    )


def pulled(container: ContainerView) -> Published | Failure:
    """The word of a pull that has ended."""
    told = _object(container.message) or {}
    size, files = _count(told.get("bytes")), _count(told.get("files"))
    if container.exit_code != 0 or not _is_digest(told.get("sha256")) or size is None or files is None:
        return _failure(container, told)
    return Published(sha256=str(told["sha256"]), bytes=size, files=files)


def checked(container: ContainerView, line: str) -> Verdict | Failure:
    """The word of a check that has ended; `line` is the last one of its log, which has room for the profile."""
    told = _object(container.message) or {}
    if container.exit_code != 0 or not isinstance(told.get("valid"), bool):
        return _failure(container, told)
    inside = (_object(line) or {}).get("check")
    more: Json = inside if isinstance(inside, dict) else {}
    first = more.get("first")
    return Verdict(
        valid=told["valid"],
        message=_text(told.get("error")),
        first=_finding(first) if isinstance(first, dict) else None,
        files_checked=_count(more.get("filesChecked")),
        problems=_count(more.get("problems")),
        profile=_profile(more.get("profile")),
        sha256=str(more["sha256"]) if _is_digest(more.get("sha256")) else "",
        bytes=_count(more.get("bytes")),
        files=_count(more.get("files")),
    )


def is_of_a_check(line: str) -> bool:
    """Whether it is the line in which a check tells all that it has found."""
    return isinstance((_object(line) or {}).get("check"), dict)


def progress(line: str) -> dict[str, Any]:
    """Fields of `status.pull` by the last line of a pull's log; empty for another line."""
    told = (_object(line) or {}).get("pull")
    if not isinstance(told, dict):
        return {}
    counts = {
        key: count
        for key in ("bytes", "totalBytes", "files", "totalFiles", "percent")
        if (count := _count(told.get(key))) is not None
    }
    if "percent" in counts:
        counts["percent"] = min(counts["percent"], 100)
    eta = _text(told.get("eta"), 64)
    return {**counts, **({"eta": eta} if eta else {})}


def _failure(container: ContainerView, told: Json) -> Failure:
    message = _text(told.get("error"))
    if message:
        return Failure(kind=_text(told.get("kind"), 32) or "crash", message=message)
    words = container.message.strip()[-_LONGEST:]
    if container.reason == "OOMKilled":
        words = (
            "it was killed for memory: raise its limit in the operator's settings (data). " + words
        ).strip()
    what = f"Container {container.name} ended with exit code {container.exit_code}"
    return Failure(
        kind="crash", message=f"{what}: {words or container.reason or 'no word is left'}"[:_LONGEST]
    )


def _profile(told: Any) -> Json | None:
    """What of a profile status can hold; nothing of one that has another shape."""
    if not isinstance(told, dict):
        return None
    for name, limit in (("columnProfiles", 128), ("classes", 128), ("splits", 16)):
        if isinstance(told.get(name), list):
            told[name] = told[name][:limit]
    try:
        read = Profile.model_validate(told)
    except ValidationError:
        return None
    return read.model_dump(by_alias=True, exclude_defaults=True)


def _finding(told: Json) -> Json:
    line = _count(told.get("line"))
    return {
        "path": _text(told.get("path"), 2048),
        **({"line": line} if line else {}),
        "message": _text(told.get("message"), 1024),
    }


def _object(text: str) -> dict[str, Any] | None:
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _text(value: Any, limit: int = _LONGEST) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
