"""The cluster that a command talks to, and its errors as sentences.

Separate because every command that needs a cluster has the same options and must fail in the same way: one
sentence on stderr, exit code 1, no traceback.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import click
import yaml
from kubernetes.aio import config

from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client, NoClusterError

Json = dict[str, Any]
_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, kw_only=True)
class Where:
    """What the command line says about the cluster; None for what it leaves to the kubeconfig."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A client and the namespace that is meant."""

    client: Client
    namespace: str

    async def training_job(self, name: str) -> Json:
        """The raw TrainingJob. Raises ClickException when there is none of that name."""
        try:
            return await self.client.get(resources.path("TrainingJob", self.namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise
            if not (error.body.get("details") or {}).get("name"):
                raise click.ClickException(
                    "This cluster has no TrainingJobs; Trainyard is not installed."
                ) from None
            raise click.ClickException(
                f"There is no TrainingJob {name} in namespace {self.namespace}."
            ) from None


def options(command: _Command) -> _Command:
    """-n, --context and --kubeconfig."""
    namespace = click.option("-n", "--namespace", help="Namespace; default: that of the context.")
    return namespace(cluster_options(command))


def cluster_options(command: _Command) -> _Command:
    """--context and --kubeconfig, for commands with a word of their own on namespaces."""
    for option in (
        click.option("--kubeconfig", type=click.Path(), help="Kubeconfig; default: that of kubectl."),
        click.option("--context", help="Context of the kubeconfig; default: the current one."),
    ):
        command = option(command)
    return command


@asynccontextmanager
async def connected(where: Where) -> AsyncIterator[Connection]:
    """A connection as the command line and the kubeconfig say."""
    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    client = await Client.from_environment(kubeconfig=where.kubeconfig, context=where.context)
    try:
        yield Connection(client=client, namespace=where.namespace or default_namespace(where))
    finally:
        await client.close()


def default_namespace(where: Where) -> str:
    """The namespace of the context, or of the pod that the command runs in."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and _POD_NAMESPACE.exists()
    if in_pod and where.kubeconfig is None and where.context is None:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    contexts, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]  # untyped in the official client
        config_file=where.kubeconfig
    )
    wanted = where.context or (current or {}).get("name")
    chosen: Json = next((entry for entry in contexts if entry.get("name") == wanted), {})
    return (chosen.get("context") or {}).get("namespace") or "default"


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs the work of a command. Raises ClickException with a sentence for what a user can meet."""
    try:
        return asyncio.run(work)
    except ApiError as error:
        raise click.ClickException(sentence(error)) from None
    except (config.ConfigException, NoClusterError) as error:
        raise click.ClickException(f"There is no cluster to talk to: {_as_sentence(str(error))}") from None
    except yaml.YAMLError as error:
        raise click.ClickException(
            f"The kubeconfig cannot be read: {' '.join(str(error).split())}."
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        detail = str(error) or type(error).__name__
        raise click.ClickException(f"The cluster does not answer: {_as_sentence(detail)}") from None


def sentence(error: ApiError) -> str:
    """What a refusal of the API server means to the user."""
    if error.status == 401:
        return "The cluster does not know you; log in again or choose another context."
    if error.status == 403:
        return f"The cluster does not allow this: {_as_sentence(error.message)}"
    return f"The cluster refuses this ({error.status} {error.reason}): {_as_sentence(error.message)}"


def _as_sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
