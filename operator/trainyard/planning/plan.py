"""What shall be: the outcome of planning, executed by `cluster.execute`.

Separate so that planning and executing share nothing but these frozen shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.planning.observed import Memory, PodView


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """A Kubernetes Event to post once the status that it speaks of is written."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do now. Pods are created or deleted first, then status is written, then Events are posted.

    `status` is the whole status as it shall read, or None for no write; `requeue_after` is in seconds;
    `follow` are pods whose log is to be followed; `ended` are pods whose trainer has ended.
    """

    create: tuple[Mapping[str, Any], ...] = ()
    delete: tuple[PodView, ...] = ()
    status: Mapping[str, Any] | None = None
    announce: tuple[Announcement, ...] = ()
    requeue_after: float | None = None
    follow: tuple[PodView, ...] = ()
    ended: tuple[PodView, ...] = ()
    memory: Memory = field(default_factory=Memory)
