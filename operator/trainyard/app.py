"""The operator put together: client, cache, queue, workers, log followers, health, and the watches, ours and kopf's.

Separate because it is the only place that knows all the parts; `trainyard run` calls it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import Awaitable
from typing import Any, cast

import aiohttp
import kopf
from prometheus_client import REGISTRY

from trainyard import catalog, handlers, health
from trainyard.api import names
from trainyard.cluster import failpoints
from trainyard.cluster.afterwards import Afterwards
from trainyard.cluster.cache import DATASET, EXPERIMENT, MODEL, TRAINING_JOB, Cache
from trainyard.cluster.children import Children
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.inventory import Inventory
from trainyard.kinds import KINDS
from trainyard.planning.agentpod import AgentRules
from trainyard.planning.context import Context
from trainyard.planning.datapods import DataRules
from trainyard.planning.deliveries import RetryRules
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.tunerpod import TunerRules
from trainyard.reconcile import watches
from trainyard.reconcile.callbacks import Deliveries
from trainyard.reconcile.dataset import DatasetReconciler
from trainyard.reconcile.experiment import ExperimentReconciler
from trainyard.reconcile.logs import FollowedLogs, NoLogs
from trainyard.reconcile.lookups import LookUps
from trainyard.reconcile.loop import Doorbell, Loop, Reconcile
from trainyard.reconcile.model import ModelReconciler
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.references import References
from trainyard.reconcile.reported import PostedReports
from trainyard.reconcile.resync import Versions, prime, resync_forever
from trainyard.reconcile.trainingjob import TrainingJobReconciler
from trainyard.reports.server import StatusServer
from trainyard.settings import Settings

logger = logging.getLogger(__name__)

_LOAD_AGAIN_SECONDS = 2.0
#: At the end, for what nobody waited for; a pod has 30 s to end.
_DEFERRED_SECONDS = 5.0
_APPLY_CRDS = "helm show crds CHART | kubectl apply --server-side --force-conflicts -f -"
_RECURSION_LIMIT = 12_000
_THREAD_STACK_BYTES = 8 << 20
_PLURALS = {kind.plural for kind in KINDS}


def run(*, settings: Settings, kubeconfig: str | None = None, context: str | None = None) -> None:
    """Run until SIGTERM or SIGINT. Raises CatalogError, or what kopf or a worker failed with."""
    # NB: the API server takes what is nested up to 10,000 levels; the stdlib's JSON, which kopf reads its watches with,
    # ends in RecursionError at the default of 1,000, and kopf and this process with it. It needs 200 bytes of stack a
    # level: of the main thread's 8 MiB, and of other threads' where those have as much.
    sys.setrecursionlimit(_RECURSION_LIMIT)
    threading.stack_size(_THREAD_STACK_BYTES)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)-7s %(name)s %(message)s", force=True
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    asyncio.run(_run(settings, kubeconfig=kubeconfig, context=context))


async def _run(settings: Settings, *, kubeconfig: str | None, context: str | None) -> None:
    planning = _planning_context(settings)
    client = await Client.from_environment(kubeconfig=kubeconfig, context=context)
    try:
        await Operator(settings, client, planning).run()
    finally:
        await client.close()


class Operator:
    """One operator of one cluster, made of its parts; `run` returns after SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, client: Client, planning: Context) -> None:
        self._settings = settings
        self._client = client
        self._namespaces: tuple[str | None, ...] = settings.namespaces or (None,)
        self._cache, self._queue, references = Cache(), KeyedQueue(), References()
        self._inventory = Inventory(self._cache, rules=planning.accelerators)
        self._doorbell = Doorbell(cache=self._cache, queue=self._queue, references=references)
        self._afterwards = Afterwards(busy=lambda: len(self._queue) > 0)
        executor = Executor(
            client,
            self._cache,
            afterwards=self._afterwards,
            answered=self._doorbell.answered,
            failpoint=failpoints.from_environment(),
        )
        self._logs = (
            FollowedLogs(
                client=client,
                settings=settings.logs,
                queue=self._queue,
                interval=settings.progress.interval_seconds,
            )
            if settings.logs.follow
            else NoLogs()
        )
        self._deliveries = Deliveries(
            client=client, cache=self._cache, queue=self._queue, settings=settings.callbacks
        )
        self._posted = PostedReports(queue=self._queue, interval=settings.progress.interval_seconds)
        jobs = TrainingJobReconciler(
            cache=self._cache,
            executor=executor,
            logs=self._logs,
            posted=self._posted,
            server=lambda: self._status_server.address,
            deliveries=self._deliveries,
            references=references,
            lookups=LookUps(client),
            context=planning,
        )
        self._status_server = StatusServer(
            settings=settings.status_server,
            client=client,
            cache=self._cache,
            reports=self._posted,
            verdict=jobs.verdict,
        )
        datasets = DatasetReconciler(
            client=client,
            cache=self._cache,
            executor=executor,
            references=references,
            rules=_data_rules(settings),
        )
        children = Children(client, self._cache, made=self._doorbell.made, failpoint=executor.failpoint)
        experiments = ExperimentReconciler(
            client=client,
            cache=self._cache,
            executor=executor,
            children=children,
            deliveries=self._deliveries,
            rules=ExperimentRules(context=planning, tuner=_tuner_rules(settings)),
        )
        models = ModelReconciler(
            client=client,
            cache=self._cache,
            executor=executor,
            children=children,
            references=references,
            rules=ModelRules(context=planning),
        )
        kinds: dict[str, Reconcile] = {
            TRAINING_JOB: jobs.reconcile,
            DATASET: datasets.reconcile,
            EXPERIMENT: experiments.reconcile,
            MODEL: models.reconcile,
        }
        self._loop = Loop(queue=self._queue, kinds=kinds, workers=settings.workers)
        self._watching = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve health and metrics, load what there is, then work until told to stop."""
        REGISTRY.register(self._inventory)
        endpoint = await health.serve(
            address=self._settings.endpoint.address,
            port=self._settings.endpoint.port,
            ready=self._watching.is_set,
        )
        logger.info("Health and metrics on %s", ", ".join(map(str, endpoint.addresses)))
        self._take_signals()
        try:
            await _until(self._stop, self._work())
        finally:
            await self._afterwards.close(seconds=_DEFERRED_SECONDS)
            await self._status_server.close()
            self._posted.close()
            await self._deliveries.close()
            await self._logs.close()
            await endpoint.cleanup()
            REGISTRY.unregister(self._inventory)

    async def _work(self) -> None:
        versions = await self._load()
        await self._status_server.start()  # NB: before the first pod is made, which is told where it is
        logger.info("Operator is started; %d TrainingJobs", len(self._cache.keys(TRAINING_JOB)))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop.run(), name="workers")
            group.create_task(self._afterwards.run(), name="deferred writes")
            group.create_task(
                resync_forever(
                    self._client,
                    self._cache,
                    self._queue,
                    namespaces=self._namespaces,
                    every=self._settings.resync_seconds,
                ),
                name="resync",
            )
            for kind in watches.KINDS:
                for namespace, version in versions[kind].items():
                    watcher = watches.Watcher(
                        self._client, self._cache, self._doorbell, kind, namespace=namespace
                    )
                    group.create_task(watcher.run(version), name=f"watch of {kind}s")
            group.create_task(self._logs.sweep(self._unfinished_jobs), name="sweep of logs")
            group.create_task(self._status_server.keep(), name="certificate of the status server")
            group.create_task(self._take_signals_back(), name="signals")
            await asyncio.sleep(0)  # NB: kopf cancels, at its end, every task that is younger than itself
            await kopf.operator(
                registry=handlers.registry(self._doorbell, self._client),
                settings=handlers.settings(),
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                ready_flag=self._watching,
                # NB: else kopf asks for the user's name, which the user of a container need not have.
                identity=cast(Any, socket.gethostname()),
            )
            raise RuntimeError("The watches have ended by themselves.")

    def _unfinished_jobs(self) -> set[str]:
        """The UIDs of jobs that have not ended."""
        return {job.uid for job in self._cache.objects(TRAINING_JOB) if not job.finished}

    async def _load(self) -> Versions:
        """Wait for the CRDs, as kopf looks for resources only once, and load everything."""
        while True:
            try:
                served = await self._client.get(f"/apis/{names.GROUP}/{names.VERSION}")
                if {r["name"] for r in served.get("resources") or []} >= _PLURALS:
                    return await prime(self._client, self._cache, self._queue, namespaces=self._namespaces)
                problem = f"a CRD is missing: {_APPLY_CRDS}"
            except ApiError as error:
                missing = f"the CRDs are not installed: {_APPLY_CRDS}"
                problem = missing if error.status == 404 else str(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = f"the API server does not answer ({str(error) or type(error).__name__})"
            except Exception as error:
                logger.debug("Not started yet", exc_info=True)
                problem = f"{type(error).__name__}: {error}"
            logger.warning("Not started yet: %s", problem)
            await asyncio.sleep(_LOAD_AGAIN_SECONDS)

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _take_signals_back(self) -> None:
        """Kopf takes the signals when it starts, and on them waits five seconds for tasks that are not its own."""
        await self._watching.wait()
        self._take_signals()


async def _until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Run `work` until `stop` is set; what it fails with is raised."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    if working in done:
        stopping.cancel()
        await working
        return
    logger.info("Stopping.")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def _data_rules(settings: Settings) -> DataRules:
    data = settings.data
    return DataRules(
        image=data.image,
        requests=data.requests,
        limits=data.limits,
        agent=AgentRules(image=settings.agent.image, requests=data.pull_requests, limits=data.pull_limits),
        storage_class=data.storage_class_name or None,
        access_mode=data.access_mode,
        node_selector=data.node_selector,
        tolerations=data.tolerations,
        image_pull_policy=settings.image_pull_policy,
    )


def _tuner_rules(settings: Settings) -> TunerRules:
    tuner = settings.tuner
    return TunerRules(
        image=tuner.image,
        requests=tuner.requests,
        limits=tuner.limits,
        node_selector=tuner.node_selector,
        tolerations=tuner.tolerations,
        image_pull_policy=settings.image_pull_policy,
    )


def _planning_context(settings: Settings) -> Context:
    return Context(
        catalog=catalog.load(settings.images, settings.catalog_folders),
        accelerators=AcceleratorRules(
            resource_name=settings.accelerators.resource_name,
            types={name: kind.node_labels for name, kind in settings.accelerators.types.items()},
        ),
        image_pull_policy=settings.image_pull_policy,
        follow_logs=settings.logs.follow,
        report_progress=settings.progress.enabled,
        progress_interval=settings.progress.interval_seconds,
        log_store=settings.logs.store,
        agent=AgentRules(
            image=settings.agent.image,
            requests=settings.agent.requests,
            limits=settings.agent.limits,
            node_selector=settings.agent.node_selector,
            tolerations=settings.agent.tolerations,
        ),
        schedulers=settings.gang_scheduling.schedulers,
        callbacks=RetryRules(
            first=settings.callbacks.first_retry_seconds,
            longest=settings.callbacks.longest_retry_seconds,
            give_up=settings.callbacks.give_up_seconds,
            progress_interval=settings.callbacks.progress_interval_seconds,
        ),
    )
