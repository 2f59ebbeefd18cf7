"""Reconciling an MLModel: observe what works for it from the cache, plan, execute.

Separate from the loop because observing is the kind's own. What the jobs that a model has made have found is in the
last line of their trainer's log, which is read once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Literal, cast

import aiohttp
import orjson

from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec
from trainyard.cluster import lookups
from trainyard.cluster.cache import DATASET, TRAINING_JOB, Cache, Key
from trainyard.cluster.children import Children
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.planning import modelrecords, modeltasks
from trainyard.planning.experimentobserved import JobStep
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.model import plan_model
from trainyard.planning.modelobserved import ObservedModel, TaskView, task_of
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.observed import Refusal
from trainyard.planning.podview import PodView
from trainyard.planning.support import not_yet_supported
from trainyard.planning.times import seconds, sooner
from trainyard.reconcile import specs
from trainyard.reconcile.references import References

logger = logging.getLogger(__name__)

Json = dict[str, Any]

_READ_AGAIN_SECONDS = 2.0
#: Tasks of which the trainer's last line is the result.
_ANSWERING = frozenset({"recommend", "monitor", "publish", "unpublish"})


class ModelReconciler:
    """Holds, by the model's UID, what was read of its jobs, their logs and a stuck pod, and what was refused."""

    def __init__(
        self,
        *,
        client: Client,
        cache: Cache,
        executor: Executor,
        children: Children,
        references: References,
        rules: ModelRules,
    ) -> None:
        self._client = client
        self._cache = cache
        self._executor = executor
        self._children = children
        self._references = references
        self._rules = rules
        self._views: dict[str, dict[Key, tuple[int, TaskView]]] = {}
        self._answers: dict[str, dict[str, Json]] = {}
        self._refusals: dict[str, dict[tuple[str, str], Refusal]] = {}
        self._pod_refusals: dict[str, Refusal] = {}
        self._warnings: dict[str, dict[str, tuple[PodEvent, ...]]] = {}
        self._uids: dict[Key, str] = {}

    async def reconcile(self, key: Key) -> float | None:
        """One look; seconds until the next, or None when only a doorbell brings it."""
        raw = self._cache.get(key)
        uid = raw["metadata"]["uid"] if raw is not None else ""
        if (former := self._uids.get(key, uid)) != uid:
            self._forget(former)
        if raw is None:
            self._uids.pop(key, None)
            self._references.set(key, set())
            return None  # NB: its jobs and pods go by their owner references
        self._uids[key] = uid
        observed = await self._observe(key, raw)
        found = plan_model(observed, now=time.time(), rules=self._rules)
        if await self._change(key, uid, found.jobs):
            return 0.0  # NB: status would say that it was made
        outcome = await self._executor.execute(found.plan, raw, refusal=self._pod_refusals.get(uid))
        if outcome.refusal is not None:
            logger.warning("A pod of MLModel %s/%s: %s", *key[1:], outcome.refusal.message)
            self._pod_refusals[uid] = outcome.refusal
            return 0.0
        if found.plan.create:
            self._pod_refusals.pop(uid, None)
        if outcome.failure is not None:
            raise outcome.failure
        if found.jobs:
            return (
                0.0  # NB: what was made is in the cache, and what follows from it is planned by the next look
            )
        later = found.plan.requeue_after
        if any(job.uid not in observed.answers for job in _answering(observed.tasks)):
            later = sooner(later, _READ_AGAIN_SECONDS)
        return later

    async def _change(self, key: Key, uid: str, steps: tuple[JobStep, ...]) -> bool:
        """Do what is to be done to jobs and Experiments; whether one was refused."""
        known = self._refusals.get(uid, {})
        refused = False
        for step in steps:
            error = await self._children.do(key.namespace, step)
            if step.verb != "make":
                continue
            mark = (step.name, step.digest)
            if error is None:
                known.pop(mark, None)
                continue
            refused = True
            known[mark] = Refusal.after(
                known.get(mark), status=error.status, message=error.message, now=time.time()
            )
            self._refusals[uid] = known
        return refused

    async def _observe(self, key: Key, raw: Json) -> ObservedModel:
        metadata = raw["metadata"]
        uid = metadata["uid"]
        spec, problem = specs.read(MLModelSpec, raw)
        tasks, pods = self._tasks(key, uid), self._cache.pods_of(uid)
        return ObservedModel(
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            generation=metadata.get("generation", 0),
            deleting=bool(metadata.get("deletionTimestamp")),
            status=raw.get("status") or {},
            spec=spec,
            spec_error=problem,
            unsupported=not_yet_supported("MLModel", raw.get("spec") or {}) if spec is not None else None,
            train_requested_at=str((metadata.get("annotations") or {}).get(names.TRAIN_REQUESTED_AT) or "")[
                :64
            ],
            tasks=tasks,
            outcomes=self._outcomes(key, uid, tasks),
            answers=await self._read(key.namespace, uid, tasks),
            refusals=self._refusals.get(uid, {}),
            pods=pods,
            events=await self._events(key.namespace, uid, pods),
            pod_refusal=self._pod_refusals.get(uid),
            datasets=self._datasets(key, spec),
        )

    def _tasks(self, key: Key, uid: str) -> tuple[TaskView, ...]:
        """All that works for it; what has not changed is not read again."""
        former, views = self._views.get(uid, {}), {}
        for task in self._cache.tasks_of(key):
            version = self._cache.version(task) or 0
            known = former.get(task)
            if known is None or known[0] != version:
                raw = self._cache.get(task)
                if raw is None:
                    continue
                kind = cast(Literal["TrainingJob", "Experiment"], task.kind)
                known = (version, task_of(kind, raw, model=key.name, model_uid=uid))
            views[task] = known
        self._views[uid] = views
        return tuple(view for _, view in views.values())

    def _outcomes(self, key: Key, uid: str, tasks: tuple[TaskView, ...]) -> Mapping[str, TaskView]:
        """The jobs that Experiments have come to."""
        found = {}
        for task in tasks:
            if task.registers and task.succeeded and task.outcome_job:
                raw = self._cache.get(Key(TRAINING_JOB, key.namespace, task.outcome_job))
                if raw is not None:
                    found[task.uid] = task_of("TrainingJob", raw, model=key.name, model_uid=uid)
        return found

    def _datasets(self, key: Key, spec: MLModelSpec | None) -> frozenset[str]:
        """Those of the Datasets that it names that there are; the others ring it when they come."""
        wanted = set()
        if spec is not None:
            wanted |= set(spec.datasets.train)
            if spec.monitor is not None:
                wanted.add(spec.monitor.dataset)
        keys = {Key(DATASET, key.namespace, name) for name in wanted}
        self._references.set(key, keys)
        return frozenset(one.name for one in keys if self._cache.uid(one) is not None)

    async def _read(self, namespace: str, uid: str, tasks: tuple[TaskView, ...]) -> Mapping[str, Json]:
        """What the trainers of its ended jobs have said last; each is read once."""
        wanted = _answering(tasks)
        known = {
            job: said for job, said in self._answers.get(uid, {}).items() if job in {t.uid for t in wanted}
        }
        for task in wanted:
            if task.uid in known:
                continue
            # NB: the trainer has ended, of which the job is Done; its pod may be Running for a moment yet.
            pods = [pod for pod in self._cache.pods_of(task.uid) if pod.rank == 0]
            if not pods:
                known[task.uid] = {}
                continue
            newest = max(pods, key=lambda pod: pod.attempt)
            try:
                line = await lookups.last_line(
                    self._client, namespace=namespace, pod=newest.name, container=names.TRAINER_CONTAINER
                )
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                # NB: planning waits for it no longer than that.
                lost = time.time() > (seconds(task.ended_at) or 0.0) + modeltasks.ANSWER_SECONDS
                if not (lost or (isinstance(error, ApiError) and error.status == 404)):
                    logger.info("The log of pod %s/%s was not read: %s", namespace, newest.name, error)
                    continue
                line = ""
            known[task.uid] = _parsed(line)
        self._answers[uid] = known
        return known

    async def _events(
        self, namespace: str, uid: str, pods: tuple[PodView, ...]
    ) -> Mapping[str, tuple[PodEvent, ...]]:
        """The warnings of the first pod that does not come up; those read last where they cannot be read."""
        pod = modelrecords.stuck(pods, now=time.time())
        if pod is None:
            self._warnings.pop(uid, None)
            return {}
        try:
            found = await lookups.warnings_of(self._client, namespace=namespace, pod_uid=pod.uid)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            logger.info("Events of pod %s/%s were not read: %s", namespace, pod.name, error)
            return self._warnings.get(uid, {})
        self._warnings[uid] = {pod.uid: found}
        return self._warnings[uid]

    def _forget(self, uid: str) -> None:
        for kept in (self._views, self._answers, self._refusals, self._pod_refusals, self._warnings):
            kept.pop(uid, None)


def _answering(tasks: tuple[TaskView, ...]) -> list[TaskView]:
    return [task for task in tasks if task.task in _ANSWERING and task.succeeded and not task.deleting]


def _parsed(line: str) -> Json:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
