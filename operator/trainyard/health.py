"""Health and metrics over HTTP: /healthz, /readyz, /metrics.

Separate because the kubelet and Prometheus are its only callers. It holds nothing that is not for everyone's eyes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trainyard.cluster.cache import TRAINING_JOB, Cache


class JobsCollector(Collector):
    """Jobs by phase and reason, counted when somebody asks."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        """One gauge with a sample for each phase and reason that occurs."""
        family = GaugeMetricFamily(
            "trainyard_jobs", "TrainingJobs by phase and reason.", labels=["phase", "reason"]
        )
        statuses = (raw.get("status") or {} for raw in self._cache.objects(TRAINING_JOB))
        counts = Counter((s.get("phase") or "Pending", s.get("reason") or "Accepted") for s in statuses)
        for (phase, reason), count in sorted(counts.items()):
            family.add_metric([phase, reason], count)
        return [family]


async def serve(*, address: str, port: int, ready: Callable[[], bool]) -> web.AppRunner:
    """Listen; the answers come from the event loop, so a loop that hangs is not healthy. Ends with `cleanup()`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if ready() else web.Response(text="starting\n", status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner
