"""Carrying a plan out: pods are created, status is written, finalizers are taken off, pods are deleted, Events are
posted, in this order.

Separate because it is the only place that writes. Each step may have been done before (a crash, a lost answer), so
each is idempotent: names are derived, status carries the resourceVersion that it was planned on, deletions the UID.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from trainyard import metrics
from trainyard.api import names
from trainyard.cluster import failpoints, resources
from trainyard.cluster.cache import POD, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.observed import PodView, Refusal
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.times import stamp

Json = dict[str, Any]

logger = logging.getLogger(__name__)

_REFUSED = frozenset({400, 403, 413, 422})
#: A field that this cluster does not know (a misspelt one of a template) is refused and not dropped.
_STRICT = {"fieldValidation": "Strict"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a plan: the refusal of a pod if there was one."""

    refusal: Refusal | None = None


class StaleError(Exception):
    """The object has changed since it was observed: observe again."""


class Executor:
    """Executes plans of any kind against one API server, and stores the answers in the cache.

    `written` is called with the key of each object whose status was written: its echo rings no bell.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        written: Callable[[Key], None],
        failpoint: failpoints.Pass = failpoints.never,
    ) -> None:
        self._client = client
        self._cache = cache
        self._written = written
        self._failpoint = failpoint

    async def execute(self, plan: Plan, raw: Mapping[str, Any], *, refusal: Refusal | None = None) -> Outcome:
        """Carry out `plan` for the object `raw` that it was made for; `refusal` is the last one of its pod.

        Raises StaleError when the object changed meanwhile, ApiError or aiohttp.ClientError when a write failed.
        """
        kind, metadata = raw["kind"], raw["metadata"]
        for pod in plan.create:
            refused = await self._create(pod, metadata["uid"], refusal)
            if refused is not None:
                return Outcome(refusal=refused)
        written = False
        if plan.status is not None:
            written = await self._write_status(kind, raw, plan.status)
        for view in plan.release:
            await self.release(metadata["namespace"], view)
        for view in plan.delete:
            await self._delete_pod(metadata["namespace"], view)
        if written or plan.status is None:
            for announcement in plan.announce:
                await self._announce(raw, announcement)
        return Outcome()

    async def pod_is_gone(self, namespace: str, name: str, job_uid: str) -> bool:
        """Whether a pod that ran and that no watch shows any more is really gone; one GET, a rare path.

        NB: a pod whose labels somebody took off leaves the watch and goes on running: a second one beside it would
        be a second writer. One that is there is stored in the cache.
        """
        try:
            there = await self._client.get(resources.path(POD, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return True
            raise
        if job_uid not in {owner.get("uid") for owner in there["metadata"].get("ownerReferences") or []}:
            return True
        self._cache.store(POD, there)
        return False

    async def release(self, namespace: str, view: PodView) -> None:
        """Take our finalizer off a pod, and nobody else's. One that is gone, or another of its name, is as good."""
        body = {
            "metadata": {
                "uid": view.uid,
                "$deleteFromPrimitiveList/finalizers": [names.VERDICT_FINALIZER],
            }
        }
        self._failpoint("before-pod-release")
        try:
            answer = await self._client.strategic_merge_patch(resources.path(POD, namespace, view.name), body)
        except ApiError as error:
            # NB: 422 is "metadata.uid: field is immutable", which says 409 as well in other versions.
            if error.status not in (404, 409, 422):
                raise
            if error.status == 404:
                self._cache.remove(POD, namespace=namespace, name=view.name, uid=view.uid)
            return
        self._failpoint("after-pod-release")
        self._cache.store(POD, answer)

    async def _create(self, pod: Mapping[str, Any], job_uid: str, last: Refusal | None) -> Refusal | None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self._failpoint("before-pod-create")
        try:
            created = await self._client.post(resources.path(POD, namespace), dict(pod), _STRICT)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return await self._already_there(namespace, name, job_uid, last)
            if error.status in _REFUSED:
                return _refusal(error.status, error.message, last)
            raise
        self._failpoint("after-pod-create")
        metrics.PODS_CREATED.inc()
        self._cache.store(POD, created)
        return None

    async def _already_there(
        self, namespace: str, name: str, job_uid: str, last: Refusal | None
    ) -> Refusal | None:
        try:
            there = await self._client.get(resources.path(POD, namespace, name))
        except ApiError as error:
            if error.status == 404:
                raise StaleError(f"pod {name} has just gone") from error
            raise
        owners = {owner.get("uid") for owner in there["metadata"].get("ownerReferences") or []}
        ours = (there["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
        if job_uid in owners or ours:
            self._cache.store(POD, there)
            if job_uid in owners:
                return None
            raise StaleError(f"pod {name} is of a former job")
        return _refusal(409, f"pod {namespace}/{name} exists", last)

    async def _write_status(self, kind: str, raw: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
        metadata = raw["metadata"]
        change = merge_patch(raw.get("status") or {}, status)
        if not change:
            return False
        body = {
            "metadata": {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]},
            "status": change,
        }
        where = resources.path(kind, metadata["namespace"], metadata["name"], "status")
        self._failpoint("before-status")
        try:
            answer = await self._client.merge_patch(where, body)
        except ApiError as error:
            if error.status == 409:
                raise StaleError(str(error)) from error
            if error.status == 404:
                self._cache.remove(
                    kind, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]
                )
                raise StaleError(f"{kind} {metadata['name']} is gone") from error
            raise
        self._failpoint("after-status")
        self._cache.store(kind, answer)
        self._written(Key(kind, metadata["namespace"], metadata["name"]))
        return True

    async def _delete_pod(self, namespace: str, view: PodView) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": view.uid}}
        self._failpoint("before-pod-delete")
        try:
            await self._client.delete(resources.path(POD, namespace, view.name), body)
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another pod has the name: both are what was wanted
                raise
        self._failpoint("after-pod-delete")

    async def _announce(self, raw: Mapping[str, Any], announcement: Announcement) -> None:
        """Post an Event. One that cannot be posted is logged and lost; status has said the same."""
        metadata, now = raw["metadata"], time.time()
        body: Json = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{time.time_ns():x}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": raw["apiVersion"],
                "kind": raw["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": announcement.type,
            "reason": announcement.reason,
            "message": announcement.message,
            "source": {"component": "trainyard"},
            "firstTimestamp": stamp(now),
            "lastTimestamp": stamp(now),
            "count": 1,
        }
        self._failpoint("before-event")
        try:
            await self._client.post(resources.path("Event", metadata["namespace"]), body)
            self._failpoint("after-event")
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            detail = str(error) or type(error).__name__
            logger.warning("Event %s of %s was not posted: %s", announcement.reason, metadata["name"], detail)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`; empty when they are equal."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def _refusal(status: int, message: str, last: Refusal | None) -> Refusal:
    now = time.time()
    return Refusal(
        status=status,
        message=message[:1500],
        first_at=last.first_at if last is not None else now,
        last_at=now,
        count=last.count + 1 if last is not None else 1,
    )
