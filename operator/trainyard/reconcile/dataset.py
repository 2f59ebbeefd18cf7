"""Reconciling a Dataset: observe, plan, execute."""

from __future__ import annotations

import time

from trainyard.api.dataset import DatasetSpec
from trainyard.cluster import resources
from trainyard.cluster.cache import Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.planning import uris
from trainyard.planning.dataset import ObservedDataset, plan_dataset
from trainyard.reconcile import specs


class DatasetReconciler:
    """Looks at claims with one GET a reconcile: datasets are few and claims are nobody's hot path."""

    def __init__(self, *, client: Client, cache: Cache, executor: Executor) -> None:
        self._client = client
        self._cache = cache
        self._executor = executor

    async def reconcile(self, key: Key) -> float | None:
        """One look; seconds until the next, or None when only a doorbell brings it."""
        raw = self._cache.get(key)
        if raw is None:
            return None
        metadata = raw["metadata"]
        spec, problem = specs.read(DatasetSpec, raw)
        observed = ObservedDataset(
            namespace=key.namespace,
            name=key.name,
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            deleting=bool(metadata.get("deletionTimestamp")),
            status=raw.get("status") or {},
            spec=spec,
            spec_error=problem,
            claim_exists=spec is not None
            and spec.source is not None
            and spec.source.uri is not None
            and await self._claim_exists(key.namespace, spec.source.uri),
        )
        plan = plan_dataset(observed, now=time.time())
        await self._executor.execute(plan, raw)
        return plan.requeue_after

    async def _claim_exists(self, namespace: str, uri: str) -> bool:
        try:
            claim, _ = uris.split_pvc(uri)
            await self._client.get(resources.path("PersistentVolumeClaim", namespace, claim))
        except ValueError:
            return False
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True
