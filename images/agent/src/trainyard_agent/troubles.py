"""What goes wrong with a store, told apart by what cures it.

Separate because every backend raises errors of its own, and what is done next (try again, give up) and what is said
depend on the kind alone. Called by everything that reads or writes.
"""

from __future__ import annotations

import errno
import re
from typing import Literal

Kind = Literal[
    "network",
    "forbidden",
    "missing",
    "full",
    "unreadable",
    "broken",
    "late",
    "fenced",
    "hostile",
    "mismatch",
    "changed",
    "empty",
    "unsupported",
    "absent",
]

#: More attempts at once do not help; somebody must change something.
LASTING: frozenset[Kind] = frozenset({"forbidden", "missing", "full"})

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_CODES = ("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507")
#: Parts of the codes by which S3 servers refuse keys; some of these come with 404, and as errors of no kind.
KEY_CODES = ("AccessKey", "UserNotFound", "Signature", "Token", "AccessDenied")
_FORBIDDEN_WORDS = ("credential", "unauthorized", "unauthenticated", "authentication")


_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@?#]*@")
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?'\"<>]*)\?[^\s'\"<>]*")


class Final(Exception):
    """What no store can help, so that nothing is asked again."""


class Trouble(Final):
    """A sentence for people, and its kind. Whoever raises it has tried again already, or knows that it is no use.

    `claimed` is the number of the attempt that has begun meanwhile, of one that is "fenced".
    """

    def __init__(self, kind: Kind, sentence: str, *, claimed: int | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.claimed = claimed


class ModelFailed(Trouble):
    """The base model `model` is not what it should be, which no other attempt can help."""

    def __init__(self, kind: Kind, sentence: str, *, model: str) -> None:
        super().__init__(kind, sentence)
        self.model = model


class Passing(Exception):
    """A trouble that is known already, and may pass: unlike a Trouble, it is worth another attempt."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.trouble = Trouble(kind, sentence)


def of(error: BaseException, *, place: str) -> Trouble:
    """What an error of a store, or of a volume, means. `place` is what users call the store."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, Passing):
        return error.trouble
    if isinstance(error, ImportError):
        return Trouble(
            "broken",
            f"The agent's image lacks what {place} needs ({brief(error)}): use that of the operator's release.",
        )
    code, status = s3_code(error), _status(error)
    if (isinstance(error, OSError) and error.errno in _FULL) or code in _FULL_CODES or status == 507:
        return Trouble(
            "full", f"{place} is full ({brief(error)}): make room there, or give the job another output."
        )
    refused = any(word in code for word in KEY_CODES) or _speaks_of_credentials(error)
    if isinstance(error, PermissionError) or status in (401, 403) or refused:
        return Trouble(
            "forbidden",
            f"{place} refuses us ({brief(error)}): check the Secret of its secretRef, or the rights of the pod's"
            " service account, to read, write, list and delete there.",
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError) or status == 404:
        return Trouble(
            "missing",
            f"{place} is not there ({brief(error)}): check the bucket's name, its region and the endpoint.",
        )
    return Trouble(
        "network",
        f"{place} cannot be reached ({brief(error)}): check the endpoint, the network and its policies.",
    )


def s3_code(error: BaseException) -> str:
    """The code in S3's answer, such as PreconditionFailed; s3fs hides it in the cause."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def brief(error: BaseException) -> str:
    """An error in at most 200 characters of one line, without what of a URL may be a credential."""
    text = without_credentials(" ".join(str(error).split())) or type(error).__name__
    if not isinstance(error, OSError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= 200 else f"{text[:197]}..."


def without_credentials(text: str) -> str:
    """A text without what of the addresses in it may be a credential."""
    return _QUERY.sub(r"\1?...", _USER.sub(r"\1", text))


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "code", "status"):
        value = getattr(error, name, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return int(value)
    return None


def _speaks_of_credentials(error: BaseException) -> bool:
    """Libraries that find no credentials, or none that work, raise errors of their own."""
    return any(word in type(error).__name__.lower() for word in _FORBIDDEN_WORDS)
