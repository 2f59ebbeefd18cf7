"""Reconciling a TrainingJob: observe from the cache, plan, execute.

Separate from the loop because observing is the kind's own. Called by `reconcile.loop` with one key at a time.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import ConditionType, Phase
from trainyard.cluster.cache import DATASET, TRAINING_JOB, Cache, Key
from trainyard.cluster.execute import Executor
from trainyard.planning import (
    attempts,
    conditions,
    confirming,
    datasetinputs,
    jobstatus,
    outputdataset,
    parentcheckpoint,
    reportedobjective,
    restoring,
    stops,
    trainingjob,
)
from trainyard.planning.context import Context
from trainyard.planning.observed import (
    DatasetView,
    Memory,
    ObservedJob,
    OutputDatasetView,
    ParentView,
    Refusal,
)
from trainyard.planning.podview import PodView
from trainyard.planning.ranks import group
from trainyard.planning.server import ServerAddress
from trainyard.planning.times import sooner
from trainyard.reconcile import accounting, datasetviews, experimentviews, modelviews
from trainyard.reconcile.callbacks import Deliveries
from trainyard.reconcile.logs import FollowedLogs, NoLogs
from trainyard.reconcile.lookups import LookUps
from trainyard.reconcile.references import References
from trainyard.reconcile.reported import PostedReports, merged
from trainyard.reconcile.specs import JobSpecs

Json = dict[str, Any]

#: What keeps a new pod from coming up is known by then, and has to stand for a while from there.
_FIRST_LOOK_SECONDS = 1.0
#: A pod that has lost its labels is asked for as often, as no watch tells of it.
_UNWATCHED_AGAIN_SECONDS = 5.0


class TrainingJobReconciler:
    """Holds what one reconcile leaves to the next in memory, by the job's UID."""

    def __init__(
        self,
        *,
        cache: Cache,
        executor: Executor,
        logs: FollowedLogs | NoLogs,
        posted: PostedReports,
        server: Callable[[], ServerAddress | None],
        deliveries: Deliveries,
        references: References,
        lookups: LookUps,
        context: Context,
    ) -> None:
        self._cache = cache
        self._executor = executor
        self._logs = logs
        self._posted = posted
        self._server = server
        self._deliveries = deliveries
        self._references = references
        self._lookups = lookups
        self._context = context
        self._specs = JobSpecs()
        self._experiments = experimentviews.ExperimentViews(cache=cache, catalog=context.catalog)
        self._models = modelviews.ModelViews(cache=cache)
        self._memories: dict[str, Memory] = {}
        self._refusals: dict[str, Refusal] = {}
        self._uids: dict[Key, str] = {}

    async def reconcile(self, key: Key) -> float | None:
        """One look; seconds until the next, or None when only a doorbell brings it."""
        raw = self._cache.get(key)
        if raw is None:
            self._forget(key)
            await self._release_its_pods(key)
            return None
        uid = raw["metadata"]["uid"]
        if self._uids.get(key, uid) != uid:
            self._forget(key)
        self._uids[key] = uid
        observed = self._observe(key, raw)
        if unseen := self._may_be_unwatched(observed):
            for name in unseen:
                await self._executor.look_up_pod(key.namespace, name, uid)
            observed = self._observe(key, raw)
            unseen = self._may_be_unwatched(observed)
        observed, look_again = await self._lookups.complete(observed)
        self._logs.keep(uid, observed.pods)
        self._posted.keep(uid, observed.pods)
        curve = reportedobjective.begin(observed.experiment.goal) if observed.experiment is not None else None
        self._posted.compare(uid, curve)
        if (server := self._server()) != self._context.server:
            self._context = dataclasses.replace(self._context, server=server)
        plan = trainingjob.plan_training_job(observed, now=time.time(), context=self._context)
        for pod in plan.follow:
            silence = observed.spec.progress_timeout_seconds if observed.spec is not None else 0
            self._logs.follow(key.namespace, key.name, uid, pod, progress_timeout=silence, curve=curve)
        for pod in plan.ended:
            self._logs.pod_ended(pod)
        for delivery in plan.deliver:
            self._deliveries.send(key, uid, delivery)
        self._memories[uid] = plan.memory
        outcome = await self._executor.execute(plan, raw, refusal=observed.refusal)
        if outcome.refusal is not None:
            self._refusals[uid] = outcome.refusal
            return 0.0
        self._deliveries.written(uid, observed.answers)
        accounting.account(raw, plan.status, observed.pods, rules=self._context.accelerators)
        if plan.create:
            self._refusals.pop(uid, None)
            return _FIRST_LOOK_SECONDS
        if stops.in_force(plan.status or observed.status):
            self._refusals.pop(uid, None)  # NB: else what once was refused times out when the job goes on
        status = plan.status or observed.status
        if status.get("completionTime"):
            if not outputdataset.pending(status):
                self._settle(key, uid)
                lasting = modelviews.named(key.namespace, observed.spec, status)
                if experimentviews.may_revive(raw, status):
                    lasting |= experimentviews.named(raw)
                self._references.set(key, lasting)
            self._logs.release(uid, observed.pods)
            self._posted.forget(uid)
        if outcome.failure is not None:
            raise outcome.failure
        if unseen:
            return sooner(plan.requeue_after, _UNWATCHED_AGAIN_SECONDS)
        return plan.requeue_after if look_again is None else sooner(plan.requeue_after, look_again)

    async def _release_its_pods(self, key: Key) -> None:
        """The job is gone: nobody will ask for the verdicts of its pods."""
        held = [pod for pod in self._cache.pods_named_for(key) if pod.finalized]
        failure = await self._executor.release(key.namespace, held)
        if failure is not None:
            raise failure

    def _may_be_unwatched(self, observed: ObservedJob) -> list[str]:
        """Pods of the newest attempt that ran and are not seen, or are seen without the labels that we watch."""
        if observed.status.get("completionTime"):
            return []
        attempt = attempts.newest(observed.status, observed.pods)
        ranks = group(observed, attempt)
        entry = jobstatus.attempt_entry(observed.status, attempt)
        unseen = [pod.name for pod in ranks.pods if not pod.watched]
        if entry.get("startTime") and not entry.get("completionTime"):
            unseen += [
                names.pod_name(job=observed.name, attempt=attempt, rank=rank) for rank in ranks.missing
            ]
        return unseen

    def verdict(self, namespace: str, name: str, pod_uid: str) -> Json:
        """What the agent of a pod is told of its trainer's end; see `planning.confirming`."""
        key = Key(TRAINING_JOB, namespace, name)
        raw = self._cache.get(key)
        if raw is None:
            return confirming.GONE
        observed = self._observe(key, raw)
        return confirming.confirmed(observed, pod_uid, now=time.time(), context=self._context)

    def _observe(self, key: Key, raw: Json) -> ObservedJob:
        metadata, status = raw["metadata"], raw.get("status") or {}
        uid = metadata["uid"]
        reading = self._specs.read(raw)
        spec = reading.spec
        pods = self._cache.pods_of(uid)
        finished = bool(status.get("completionTime"))
        datasets: Mapping[str, DatasetView | None] = {}
        parent = None
        output_dataset = None
        experiment, membership = self._experiments.of(raw)
        targets: set[Key] = set()
        if not finished or experimentviews.may_revive(raw, status):
            targets |= experimentviews.named(raw)
        if spec is not None and spec.output_dataset is not None:
            made = Key(DATASET, key.namespace, spec.output_dataset.name)
            if not finished or outputdataset.pending(status):
                output_dataset = self._output_dataset(made)
                targets.add(made)
        models = modelviews.named(key.namespace, spec, status)
        targets |= models
        if targets and (finished or spec is None):
            self._references.set(key, targets)
        if spec is not None and not finished:
            wanted = datasetinputs.names(spec)
            targets |= {Key(DATASET, key.namespace, name) for name in wanted}
            if spec.parent_job is not None:
                targets.add(Key(TRAINING_JOB, key.namespace, spec.parent_job))
                parent = self._parent(key.namespace, spec.parent_job)
            self._references.set(key, targets)
            datasets = {name: self._dataset(key.namespace, name) for name in wanted}
        attempt = attempts.newest(status, pods)
        former = self._former_pod(key, uid, attempt, nodes=spec.nodes if spec is not None else 1)
        store_uids = str((metadata.get("annotations") or {}).get(names.STORE_UIDS) or "")
        views = ((pod.uid, merged(self._logs.view(pod.uid), self._posted.view(uid, pod.uid))) for pod in pods)
        return ObservedJob(
            namespace=key.namespace,
            name=key.name,
            uid=uid,
            generation=metadata.get("generation", 0),
            deleting=bool(metadata.get("deletionTimestamp")),
            status=status,
            spec=spec,
            spec_error=reading.problem,
            wishes=frozenset(
                wish for wish in ("suspend", "cancel") if (raw.get("spec") or {}).get(wish) is True
            ),
            retry_requested_at=str((metadata.get("annotations") or {}).get(names.RETRY_REQUESTED_AT) or "")[
                :64
            ],
            unsupported=reading.unsupported,
            pods=pods,
            former_pod=former,
            store_uids=store_uids,
            origins=self._origins(key.name, uid, store_uids) if store_uids else (),
            orphans=tuple(
                pod for pod in self._cache.pods_named_for(key) if pod.job_uid != uid and pod.finalized
            ),
            datasets=datasets,
            models=self._models.of(models) if models else {},
            made_by=_controller(metadata),
            parent=parent,
            experiment=experiment,
            membership=membership,
            output_dataset=output_dataset,
            refusal=self._refusals.get(uid),
            logs={pod_uid: view for pod_uid, view in views if view is not None},
            answers=self._deliveries.answers(uid),
            memory=self._memories.get(uid, Memory()),
        )

    def _former_pod(self, key: Key, uid: str, attempt: int, *, nodes: int) -> PodView | None:
        """A pod with the name of one of ours that is not this job's."""
        for rank in range(nodes):
            name = names.pod_name(job=key.name, attempt=attempt, rank=rank)
            there = self._cache.pod(key.namespace, name)
            if there is not None and there.job_uid != uid:
                return there
        return None

    def _origins(self, name: str, uid: str, annotation: str) -> tuple[str, ...]:
        """Former UIDs of a restored job. NB: not those of a job that lives: somebody has copied its manifest."""
        former = restoring.origins(annotation, name=name, uid=uid)
        if not former:
            return ()
        return () if any(map(self._cache.lives, former)) else former

    def _dataset(self, namespace: str, name: str) -> DatasetView | None:
        raw = self._cache.get(Key(DATASET, namespace, name))
        return datasetviews.view(raw) if raw is not None else None

    def _output_dataset(self, key: Key) -> OutputDatasetView | None:
        raw = self._cache.get(key)
        if raw is None:
            return None
        metadata = raw["metadata"]
        return OutputDatasetView(
            uid=metadata["uid"],
            job_uid=(metadata.get("labels") or {}).get(names.LABEL_JOB_UID, ""),
            deleting=bool(metadata.get("deletionTimestamp")),
        )

    def _parent(self, namespace: str, name: str) -> ParentView | None:
        raw = self._cache.get(Key(TRAINING_JOB, namespace, name))
        if raw is None:
            return None
        status = raw.get("status") or {}
        artifacts = status.get("artifacts") or []
        spec = self._specs.read(raw).spec
        metadata = raw["metadata"]
        store_uids = str((metadata.get("annotations") or {}).get(names.STORE_UIDS) or "")
        return ParentView(
            name=name,
            uid=metadata["uid"],
            origins=self._origins(name, metadata["uid"], store_uids) if store_uids else (),
            action=spec.action if spec is not None else "",
            resumable=spec is None or parentcheckpoint.keeps_checkpoints(spec, self._context.catalog),
            finished=conditions.is_true(status, ConditionType.FINISHED),
            succeeded=conditions.is_true(status, ConditionType.SUCCEEDED),
            reason=status.get("reason") or str(Phase.PENDING),
            canceled=jobstatus.was_canceled(status),
            artifact_uri=artifacts[0].get("uri") if artifacts else None,
            output=spec.output if spec is not None else None,
        )

    def _settle(self, key: Key, uid: str) -> None:
        self._memories.pop(uid, None)
        self._refusals.pop(uid, None)
        self._specs.forget(uid)
        self._lookups.forget(uid)
        self._references.set(key, set())

    def _forget(self, key: Key) -> None:
        uid = self._uids.pop(key, None)
        if uid is not None:
            self._settle(key, uid)
            self._logs.forget(uid)
            self._posted.forget(uid)
            self._deliveries.forget(uid)


def _controller(metadata: Json) -> str:
    """The UID of what controls an object; empty for nothing."""
    owners = metadata.get("ownerReferences") or ()
    return next((str(one.get("uid") or "") for one in owners if one.get("controller")), "")
