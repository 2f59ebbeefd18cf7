"""Reconciling an Experiment: observe its jobs from the cache, plan, execute.

Separate from the loop because observing is the kind's own. A thousand jobs may name one Experiment, of which hardly one
has changed since the last look: what was read of them is kept, by their version.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from trainyard.api import names
from trainyard.api.experiment import ExperimentSpec
from trainyard.cluster import lookups
from trainyard.cluster.cache import TRAINING_JOB, Cache, Key
from trainyard.cluster.children import Children
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.planning import tunerpod
from trainyard.planning.experiment import plan_experiment
from trainyard.planning.experimentobserved import ChildView, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.observed import Refusal
from trainyard.planning.podview import PodView
from trainyard.planning.support import not_yet_supported
from trainyard.planning.times import sooner
from trainyard.reconcile import accounting, experimentviews, specs
from trainyard.reconcile.callbacks import Deliveries

logger = logging.getLogger(__name__)

Json = dict[str, Any]

_READ_AGAIN_SECONDS = 2.0
#: A name that somebody else's job has is looked at again as often.
_STRANGER_AGAIN_SECONDS = 15.0
#: Jobs that are made or changed at the same time: a search with many places waits for none of them.
_AT_ONCE = 8


class ExperimentReconciler:
    """Holds, by the Experiment's UID, what was read of its jobs, what was refused, and answers that were read once."""

    def __init__(
        self,
        *,
        client: Client,
        cache: Cache,
        executor: Executor,
        children: Children,
        deliveries: Deliveries,
        rules: ExperimentRules,
    ) -> None:
        self._client = client
        self._cache = cache
        self._executor = executor
        self._children = children
        self._deliveries = deliveries
        self._rules = rules
        self._views: dict[str, dict[Key, tuple[int, bool, ChildView]]] = {}
        self._refusals: dict[str, dict[tuple[str, str], Refusal]] = {}
        self._pod_refusals: dict[str, Refusal] = {}
        self._proposals: dict[str, dict[str, str]] = {}
        self._uids: dict[Key, str] = {}

    async def reconcile(self, key: Key) -> float | None:
        """One look; seconds until the next, or None when only a doorbell brings it."""
        raw = self._cache.get(key)
        uid = raw["metadata"]["uid"] if raw is not None else ""
        if (former := self._uids.get(key, uid)) != uid:
            self._forget(former)
        if raw is None:
            self._uids.pop(key, None)
            return None  # NB: its jobs and pods go by their owner references
        self._uids[key] = uid
        observed = await self._observe(key, raw)
        found = plan_experiment(observed, now=time.time(), rules=self._rules)
        refused = await self._change(key, uid, found.jobs)
        for delivery in found.plan.deliver:
            self._deliveries.send(key, uid, delivery)
        outcome = await self._executor.execute(found.plan, raw, refusal=self._pod_refusals.get(uid))
        if outcome.refusal is not None:
            logger.warning("A pod of Experiment %s/%s: %s", *key[1:], outcome.refusal.message)
            self._pod_refusals[uid] = outcome.refusal
            # NB: nothing else of the plan was carried out; that is planned anew, without the pod for a while.
            return 0.0
        if found.plan.create:
            self._pod_refusals.pop(uid, None)
        self._deliveries.written(uid, observed.answers)
        accounting.account_trials(raw, found.plan.status)
        if outcome.failure is not None:
            raise outcome.failure
        # NB: what was made or changed is in the cache, and what follows from it is planned by the next look.
        if refused or any(job.verb == "make" for job in found.jobs):
            return 0.0
        later = found.plan.requeue_after
        if any(pod.over and pod.uid not in observed.proposals for pod in _proposers(observed.pods)):
            later = sooner(later, _READ_AGAIN_SECONDS)
        # NB: the end of a job that is not its own rings for nobody.
        return sooner(later, _STRANGER_AGAIN_SECONDS) if observed.strangers else later

    async def _change(self, key: Key, uid: str, steps: tuple[JobStep, ...]) -> bool:
        """Do what is to be done to jobs; whether one was refused that had not been before."""
        known = self._refusals.get(uid, {})
        news = False
        for first in range(0, len(steps), _AT_ONCE):
            batch = steps[first : first + _AT_ONCE]
            answers = await asyncio.gather(*(self._children.do(key.namespace, step) for step in batch))
            for step, error in zip(batch, answers, strict=True):
                if step.verb != "make":
                    continue
                mark = (step.name, step.digest)
                if error is None:
                    known.pop(mark, None)
                    continue
                before = known.get(mark)
                news = news or before is None
                known[mark] = Refusal.after(
                    before, status=error.status, message=error.message, now=time.time()
                )
                self._refusals[uid] = known
            if any(error is not None for error in answers):
                break  # NB: what one was refused for, the others would be as well
        return news

    async def _observe(self, key: Key, raw: Json) -> ObservedExperiment:
        metadata, status = raw["metadata"], raw.get("status") or {}
        uid = metadata["uid"]
        spec, problem = specs.read(ExperimentSpec, raw)
        pods = self._cache.pods_of(uid)
        jobs = self._jobs(key, uid, spec)
        return ObservedExperiment(
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            generation=metadata.get("generation", 0),
            deleting=bool(metadata.get("deletionTimestamp")),
            status=status,
            spec=spec,
            spec_error=problem,
            unsupported=not_yet_supported("Experiment", raw.get("spec") or {}) if spec is not None else None,
            retry_requested_at=str((metadata.get("annotations") or {}).get(names.RETRY_REQUESTED_AT) or "")[
                :64
            ],
            jobs=jobs,
            strangers=self._strangers(key, uid, spec, jobs),
            left_behind=tuple(experimentviews.left_behind(self._cache, key, uid, jobs)),
            parents=experimentviews.parents(self._cache, key.namespace, (job.name for job in jobs)),
            refusals=self._refusals.get(uid, {}),
            pods=pods,
            proposals=await self._read(key.namespace, uid, pods),
            pod_refusal=self._pod_refusals.get(uid),
            answers=self._deliveries.answers(uid),
        )

    def _jobs(self, key: Key, uid: str, spec: ExperimentSpec | None) -> tuple[ChildView, ...]:
        """All jobs that name it; those that have not changed are not read again."""
        with_curve = spec is not None and spec.automl is not None and spec.automl.early_stopping is not None
        former, views = self._views.get(uid, {}), {}
        for job in self._cache.jobs_of(key):
            version = self._cache.version(job) or 0
            known = former.get(job)
            if known is None or known[:2] != (version, with_curve):
                raw = self._cache.get(job)
                if raw is None:
                    continue
                known = (version, with_curve, ChildView.from_raw(raw, with_curve=with_curve))
            views[job] = known
        self._views[uid] = views
        return tuple(view for _, _, view in views.values())

    def _strangers(
        self, key: Key, uid: str, spec: ExperimentSpec | None, jobs: tuple[ChildView, ...]
    ) -> frozenset[str]:
        """Names of jobs that are not its own and are called as the job of a step or of a refused trial would be."""
        wanted = (
            {names.step_job_name(experiment=key.name, step=step.name) for step in spec.actions}
            if spec
            else set()
        )
        wanted |= {name for name, _ in self._refusals.get(uid, {})}
        wanted -= {job.name for job in jobs if job.owner == uid}
        there = (
            name for name in wanted if self._cache.uid(Key(TRAINING_JOB, key.namespace, name)) is not None
        )
        return frozenset(there)

    async def _read(self, namespace: str, uid: str, pods: tuple[PodView, ...]) -> Mapping[str, str]:
        """The last lines of the pods that have proposed, each of which is read once."""
        proposers = {pod.uid: pod for pod in _proposers(pods)}
        known = {pod: line for pod, line in self._proposals.get(uid, {}).items() if pod in proposers}
        for pod in proposers.values():
            if pod.uid in known or pod.phase != "Succeeded":
                continue
            try:
                known[pod.uid] = await lookups.last_line(
                    self._client, namespace=namespace, pod=pod.name, container=names.PROPOSE_CONTAINER
                )
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.info("The log of pod %s/%s was not read: %s", namespace, pod.name, error)
        self._proposals[uid] = known
        return known

    def _forget(self, uid: str) -> None:
        for kept in (self._views, self._refusals, self._pod_refusals, self._proposals):
            kept.pop(uid, None)
        self._deliveries.forget(uid)


def _proposers(pods: tuple[PodView, ...]) -> list[PodView]:
    return [pod for pod in pods if pod.stage == tunerpod.STAGE]
