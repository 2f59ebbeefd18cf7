"""The operator put together: client, cache, queue, workers, log followers, health, and kopf's watches.

Separate because it is the only place that knows all the parts; `trainyard run` calls it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

import aiohttp
import kopf
from prometheus_client import REGISTRY

from trainyard import catalog, handlers, health
from trainyard.api import names
from trainyard.cluster.cache import DATASET, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.execute import Executor
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.trainingjob import Context
from trainyard.reconcile.dataset import DatasetReconciler
from trainyard.reconcile.logs import FollowedLogs, NoLogs
from trainyard.reconcile.loop import Doorbell, Loop
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.references import References
from trainyard.reconcile.resync import prime, resync_forever
from trainyard.reconcile.trainingjob import TrainingJobReconciler
from trainyard.settings import Settings

logger = logging.getLogger(__name__)

_CRD_WAIT_SECONDS = 5.0


def run(*, settings: Settings, kubeconfig: str | None = None, context: str | None = None) -> None:
    """Run until SIGTERM or SIGINT. Raises CatalogError, or what kopf or a worker failed with."""
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)-7s %(name)s %(message)s", force=True
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    asyncio.run(_run(settings, kubeconfig=kubeconfig, context=context))


async def _run(settings: Settings, *, kubeconfig: str | None, context: str | None) -> None:
    planning = _planning_context(settings)
    client = await Client.from_environment(kubeconfig=kubeconfig, context=context)
    cache, queue, references = Cache(), KeyedQueue(), References()
    logs = (
        FollowedLogs(
            client=client,
            store_url=settings.logs.store,
            queue=queue,
            interval=settings.progress.interval_seconds,
        )
        if settings.logs.follow
        else NoLogs()
    )
    executor = Executor(client, cache)
    jobs = TrainingJobReconciler(
        cache=cache, executor=executor, logs=logs, references=references, context=planning
    )
    datasets = DatasetReconciler(client=client, cache=cache, executor=executor)
    doorbell = Doorbell(cache=cache, queue=queue, references=references)
    kinds: dict[str, Callable[[Key], Awaitable[float | None]]] = {
        TRAINING_JOB: jobs.reconcile,
        DATASET: datasets.reconcile,
    }
    loop = Loop(queue=queue, doorbell=doorbell, kinds=kinds, workers=settings.workers)
    namespaces: tuple[str | None, ...] = settings.namespaces or (None,)

    watching = asyncio.Event()
    collector = health.JobsCollector(cache)
    REGISTRY.register(collector)
    endpoint = await health.serve(
        address=settings.endpoint.address, port=settings.endpoint.port, ready=watching.is_set
    )
    logger.info("Health and metrics on %s", ", ".join(map(str, endpoint.addresses)))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await _until(stop, _work(settings, client, cache, queue, doorbell, loop, namespaces, watching, stop))
    finally:
        await logs.close()
        await endpoint.cleanup()
        REGISTRY.unregister(collector)
        await client.close()


async def _work(
    settings: Settings,
    client: Client,
    cache: Cache,
    queue: KeyedQueue,
    doorbell: Doorbell,
    loop: Loop,
    namespaces: tuple[str | None, ...],
    watching: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    await _wait_for_crds(client)
    await prime(client, cache, queue, namespaces=namespaces)
    logger.info("Operator is started; %d TrainingJobs", len(cache.keys(TRAINING_JOB)))
    async with asyncio.TaskGroup() as group:
        group.create_task(loop.run(), name="workers")
        group.create_task(
            resync_forever(client, cache, queue, namespaces=namespaces, every=settings.resync_seconds),
            name="resync",
        )
        group.create_task(_own_signals(watching, stop), name="signals")
        await asyncio.sleep(0)  # NB: kopf cancels, at its end, every task that is younger than itself
        await kopf.operator(
            registry=handlers.registry(doorbell, client),
            settings=handlers.settings(),
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            ready_flag=watching,
        )
        raise RuntimeError("The watches have ended by themselves.")


async def _own_signals(watching: asyncio.Event, stop: asyncio.Event) -> None:
    """Take the signals back from kopf, which on them waits five seconds for tasks that are not its own."""
    await watching.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


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


async def _wait_for_crds(client: Client) -> None:
    """Kopf looks for resources once, at its start; so they must be there."""
    while True:
        problem = "they are not installed: kubectl apply --server-side -f crds/"
        try:
            served = await client.get(f"/apis/{names.GROUP}/{names.VERSION}")
            if {"trainingjobs", "datasets"} <= {r["name"] for r in served.get("resources") or []}:
                return
        except ApiError as error:
            if error.status != 404:
                problem = str(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = f"the API server does not answer ({error})"
        logger.warning("Waiting for the CRDs of %s: %s", names.GROUP, problem)
        await asyncio.sleep(_CRD_WAIT_SECONDS)


def _planning_context(settings: Settings) -> Context:
    return Context(
        catalog=catalog.load(settings.images),
        accelerators=AcceleratorRules(
            resource_name=settings.accelerators.resource_name,
            types={name: kind.node_labels for name, kind in settings.accelerators.types.items()},
        ),
        image_pull_policy=settings.image_pull_policy,
        follow_logs=settings.logs.follow,
        report_progress=settings.progress.enabled,
        progress_interval=settings.progress.interval_seconds,
        log_store=settings.logs.store,
    )
