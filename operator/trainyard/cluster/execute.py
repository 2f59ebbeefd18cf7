"""Carrying a plan out: what is created comes first, then status is written, and what has to go is deleted; finalizers
are taken off and Events posted afterwards, behind other objects' turns.

Separate because it is the only place that writes. Each step may have been done before (a crash, a lost answer), so
each is idempotent: names are derived, status carries the resourceVersion that it was planned on, deletions the UID.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from trainyard import metrics
from trainyard.api import names
from trainyard.cluster import events, failpoints, resources
from trainyard.cluster.afterwards import Afterwards
from trainyard.cluster.cache import POD, Cache
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.observed import Refusal
from trainyard.planning.plan import Announcement, Child, Plan
from trainyard.planning.podview import PodView

Json = dict[str, Any]

logger = logging.getLogger(__name__)

#: Longer than a refused pod ever waits for its next try.
_SAME_REFUSAL_SECONDS = 180.0
_REFUSED = frozenset({400, 403, 413, 422})
#: A field that this cluster does not know (a misspelt one of a template) is refused and not dropped.
_STRICT = {"fieldValidation": "Strict"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a plan: the refusal of a pod if there was one, and what the first deletion that failed failed with.
    The status is written even so; who called raises it once that is taken note of.
    """

    refusal: Refusal | None = None
    failure: Exception | None = None


class StaleError(Exception):
    """The object has changed since it was observed: observe again."""


class Executor:
    """Executes plans of any kind against one API server.

    `answered` is called with the kind of each object that was written and the object as it is then: it stores it in the
    cache, and sees to it that the echo rings no bell.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        answered: Callable[[str, Json], None],
        afterwards: Afterwards,
        failpoint: failpoints.Pass = failpoints.never,
    ) -> None:
        self._client = client
        self.afterwards = afterwards
        self._cache = cache
        self._answered = answered
        self.failpoint = failpoint

    async def execute(self, plan: Plan, raw: Mapping[str, Any], *, refusal: Refusal | None = None) -> Outcome:
        """Carry out `plan` for the object `raw` that it was made for; `refusal` is the last one of its pod.

        Raises StaleError when the object changed meanwhile, ApiError or aiohttp.ClientError when a pod could not be
        created or the status not be written. What fails after that keeps none of the rest from being done.
        """
        kind, metadata = raw["kind"], raw["metadata"]
        namespace = metadata["namespace"]
        if change := _metadata_change(plan, metadata):
            raw = await self._patch_metadata(kind, raw, change)
        for body in plan.create:
            make = self._create if body["kind"] == POD else self._create_child
            refused = await make(body, metadata["uid"], refusal)
            if refused is not None:
                return Outcome(refusal=refused)
        if plan.make is not None and (refused := await self._make_dataset(plan.make, refusal)) is not None:
            return Outcome(refusal=refused)
        written = False
        if plan.status is not None:
            written = await self._write_status(kind, raw, plan.status)
        for view in plan.release:
            self._release_afterwards(namespace, view)
        undeleted = await _first_failure(
            self._delete_pod(namespace, view, plan.grace_seconds) for view in plan.delete
        )
        unremoved = await _first_failure(self._remove_child(namespace, child) for child in plan.remove)
        if written or plan.status is None:
            for announcement in plan.announce:
                self._announce(raw, announcement)
        return Outcome(failure=undeleted or unremoved)

    async def look_up_pod(self, namespace: str, name: str, job_uid: str) -> None:
        """Bring the cache up to date on a pod of a job that no watch shows; one GET, a rare path.

        NB: a pod whose labels somebody took off leaves the watch and goes on running: a second one beside it would
        be a second writer.
        """
        known = self._cache.pod(namespace, name)
        there = await self._pod(namespace, name)
        if there is not None and PodView.from_raw(there).job_uid == job_uid:
            self._cache.restore(POD, there)
        elif known is not None:
            self._cache.remove(POD, namespace=namespace, name=name, uid=known.uid)

    async def release(self, namespace: str, views: Iterable[PodView]) -> Exception | None:
        """Take our finalizer, and nobody else's, off each of these pods; what the first failure was."""
        return await _first_failure(self._release(namespace, view) for view in views)

    def _release_afterwards(self, namespace: str, view: PodView) -> None:
        async def release() -> None:
            known = self._cache.pod(namespace, view.name)
            if known is None or known.uid != view.uid or known.finalized:
                await self._release(namespace, view)

        self.afterwards.add(f"Release of pod {namespace}/{view.name} ({view.uid})", release, first=True)

    async def _release(self, namespace: str, view: PodView) -> None:
        """One that is gone, or another of its name, is as good."""
        body = {
            "metadata": {
                "uid": view.uid,
                "$deleteFromPrimitiveList/finalizers": [names.VERDICT_FINALIZER],
            }
        }
        self.failpoint("before-pod-release")
        try:
            answer = await self._client.strategic_merge_patch(resources.path(POD, namespace, view.name), body)
        except ApiError as error:
            # NB: another UID is told by 409 or 422, and so are a conflict and a policy's denial.
            if error.status not in (404, 409, 422):
                raise
            there = None if error.status == 404 else await self._pod(namespace, view.name)
            if there is not None and there["metadata"]["uid"] == view.uid:
                raise
            self._cache.remove(POD, namespace=namespace, name=view.name, uid=view.uid)
            return
        self.failpoint("after-pod-release")
        self._answered(POD, answer)

    async def _create(self, pod: Mapping[str, Any], job_uid: str, last: Refusal | None) -> Refusal | None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.failpoint("before-pod-create")
        try:
            created = await self._client.post(resources.path(POD, namespace), dict(pod), _STRICT)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return await self._already_there(namespace, name, job_uid, last)
            # NB: a webhook that does not answer comes as 500, and will for as long as it is broken.
            if error.status in _REFUSED or "failed calling webhook" in error.message:
                return _refusal(error.status, error.message, last)
            raise
        self.failpoint("after-pod-create")
        metrics.PODS_CREATED.inc()
        self._answered(POD, created)
        return None

    async def _create_child(
        self, body: Mapping[str, Any], job_uid: str, last: Refusal | None
    ) -> Refusal | None:
        """One that is there already and the job's is as good; what cannot be made is told as a pod's refusal is."""
        namespace, name, kind = body["metadata"]["namespace"], body["metadata"]["name"], body["kind"]
        where = resources.child_path(body["apiVersion"], kind, namespace)
        self.failpoint("before-child-create")
        try:
            await self._client.post(where, dict(body), _STRICT)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return await self._child_there(f"{where}/{name}", kind, job_uid, last)
            if error.status == 404:
                missing = f"{kind} of {body['apiVersion']} is not served by this cluster: {error.message}"
                return _refusal(404, missing, last)
            if error.status in _REFUSED or "failed calling webhook" in error.message:
                return _refusal(error.status, error.message, last)
            raise
        self.failpoint("after-child-create")
        return None

    async def _make_dataset(self, body: Mapping[str, Any], last: Refusal | None) -> Refusal | None:
        """One of its name is left as it is; whose it is, the watch tells, which rings for a new one as well."""
        self.failpoint("before-dataset-create")
        try:
            await self._client.post(
                resources.path("Dataset", body["metadata"]["namespace"]), dict(body), _STRICT
            )
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return None
            if error.status in _REFUSED or "failed calling webhook" in error.message:
                return _refusal(error.status, error.message, last)
            raise
        self.failpoint("after-dataset-create")
        return None

    async def _child_there(self, where: str, kind: str, job_uid: str, last: Refusal | None) -> Refusal | None:
        try:
            there = (await self._client.get(where))["metadata"]
        except ApiError as error:
            if error.status == 404:
                raise StaleError(f"{where} has just gone") from error
            raise
        mine = any(owner.get("uid") == job_uid for owner in there.get("ownerReferences") or [])
        if not mine:
            return _refusal(409, f"{kind} {there['namespace']}/{there['name']} exists", last)
        if there.get("deletionTimestamp"):
            raise StaleError(f"{where} is being deleted")
        return None

    async def _remove_child(self, namespace: str, child: Child) -> None:
        self.failpoint("before-child-remove")
        where = resources.child_path(child.api_version, child.kind, namespace)
        try:
            await self._client.delete(f"{where}/{quote(child.name, safe='')}", {})
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def set_finalizers(self, raw: Json, finalizers: Iterable[str]) -> Json:
        """The object with these finalizers and no other; raises StaleError when it has changed meanwhile."""
        return await self._patch_metadata(raw["kind"], raw, {"finalizers": list(finalizers)})

    async def _patch_metadata(self, kind: str, raw: Mapping[str, Any], change: Json) -> Json:
        """The object as it is afterwards."""
        metadata = raw["metadata"]
        fence = {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}
        body = {"metadata": {**fence, **change}}
        self.failpoint("before-annotate")
        try:
            answer = await self._client.merge_patch(
                resources.path(kind, metadata["namespace"], metadata["name"]), body
            )
        except ApiError as error:
            if error.status in (404, 409):
                raise StaleError(str(error)) from error
            raise
        self.failpoint("after-annotate")
        self._answered(kind, answer)
        return answer

    async def _already_there(
        self, namespace: str, name: str, job_uid: str, last: Refusal | None
    ) -> Refusal | None:
        there = await self._pod(namespace, name)
        if there is None:
            raise StaleError(f"pod {name} has just gone")
        view = PodView.from_raw(there)
        if view.job_uid == job_uid:
            self._cache.restore(POD, there)
            return None
        if view.watched:
            self._cache.store(POD, there)
            raise StaleError(f"pod {name} is of a former job")
        return _refusal(409, f"pod {namespace}/{name} exists", last)

    async def _pod(self, namespace: str, name: str) -> Json | None:
        try:
            return await self._client.get(resources.path(POD, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

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
        self.failpoint("before-status")
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
        self.failpoint("after-status")
        self._answered(kind, answer)
        return True

    async def _delete_pod(self, namespace: str, view: PodView, grace_seconds: int | None) -> None:
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": view.uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        self.failpoint("before-pod-delete")
        try:
            await self._client.delete(resources.path(POD, namespace, view.name), body)
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another pod has the name: both are what was wanted
                raise
        self.failpoint("after-pod-delete")

    def _announce(self, raw: Mapping[str, Any], announcement: Announcement) -> None:
        body = events.event(raw, announcement)

        async def post() -> None:
            self.failpoint("before-event")
            if await events.post(self._client, body):
                self.failpoint("after-event")

        self.afterwards.add(f"Event {body['metadata']['name']}", post)


async def _first_failure(works: Iterable[Awaitable[None]]) -> Exception | None:
    """Do all of it, one after the other; what the first that failed failed with."""
    first: Exception | None = None
    for work in works:
        try:
            await work
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            first = first or error
    return first


def _metadata_change(plan: Plan, metadata: Mapping[str, Any]) -> Json:
    """The merge patch of annotations, labels and owners that a plan asks for; empty where it asks for none."""
    change: Json = {"annotations": dict(plan.annotate), "labels": dict(plan.label)}
    if plan.own is not None:
        # NB: the list as a whole; the fence keeps what others have added meanwhile.
        change["ownerReferences"] = [*(metadata.get("ownerReferences") or ()), dict(plan.own)]
    return {key: value for key, value in change.items() if value}


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
    if last is not None and now - last.last_at > _SAME_REFUSAL_SECONDS:
        last = None  # something else was waited for since
    return Refusal(
        status=status,
        message=message[:1500],
        first_at=last.first_at if last is not None else now,
        last_at=now,
        count=last.count + 1 if last is not None else 1,
    )
