"""Which keys belong to what: the pods of a job.

Separate because of its size: a dict of its own for each job would be several times that of the key in it, and most
jobs have one pod. Called by the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner")
_Member = TypeVar("_Member")


class Groups(Generic[_Owner, _Member]):
    """Members by owner, in the order in which they came."""

    def __init__(self) -> None:
        self._one: dict[_Owner, _Member] = {}
        self._more: dict[_Owner, dict[_Member, None]] = {}

    def add(self, owner: _Owner, member: _Member) -> None:
        """`member` belongs to `owner`; again is no harm."""
        more = self._more.get(owner)
        if more is not None:
            more[member] = None
        elif self._one.setdefault(owner, member) != member:
            self._more[owner] = {self._one.pop(owner): None, member: None}

    def discard(self, owner: _Owner, member: _Member) -> None:
        """`member` belongs to `owner` no longer; it need not have."""
        more = self._more.get(owner)
        if more is not None:
            more.pop(member, None)
            if not more:
                del self._more[owner]
        elif self._one.get(owner) == member:
            del self._one[owner]

    def of(self, owner: _Owner) -> Iterable[_Member]:
        """The members of `owner`."""
        if owner in self._one:
            return (self._one[owner],)
        return self._more.get(owner, ())

    def owners(self) -> list[_Owner]:
        """Those that have members."""
        return [*self._one, *self._more]
