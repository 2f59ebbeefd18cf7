"""Serving on the pod's own loopback until nobody asks any longer.

Separate because `sharing` and `intake` live and end alike: they are reached by a port-forward, and a pod that was
forgotten ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from aiohttp import web

from trainyard_agent.log import say


async def serve(
    application: web.Application, *, port: int, idle: float, quiet_for: Callable[[], float], doing: str
) -> bool:
    """Serves until SIGTERM or SIGINT (True), or until `quiet_for` gives more than `idle` seconds (False)."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        # NB: loopback alone, so that no other pod can ask; a port-forward ends in the pod's own network.
        await web.TCPSite(runner, "127.0.0.1", port).start()
        say(f"{doing} on 127.0.0.1:{port}.")
        while not ended.is_set() and quiet_for() < idle:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), timeout=min(1.0, idle))
        return ended.is_set()
    finally:
        await runner.cleanup()
