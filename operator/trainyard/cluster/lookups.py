"""Reads of what no watch of ours tells: the warnings of one pod, one node.

Separate from the cache, which they do not enter: they are as old as their answer. Called by `reconcile.lookups`.
"""

from __future__ import annotations

from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.lookedup import NodeView, PodEvent

_AT_MOST = "100"
_LONGEST_LINE = 256 << 10
#: A container runtime cuts a line into records of 16 KiB, and it is these that the kubelet counts as lines.
_RECORD = 16 << 10
_RECORDS = _LONGEST_LINE // _RECORD + 1
_LOG_SECONDS = 10.0


async def warnings_of(client: Client, *, namespace: str, pod_uid: str) -> tuple[PodEvent, ...]:
    """The Warning Events of a pod, of the last hour. Raises as `Client.get` does."""
    selector = f"involvedObject.uid={pod_uid},type=Warning"
    answer = await client.get(
        resources.path("Event", namespace), {"fieldSelector": selector, "limit": _AT_MOST}
    )
    return tuple(PodEvent.from_raw(raw) for raw in answer.get("items") or [])


async def last_line(client: Client, *, namespace: str, pod: str, container: str) -> str:
    """The last line that a container has printed, cut to 256 KiB. Raises as `Client.get` does."""
    where = f"{resources.path('Pod', namespace, pod)}/log"
    asked = {"container": container, "tailLines": str(_RECORDS), "limitBytes": str(2 * _LONGEST_LINE)}
    found = bytearray()
    async with client.stream(where, asked, total=_LOG_SECONDS) as stream:
        while portion := await stream.readany():
            found += portion
    return found.decode(errors="replace").strip().rpartition("\n")[2]


async def node(client: Client, name: str) -> NodeView:
    """A node as it is, also when it is gone or we may not see it. Raises as `Client.get` does for anything else."""
    try:
        return NodeView.from_raw(await client.get(resources.path("Node", name=name)))
    except ApiError as error:
        if error.status == 404:
            return NodeView(name=name, state="gone")
        if error.status == 403:
            return NodeView(name=name, state="hidden")
        raise
