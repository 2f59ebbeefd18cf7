"""Looking up, before a plan, what it may need and no watch tells: each thing seldom, and nothing for a job that does
as it should.

Separate because its only purpose is the pace: `planning.lookups` says what, `cluster.lookups` asks. Called by
`reconcile.trainingjob`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections import defaultdict

import aiohttp

from trainyard.cluster import lookups as cluster
from trainyard.cluster.client import ApiError, Client
from trainyard.planning import lookups
from trainyard.planning.lookedup import NodeView, PodEvent
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.times import sooner

logger = logging.getLogger(__name__)

#: The warnings of one pod are read no more often than this; the time doubles up to the longest.
EVENTS_SECONDS = 15.0
EVENTS_LONGEST_SECONDS = 60.0
#: Those of all pods together no more often than this, as the server goes through a namespace's Events for each.
EVENTS_APART_SECONDS = 0.1
#: One node is looked at no more often than this, however many jobs had pods on it.
NODE_SECONDS = 10.0
_NODE_FORGOTTEN_SECONDS = 600.0


@dataclasses.dataclass
class _Warnings:
    """Of one pod; `its_turn` when nobody else's are read at the time they are due."""

    due: float
    its_turn: bool = False
    apart: float = EVENTS_SECONDS
    events: tuple[PodEvent, ...] = ()


@dataclasses.dataclass
class _Node:
    asked_at: float | None = None
    view: NodeView | None = None
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)


class LookUps:
    """Holds what was found last, by pod of a job and by node."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._warnings: dict[str, dict[str, _Warnings]] = {}
        self._nodes: defaultdict[str, _Node] = defaultdict(_Node)
        self._next_events_at = 0.0
        self._told_of_hidden = False

    async def complete(self, observed: ObservedJob) -> tuple[ObservedJob, float | None]:
        """`observed` with what there is to look up, and seconds until there may be more."""
        now = time.time()
        wanted = lookups.wanted(observed, now=now)
        again = wanted.again
        if not wanted.events_of:
            self.forget(observed.uid)
        if not (wanted.events_of or wanted.nodes):
            return observed, again
        events: dict[str, tuple[PodEvent, ...]] = {}
        for pod in wanted.events_of:
            found = await self._warnings_of(observed, pod, now=now)
            events[pod.uid] = found.events
            again = sooner(again, max(found.due - now, EVENTS_APART_SECONDS))
        nodes: dict[str, NodeView] = {}
        for name in wanted.nodes:
            view = await self._node(name)
            again = sooner(again, NODE_SECONDS)
            if view is not None:
                nodes[name] = view
        return dataclasses.replace(observed, events=events, nodes=nodes), again

    def forget(self, job_uid: str) -> None:
        """No pod of the job is stuck any longer."""
        self._warnings.pop(job_uid, None)

    async def _warnings_of(self, observed: ObservedJob, pod: PodView, *, now: float) -> _Warnings:
        of_job = self._warnings.setdefault(observed.uid, {})
        for gone in of_job.keys() - {other.uid for other in observed.pods}:
            del of_job[gone]
        known = of_job.setdefault(pod.uid, _Warnings(due=now))
        if now < known.due:
            return known
        if not known.its_turn and now < self._next_events_at:
            # NB: a turn for each, as all who come back for the same one would look again and again, most for nothing.
            known.its_turn = self._next_events_at < now + EVENTS_LONGEST_SECONDS
            known.due = self._next_events_at if known.its_turn else now + EVENTS_LONGEST_SECONDS
            self._next_events_at += EVENTS_APART_SECONDS if known.its_turn else 0.0
            return known
        if not known.its_turn:
            self._next_events_at = now + EVENTS_APART_SECONDS
        known.its_turn = False
        known.due, known.apart = now + known.apart, min(2 * known.apart, EVENTS_LONGEST_SECONDS)
        try:
            known.events = await cluster.warnings_of(
                self._client, namespace=observed.namespace, pod_uid=pod.uid
            )
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            logger.warning(
                "Events of pod %s/%s were not read: %s", observed.namespace, pod.name, _said(error)
            )
        return known

    async def _node(self, name: str) -> NodeView | None:
        """The node as it was at most so long ago; None when it could not be asked for."""
        self._forget_nodes()
        known = self._nodes[name]
        async with known.lock:
            now = time.time()
            if known.asked_at is not None and now < known.asked_at + NODE_SECONDS:
                return known.view
            known.asked_at, known.view = now, None
            try:
                known.view = await cluster.node(self._client, name)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("Node %s was not looked at: %s", name, _said(error))
        if known.view is not None and known.view.state == "hidden" and not self._told_of_hidden:
            self._told_of_hidden = True
            logger.warning("Nodes may not be looked at, so the loss of one is told later: see rbac.nodes.")
        return known.view

    def _forget_nodes(self) -> None:
        long_ago = time.time() - _NODE_FORGOTTEN_SECONDS
        for name, node in list(self._nodes.items()):
            if node.asked_at is not None and node.asked_at < long_ago and not node.lock.locked():
                del self._nodes[name]


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
