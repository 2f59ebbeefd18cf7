"""`trainyard stored-log`, and how another machine's `trainyard logs` reaches it.

Hidden: it runs in the operator's pod, by exec, because the log store is a volume of that pod.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import aiohttp
import orjson
import typer

from trainyard import settings
from trainyard.cli import connection
from trainyard.cli.exits import CommandError
from trainyard.cluster import resources
from trainyard.cluster.client import Client
from trainyard.logs.configured import kept_logs
from trainyard.settings import SettingsError

Json = dict[str, Any]

_OPERATOR_CONTAINER = "operator"
_STDOUT, _STDERR, _STATUS = 1, 2, 3
_MAX_COMPLAINT = 2000


def command(
    namespace: Annotated[str, typer.Option()],
    uid: Annotated[str, typer.Option()],
    attempt: Annotated[int, typer.Option()],
    rank: Annotated[int, typer.Option()],
    config: Annotated[
        str | None, typer.Option(help="Settings file; default: the one named in TRAINYARD_CONFIG.")
    ] = None,
) -> None:
    """Print a stored log with its stamps, from the store that the settings name."""
    try:
        kept = kept_logs(settings.load(config).logs)
        lines = kept.lines(namespace=namespace, uid=uid, attempt=attempt, rank=rank)
    except (SettingsError, ValueError) as error:
        raise CommandError(str(error)) from None
    except Exception as error:
        # NB: an object store's library has exceptions of its own.
        raise CommandError(f"The log store cannot be read: {error}") from None
    if lines is None:
        raise CommandError(not_kept(attempt=attempt, rank=rank))
    try:
        for stamp, text in lines:
            sys.stdout.buffer.write(b"%b %b\n" % (stamp, text))
    except BrokenPipeError:
        raise
    except Exception as error:
        raise CommandError(f"The log store cannot be read further: {error}") from None


def not_kept(*, attempt: int, rank: int) -> str:
    return f"No log of attempt {attempt}, rank {rank} is kept; logs.retentionDays of the operator says for how long."


async def read_from_operator(
    client: Client,
    *,
    operator_namespace: str,
    namespace: str,
    uid: str,
    attempt: int,
    rank: int,
    write: Callable[[bytes], None],
) -> None:
    """Has the operator's pod print a stored log. Raises CommandError with what it says if it cannot."""
    pod, container = await _operator_pod(client, operator_namespace)
    arguments = ["--namespace", namespace, "--uid", uid, "--attempt", str(attempt), "--rank", str(rank)]
    params = [("command", part) for part in ("trainyard", "stored-log", *arguments)]
    params += [("container", container), ("stdout", "true"), ("stderr", "true")]
    complaint, status = bytearray(), Status()
    path = resources.path("Pod", operator_namespace, pod, "exec")
    try:
        async with client.websocket(path, params) as socket:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                channel, data = message.data[0], message.data[1:]
                if channel == _STDOUT:
                    write(data)
                elif channel == _STDERR:
                    complaint += data[: _MAX_COMPLAINT - len(complaint)]
                elif channel == _STATUS:
                    status.read(data)
    except aiohttp.WSServerHandshakeError as error:
        if error.status == 403:
            raise CommandError(
                f"The log is kept by the operator, and the cluster does not allow you to run commands in its pod "
                f"{pod} in namespace {operator_namespace}."
            ) from None
        raise
    if not status.success:
        said = complaint.decode("utf-8", "replace").strip().removeprefix("Error: ") or status.message
        raise CommandError(said)


class Status:
    """What the exec protocol's third channel tells at the end: a metav1.Status."""

    def __init__(self) -> None:
        self.success = False
        self.message = "The connection to the operator's pod was cut."

    def read(self, data: bytes) -> None:
        try:
            raw = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        self.success = raw.get("status") == "Success"
        self.message = raw.get("message") or self.message


async def _operator_pod(client: Client, namespace: str) -> tuple[str, str]:
    pods = await client.get(resources.path("Pod", namespace), {"labelSelector": connection.OPERATOR_SELECTOR})
    for pod in pods.get("items") or []:
        if (pod.get("status") or {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
            containers = [container["name"] for container in pod["spec"]["containers"]]
            chosen = _OPERATOR_CONTAINER if _OPERATOR_CONTAINER in containers else containers[0]
            return pod["metadata"]["name"], chosen
    raise CommandError(
        f"The log is kept by the operator, and no pod of it runs in namespace {namespace} "
        f"(choose another by --operator-namespace)."
    )
