"""What shall be: the outcome of planning, executed by `cluster.execute`.

Separate so that planning and executing share nothing but these frozen shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.planning.observed import Memory
from trainyard.planning.podview import PodView


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """A Kubernetes Event to post once the status that it speaks of is written."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Entries of `status.callbacks` of one callback to send now, one after the other: the first that does not arrive
    ends it.
    """

    callback: str
    url: str
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Child:
    """An object other than a pod that a job has made: a Service, a PodGroup."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do now, in this order: annotations, labels and an owner are set, pods and what they need are created,
    status is written, finalizers are taken off, pods and then other children are deleted, Events are posted.

    Pods are deleted with `grace_seconds` from SIGTERM to SIGKILL, or what they were made with when it is None.
    `status` is the whole status as it shall read, or None for no write; `release` are pods whose verdict it holds or
    whose job is gone; `requeue_after` is in seconds; `follow` are pods whose log is to be followed; `ended` are pods
    whose trainer has ended; `make` is a Dataset to create, before status is written; `deliver` are callbacks to send,
    which nothing waits for; `own` is an ownerReference to add.
    """

    annotate: Mapping[str, str] = field(default_factory=dict)
    label: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Any] | None = None
    create: tuple[Mapping[str, Any], ...] = ()
    make: Mapping[str, Any] | None = None
    delete: tuple[PodView, ...] = ()
    grace_seconds: int | None = None
    release: tuple[PodView, ...] = ()
    remove: tuple[Child, ...] = ()
    status: Mapping[str, Any] | None = None
    announce: tuple[Announcement, ...] = ()
    requeue_after: float | None = None
    follow: tuple[PodView, ...] = ()
    ended: tuple[PodView, ...] = ()
    deliver: tuple[Delivery, ...] = ()
    memory: Memory = field(default_factory=Memory)
