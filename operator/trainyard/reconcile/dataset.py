"""Reconciling a Dataset: observe, plan, execute.

Separate from the loop because observing is the kind's own. What no watch tells (a claim, the last line of a log) is
asked for as long as a pull goes on, and of a dataset at rest seldom: datasets are few.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from trainyard.api import names
from trainyard.api.dataset import DatasetSpec
from trainyard.cluster import dataclaims, lookups
from trainyard.cluster.cache import DATASET, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.planning import dataends, datapods, uris, useddatasets
from trainyard.planning.dataclaims import ClaimView
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.datapods import DataRules
from trainyard.planning.dataset import plan_dataset
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.observed import Refusal
from trainyard.planning.podview import PodView
from trainyard.planning.support import not_yet_supported
from trainyard.reconcile import specs
from trainyard.reconcile.references import References

logger = logging.getLogger(__name__)

Json = dict[str, Any]

#: A pod that has been coming up for so long is asked about.
_STUCK_SECONDS = 10.0
_IN_WORK = ("starting", "in_progress")


class DatasetReconciler:
    """Holds what the API server said of claims and pods that it refused, by the Dataset's UID."""

    def __init__(
        self, *, client: Client, cache: Cache, executor: Executor, references: References, rules: DataRules
    ) -> None:
        self._client = client
        self._cache = cache
        self._executor = executor
        self._references = references
        self._rules = rules
        self._refused: dict[str, str] = {}
        self._refusals: dict[str, Refusal] = {}
        self._uids: dict[Key, str] = {}
        self._jobs_known = False

    async def reconcile(self, key: Key) -> float | None:
        """One look; seconds until the next, or None when only a doorbell brings it."""
        raw = self._cache.get(key)
        uid = raw["metadata"]["uid"] if raw is not None else ""
        if (former := self._uids.get(key, uid)) != uid:
            self._refused.pop(former, None)
            self._refusals.pop(former, None)
        if raw is None:
            self._uids.pop(key, None)
            self._references.set(key, set())
            return None  # NB: what is left of it goes by its owner references
        self._uids[key] = uid
        observed = await self._observe(key, raw)
        self._references.set(key, _waited_for(key, observed))
        found = plan_dataset(observed, now=time.time(), rules=self._rules)
        raw, grown = await self._grow(found, raw)
        refused = ""
        for step in found.claims:
            refused = (
                await dataclaims.do(
                    self._client, key.namespace, step, uid=uid, failpoint=self._executor.failpoint
                )
                or refused
            )
        if refused:
            news = uid not in self._refused
            self._refused[uid] = refused
            if news:
                return 0.0  # NB: it is told by the next look; later ones find it told already
        else:
            self._refused.pop(uid, None)
        outcome = await self._executor.execute(found.plan, raw, refusal=observed.refusal)
        if outcome.refusal is not None:
            self._refusals[uid] = outcome.refusal
            return 0.0
        if found.plan.create:
            self._refusals.pop(uid, None)
        if outcome.failure is not None:
            raise outcome.failure
        if found.finalizers is not None and not grown:
            await self._executor.set_finalizers(raw, found.finalizers)
        return found.plan.requeue_after

    async def _grow(self, found: DatasetPlan, raw: Json) -> tuple[Json, bool]:
        """Finalizers that are to be set come before what they are to keep."""
        there = raw["metadata"].get("finalizers") or []
        if found.finalizers is None or len(found.finalizers) <= len(there):
            return raw, False
        return await self._executor.set_finalizers(raw, found.finalizers), True

    async def _observe(self, key: Key, raw: Json) -> ObservedDataset:
        metadata, status = raw["metadata"], raw.get("status") or {}
        annotations = metadata.get("annotations") or {}
        spec, problem = specs.read(DatasetSpec, raw)
        pods = self._cache.pods_of(metadata["uid"])
        deleting = bool(metadata.get("deletionTimestamp"))
        looked_up = {}
        if spec is not None and not deleting:  # NB: whatever is wrong with its claims, it can go
            looked_up = await self._looked_up(key, spec, status, annotations, pods)
        # NB: last, as jobs have gone on while the API server was asked.
        users = self._users(key, status)
        return ObservedDataset(
            namespace=key.namespace,
            name=key.name,
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            deleting=deleting,
            status=status,
            spec=spec,
            spec_error=problem,
            unsupported=not_yet_supported("Dataset", raw.get("spec") or {}) if spec is not None else None,
            finalizers=tuple(metadata.get("finalizers") or ()),
            refresh_requested_at=str(annotations.get(names.REFRESH_REQUESTED_AT) or "")[:64],
            upload=str(annotations.get(names.UPLOAD) or ""),
            lineage=str(annotations.get(names.LINEAGE) or ""),
            pods=pods,
            refusal=self._refusals.get(metadata["uid"]),
            users=tuple(users),
            used_claims=frozenset(claim for claims in users.values() for claim in claims),
            **looked_up,
        )

    async def _looked_up(
        self, key: Key, spec: DatasetSpec, status: Json, annotations: Json, pods: tuple[PodView, ...]
    ) -> Json:
        """What no watch tells."""
        pull = status.get("pull") or {}
        source = spec.source
        uploaded = annotations.get(names.UPLOAD) if source is not None and source.upload is not None else None
        mounted = _mounted_claim(source.uri if source is not None else None, uploaded)
        there = await self._claim(key.namespace, mounted) if mounted else None
        in_work = pull.get("state") in _IN_WORK
        ours = dataends.claim_to_look_at(status)
        claim = await self._claim(key.namespace, ours) if ours and not mounted else None
        newest = max(pods, key=lambda pod: pod.attempt, default=None) if in_work else None
        lines, events = {}, {}
        if newest is not None:
            lines[newest.uid] = await self._last_line(key.namespace, newest)
            events[newest.uid] = await self._events(key.namespace, newest)
        return {
            "claim_exists": there is not None and not there.deleting,
            "claim": claim,
            "claim_refused": self._refused.get(self._cache.uid(key) or "", ""),
            "puller_lives": claim is not None and self._pulls(key, claim),
            "last_lines": lines,
            "events": events,
        }

    def _users(self, key: Key, status: Json) -> dict[str, tuple[str, ...]]:
        """Unfinished jobs that have begun with data of this Dataset, with the claims that hold it."""
        self._know_jobs()
        ours = {one.get("claim") for one in status.get("held") or []}
        ours |= {dataends.own_claim(str(status.get("uri") or ""))} - {""}
        found = {}
        for job in self._references.to(key):
            if job.kind != TRAINING_JOB or self._cache.finished(job):
                continue
            raw = self._cache.get(job)
            if raw is None:
                continue
            pods = self._cache.pods_of(raw["metadata"]["uid"])
            used = useddatasets.claims(raw.get("status") or {}, pods, key.name) & ours
            if used:
                found[job.name] = tuple(sorted(str(claim) for claim in used))
        return found

    def _know_jobs(self) -> None:
        """Once: what jobs have begun with before this operator did. NB: Datasets are looked at before the jobs that
        use them, and would let go of what nobody refers to yet.
        """
        if self._jobs_known:
            return
        self._jobs_known = True
        for job in self._cache.keys(TRAINING_JOB):
            raw = self._cache.get(job) if not self._cache.finished(job) else None
            if raw is None or self._references.of(job):
                continue
            used = useddatasets.recorded(raw.get("status") or {}, self._cache.pods_of(raw["metadata"]["uid"]))
            self._references.set(job, {Key(DATASET, job.namespace, name) for name in used})

    def _pulls(self, key: Key, claim: ClaimView) -> bool:
        """Whether the Dataset that the claim names still pulls onto it."""
        if not self._cache.lives(claim.puller):
            return False
        for owner in claim.owners:
            if owner.get("uid") == claim.puller:
                other = self._cache.get(Key(DATASET, key.namespace, str(owner.get("name"))))
                pull = ((other or {}).get("status") or {}).get("pull") or {}
                leaving = other is None or other["metadata"].get("deletionTimestamp")
                return not leaving and pull.get("claim") == claim.name and pull.get("state") in _IN_WORK
        return False

    async def _claim(self, namespace: str, name: str) -> ClaimView | None:
        return await dataclaims.look(self._client, namespace, name)

    async def _last_line(self, namespace: str, pod: PodView) -> str:
        """Of the container that pulls, or of the check when it has ended; empty where there is nothing to read."""
        container = None
        if any(c.name == names.PULL_CONTAINER and c.state == "running" for c in pod.init):
            container = names.PULL_CONTAINER
        elif pod.stage == datapods.PULL and pod.trained:
            container = names.CHECK_CONTAINER
        if container is None:
            return ""
        try:
            return await lookups.last_line(
                self._client, namespace=namespace, pod=pod.name, container=container
            )
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            logger.info("The log of pod %s/%s was not read: %s", namespace, pod.name, error)
            return ""

    async def _events(self, namespace: str, pod: PodView) -> tuple[PodEvent, ...]:
        """Warnings of a pod that does not come up."""
        since = pod.scheduled_at
        if pod.begun or pod.over or since is None or time.time() - since < _STUCK_SECONDS:
            return ()
        if any(container.state == "running" for container in pod.init):
            return ()
        return await lookups.warnings_of(self._client, namespace=namespace, pod_uid=pod.uid)


def _waited_for(key: Key, observed: ObservedDataset) -> set[Key]:
    """Who is to ring: jobs for which something is kept, the Dataset that pulls the same."""
    found: set[Key] = set()
    if observed.deleting or observed.status.get("held"):
        found |= {Key(TRAINING_JOB, key.namespace, name) for name in observed.users}
    claim = observed.claim
    if claim is not None and claim.published is None and claim.puller != observed.uid:
        found |= {
            Key(DATASET, key.namespace, str(owner.get("name")))
            for owner in claim.owners
            if owner.get("uid") == claim.puller
        }
    return found


def _mounted_claim(uri: str | None, upload: Any) -> str:
    """The claim that the data lies in without having been pulled; empty where it has to be."""
    if upload is not None:
        found = useddatasets.parsed(str(upload))
        return str(found.get("claim") or "") if isinstance(found, Mapping) else ""
    if uri is None or not uris.is_pvc(uri):
        return ""
    try:
        return uris.split_pvc(uri)[0]
    except ValueError:
        return ""
