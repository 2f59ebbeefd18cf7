"""The life of the pod that reads a job's output, or takes a dataset: what it needs is there, it is made, it runs, it is
deleted.

Separate from `sharepod` and `pushpod`, which say what it is, because all of this is talk with the cluster. Called by
`download`, `card` and `push`; the first two have its options alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import aiohttp
import typer

from trainyard.cli import durations, sharepod
from trainyard.cli.connection import Connection
from trainyard.cli.errors import as_sentence
from trainyard.cli.exits import CommandError, ExitCode
from trainyard.cli.outputs import Place
from trainyard.cli.tunnel import refused
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

#: For the pod that reads the output to start.
LIMIT_SECONDS = 300
AgentImage = Annotated[
    str | None,
    typer.Option(
        metavar="IMAGE",
        help="Image of the pod that reads the output; default: that of the job's agent.",
        show_default=False,
    ),
]
#: Seconds; None for LIMIT_SECONDS.
Timeout = Annotated[
    int | None,
    typer.Option(
        parser=durations.seconds,
        metavar="TIME",
        help="Give up when that pod has not started after so long; default: 5m.",
        show_default=False,
    ),
]

_POLL_SECONDS = 0.5
_DELETE_SECONDS = 10.0
_NO_IMAGE = ("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName")


async def check(there: Connection, place: Place) -> None:
    """Raises CommandError for what would keep the pod from starting, where we may look."""
    kind, name = ("PersistentVolumeClaim", place.claim) if place.claim else ("Secret", place.secret)
    if name is not None:
        try:
            await there.client.request(
                "GET",
                resources.path(kind, there.namespace, name),
                headers={"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"},
            )
        except ApiError as error:
            if error.status == 404:
                raise CommandError(
                    f"There is no {kind} {name} in namespace {there.namespace}, by which {place.store} is reached: "
                    "create it, then download."
                ) from None
            if error.status != 403:
                raise
    await may_forward(there, "outputs are downloaded")


@asynccontextmanager
async def running(
    there: Connection,
    pod: Json,
    *,
    limit: int,
    does: str = "reads the output",
    idle: int = sharepod.IDLE_SECONDS,
) -> AsyncIterator[str]:
    """Makes the pod, waits until it runs, and deletes it at the end of the block, also after Ctrl-C; gives its name.

    `does` is what it does, for sentences; `idle` the seconds after which it ends by itself.
    """
    name = str(pod["metadata"]["name"])
    collection = resources.path("Pod", there.namespace)
    try:
        await there.client.post(collection, pod)
    except ApiError:
        raise
    except BaseException:
        # NB: it may have been made though no answer has come.
        await _delete(there, name, idle=idle)
        raise
    try:
        await _started(there, name, pod["spec"]["containers"][0]["image"], limit=limit, does=does)
        yield name
    finally:
        await _delete(there, name, idle=idle)


async def may_forward(there: Connection, purpose: str) -> None:
    """Raises CommandError where ports of pods may not be forwarded; `purpose` is what is done by it."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": there.namespace,
                "verb": "get",
                "resource": "pods",
                "subresource": "portforward",
            }
        },
    }
    try:
        answer = await there.client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    except ApiError:
        return
    if (answer.get("status") or {}).get("allowed") is False:
        raise CommandError(refused(there.namespace, purpose))


async def _started(there: Connection, name: str, image: str, *, limit: int, does: str) -> None:
    until = time.monotonic() + limit
    path = resources.path("Pod", there.namespace, name)
    said = ""
    while True:
        try:
            pod = await there.client.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            raise CommandError(f"The pod {name}, which {does}, was deleted by somebody.") from None
        status = pod.get("status") or {}
        if status.get("phase") == "Running":
            return
        if status.get("phase") in ("Succeeded", "Failed"):
            raise CommandError(ended(pod, does))
        reason, message = waiting(pod)
        if reason in _NO_IMAGE:
            raise CommandError(
                f"The image {image} of the pod that {does} cannot be had ({reason}: {message}): give one "
                "that the nodes can pull as --agent-image."
            )
        if time.monotonic() > until:
            told = message or await _last_event(there, name) or "no node has taken it"
            raise CommandError(
                f"The pod {name}, which {does}, has not started after {limit} s: {as_sentence(told)}",
                ExitCode.TIMED_OUT,
            )
        if message and message != said:
            typer.echo(f"Waiting for the pod {name}: {as_sentence(message)}", err=True)
            said = message
        await asyncio.sleep(_POLL_SECONDS)


def waiting(pod: Json) -> tuple[str, str]:
    """Why a pod has not started, as the scheduler or the kubelet say it: reason and message."""
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or []:
        state = (one.get("state") or {}).get("waiting") or {}
        if state.get("message"):
            return str(state.get("reason") or ""), str(state["message"])
    for one in status.get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return str(one.get("reason") or ""), str(one.get("message") or "")
    return "", ""


def ended(pod: Json, does: str) -> str:
    """What a pod that should run has left."""
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or []:
        state = (one.get("state") or {}).get("terminated") or {}
        if message := str(state.get("message") or "").strip():
            return f"The pod that {does} ended: {as_sentence(message[-1000:])}"
    told = str(status.get("message") or status.get("reason") or "its node tells no reason")
    return f"The pod that {does} ended: {as_sentence(told)}"


async def _last_event(there: Connection, name: str) -> str:
    with suppress(ApiError, aiohttp.ClientError, TimeoutError):
        params = {"fieldSelector": f"involvedObject.name={name},type=Warning"}
        events = (await there.client.get(resources.path("Event", there.namespace), params)).get("items") or []
        return str(events[-1].get("message") or "") if events else ""
    return ""


async def _delete(there: Connection, name: str, *, idle: int) -> None:
    left = f"The pod {name} could not be deleted; it ends by itself in {idle} s."
    try:
        async with asyncio.timeout(_DELETE_SECONDS):
            await there.client.delete(resources.path("Pod", there.namespace, name), {"gracePeriodSeconds": 1})
    except ApiError as error:
        if error.status != 404:
            typer.echo(left, err=True)
    except (aiohttp.ClientError, TimeoutError):
        typer.echo(left, err=True)
