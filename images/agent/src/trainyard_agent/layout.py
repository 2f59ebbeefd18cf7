"""Where everything lies below `<store>/<uid>/` (docs/artifacts.md).

Separate because what one attempt writes, another one reads. Called by everything that names a path in a store.
"""

from __future__ import annotations

import re

RESULT = "result.json"
ARTIFACTS = "artifacts.json"
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"
INDEX = "index.json"
#: Lists what a trainer without manifests has left in its checkpoint folder.
WHOLE = "files.json"

EPOCH = re.compile(r"epoch-(\d{6,})")
_RANK = re.compile(r"rank-([1-9]\d*)")
_ATTEMPT = re.compile(r"attempt-(\d+)")
_CLAIM = re.compile(r"attempt-(\d+)\.json")
_BROKEN = re.compile(r"broken-(.+)-attempt-(\d+)-epoch-(\d+)\.json")


def result(uid: str) -> str:
    return f"{uid}/{RESULT}"


def claims(uid: str) -> str:
    return f"{uid}/claims"


def claim(uid: str, attempt: int) -> str:
    return f"{claims(uid)}/attempt-{attempt}.json"


def claimed(name: str) -> int | None:
    """The attempt of a file in the folder of claims."""
    found = _CLAIM.fullmatch(name)
    return int(found[1]) if found else None


def broken(uid: str, *, of: str, attempt: int, epoch: int) -> str:
    """The mark on a checkpoint that did not stand its check, `of` a UID that is the job's or one of its origins."""
    return f"{claims(uid)}/broken-{of}-attempt-{attempt}-epoch-{epoch}.json"


def marked(name: str) -> tuple[str, int, int] | None:
    """UID, attempt and epoch of a mark in the folder of claims."""
    found = _BROKEN.fullmatch(name)
    return (found[1], int(found[2]), int(found[3])) if found else None


def attempt(uid: str, number: int, *, rank: int = 0) -> str:
    """What one rank of an attempt writes below; of rank 0 it is the attempt's own folder."""
    return f"{uid}/attempt-{number}" + (f"/rank-{rank}" if rank else "")


def attempt_of(name: str) -> int | None:
    """The attempt whose folder in a job's has this name; None for any other name."""
    found = _ATTEMPT.fullmatch(name)
    return int(found[1]) if found else None


def rank(name: str) -> int | None:
    """The rank whose folder in an attempt's has this name; None for any other name, and for rank 0, which has none."""
    found = _RANK.fullmatch(name)
    return int(found[1]) if found else None


def checkpoints(uid: str, number: int, *, rank: int = 0) -> str:
    return f"{attempt(uid, number, rank=rank)}/{CHECKPOINTS}"


def index(uid: str, number: int) -> str:
    return f"{checkpoints(uid, number)}/{INDEX}"


def epoch(uid: str, number: int, epoch: int, *, rank: int = 0) -> str:
    return f"{checkpoints(uid, number, rank=rank)}/{epoch_name(epoch)}"


def epoch_name(epoch: int) -> str:
    return f"epoch-{epoch:06d}"


def epoch_of(name: str) -> int | None:
    found = EPOCH.fullmatch(name)
    return int(found[1]) if found else None
