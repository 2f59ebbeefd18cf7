"""Stopping the operator's Deployment before its finalizers are taken off.

Separate because it is the only place where a command changes the installation itself. Called by `release`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import typer

from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client

Json = dict[str, Any]

_EVERY_SECONDS = 0.5
# Beyond the grace that its pods have: one on a node that is lost never goes.
_PATIENCE_SECONDS = 15.0


async def stop(client: Client, namespace: str, name: str, *, limit: float) -> None:
    """Scale a Deployment to 0 and wait until its pods are gone, at most `limit` seconds; says what came of it.

    Raises ApiError, aiohttp.ClientError or TimeoutError.
    """
    path = resources.path("Deployment", namespace, name)
    try:
        deployment = await client.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        typer.echo(f"There is no deployment {namespace}/{name} to stop.")
        return
    await client.merge_patch(f"{path}/scale", {"spec": {"replicas": 0}})
    spec = deployment["spec"]
    selector = ",".join(f"{key}={value}" for key, value in spec["selector"]["matchLabels"].items())
    grace = spec["template"]["spec"].get("terminationGracePeriodSeconds", 30)
    deadline = time.monotonic() + min(limit, grace + _PATIENCE_SECONDS)
    while names := await _alive(client, namespace, selector):
        if time.monotonic() > deadline:
            typer.echo(f"Pod {', '.join(names)} of {namespace}/{name} does not end; going on.", err=True)
            return
        await asyncio.sleep(_EVERY_SECONDS)
    typer.echo(f"Stopped deployment {namespace}/{name}.")


async def _alive(client: Client, namespace: str, selector: str) -> list[str]:
    """The names of the pods that may still run."""
    listed = await client.get(resources.path("Pod", namespace), {"labelSelector": selector})
    ended = ("Succeeded", "Failed")
    return [pod["metadata"]["name"] for pod in listed["items"] if pod["status"].get("phase") not in ended]
