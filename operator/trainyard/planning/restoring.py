"""A job that comes back from a backup: it has a new UID and no status, and what it stored lies under the old one.

Separate because it is remembered outside of status, by an annotation of the job that a backup keeps. A job that is
applied again from its manifest has none and begins anew.
"""

from __future__ import annotations

from trainyard.api import names
from trainyard.planning.observed import ObservedJob

_KEPT = 8


def origins(annotation: str, *, name: str, uid: str) -> tuple[str, ...]:
    """The UIDs that the job `name` had before this one, the newest first; none by an annotation of another job."""
    whose, _, listed = annotation.partition("/")
    if whose != name:
        return ()
    uids = [
        part for part in listed.split(",") if part and part != uid and len(part) <= 64 and _is_plain(part)
    ]
    return tuple(reversed(uids[-_KEPT:]))


def marks(observed: ObservedJob) -> dict[str, str]:
    """The annotation to set before the first pod of a job with an output is made; empty when it is there."""
    if observed.spec is None or observed.spec.output is None:
        return {}
    uids = [*reversed(observed.origins[: _KEPT - 1]), observed.uid]
    wanted = f"{observed.name}/{','.join(uids)}"
    return {} if observed.store_uids == wanted else {names.STORE_UIDS: wanted}


def _is_plain(uid: str) -> bool:
    """NB: it becomes part of a path."""
    return all(letter.isalnum() or letter == "-" for letter in uid)
