"""Reconciling MLModels, which are kept as records: observe, plan, execute."""

from __future__ import annotations

import time

from trainyard.api.mlmodel import MLModelSpec
from trainyard.cluster.cache import Cache, Key
from trainyard.cluster.execute import Executor
from trainyard.planning.records import ObservedRecord, plan_record
from trainyard.reconcile import specs


class RecordReconciler:
    """Looks at nothing but the object itself."""

    def __init__(self, *, cache: Cache, executor: Executor) -> None:
        self._cache = cache
        self._executor = executor

    async def reconcile(self, key: Key) -> float | None:
        """One look; seconds until the next, or None when only a doorbell brings it."""
        raw = self._cache.get(key)
        if raw is None:
            return None
        metadata = raw["metadata"]
        _, problem = specs.read(MLModelSpec, raw)
        observed = ObservedRecord(
            generation=metadata.get("generation", 0),
            deleting=bool(metadata.get("deletionTimestamp")),
            spec=raw.get("spec") or {},
            spec_error=problem,
            status=raw.get("status") or {},
        )
        plan = plan_record(observed, now=time.time())
        await self._executor.execute(plan, raw)
        return plan.requeue_after
