"""The cluster that a command talks to.

Separate because every command that needs a cluster has the same options, and finds it in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import aiohttp
import typer
import yaml
from kubernetes.aio import config

from trainyard.cli import completing, errors, kinds
from trainyard.cli.exits import CommandError
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.configuration import NoClusterError, kubeconfig_file
from trainyard.planning.nearest import hint

Json = dict[str, Any]
_Result = TypeVar("_Result")

Namespace = Annotated[
    str | None,
    typer.Option(
        "-n",
        "--namespace",
        help="Namespace; default: that of the context.",
        show_default=False,
        autocompletion=completing.namespaces,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        help="Context of the kubeconfig; default: the current one.",
        show_default=False,
        autocompletion=completing.contexts,
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(help="Kubeconfig; default: that of kubectl.", metavar="FILE", show_default=False),
]
#: One TrainingJob or Experiment; `kinds.run` reads it.
Run = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB",
        help="A TrainingJob; of an Experiment, as experiment NAME or exp/NAME.",
        show_default=False,
        autocompletion=completing.runs,
    ),
]
#: Several; `kinds.runs` reads them.
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="JOB",
        help="TrainingJobs; Experiments as experiment NAME... or exp/NAME.",
        show_default=False,
        autocompletion=completing.runs,
    ),
]
DatasetKind = Annotated[
    str,
    typer.Argument(
        metavar="dataset",
        help="The word dataset.",
        parser=kinds.dataset_word,
        show_default=False,
        autocompletion=completing.dataset_word,
    ),
]
Dataset = Annotated[
    str,
    typer.Argument(
        metavar="NAME", parser=kinds.dataset, show_default=False, autocompletion=completing.datasets
    ),
]
Datasets = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME", parser=kinds.dataset, show_default=False, autocompletion=completing.datasets
    ),
]
ExperimentKind = Annotated[
    str,
    typer.Argument(
        metavar="experiment",
        help="The word experiment.",
        parser=kinds.experiment_word,
        show_default=False,
        autocompletion=completing.experiment_word,
    ),
]
Experiment = Annotated[
    str,
    typer.Argument(
        metavar="NAME", parser=kinds.experiment, show_default=False, autocompletion=completing.experiments
    ),
]
ModelKind = Annotated[
    str,
    typer.Argument(
        metavar="model",
        help="The word model.",
        parser=kinds.model_word,
        show_default=False,
        autocompletion=completing.model_word,
    ),
]
Model = Annotated[
    str,
    typer.Argument(metavar="NAME", parser=kinds.model, show_default=False, autocompletion=completing.models),
]
Models = Annotated[
    list[str],
    typer.Argument(metavar="NAME", parser=kinds.model, show_default=False, autocompletion=completing.models),
]

#: For a list of objects without spec and status.
METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
#: Where the chart is installed unless somebody chose otherwise.
OPERATOR_NAMESPACE = "trainyard-system"
#: The labels of the operator's Deployment and pod that no value of the chart changes.
OPERATOR_SELECTOR = "app.kubernetes.io/part-of=trainyard,app.kubernetes.io/component=operator"

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_MOST_NAMES = "500"


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
        """The raw TrainingJob. Raises CommandError when there is none of that name."""
        return await self.object("TrainingJob", name)

    async def object(self, kind: str, name: str) -> Json:
        """The raw object of a kind of ours. Raises CommandError when there is none of that name."""
        try:
            return await self.client.get(resources.path(kind, self.namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise
            raise CommandError(await self.missing(kind, name, error)) from None

    async def missing(self, kind: str, name: str, error: ApiError) -> str:
        """What a 404 means: no such object, with the nearest names, or no such kind."""
        if errors.is_not_served(error):
            return errors.NOT_INSTALLED
        there = f"There is no {kind} {name} in namespace {self.namespace}"
        try:
            known = await self.names(kind)
        except (ApiError, aiohttp.ClientError, TimeoutError):
            return f"{there}."
        return f"{there}: {hint(name, known)}"

    async def names(self, kind: str) -> list[str]:
        """The names of the objects of a kind in the namespace; of very many, the first."""
        found = await self.client.request(
            "GET",
            resources.path(kind, self.namespace),
            params={"limit": _MOST_NAMES},
            headers=METADATA_ONLY,
        )
        return [raw["metadata"]["name"] for raw in found.get("items") or []]


@asynccontextmanager
async def connected(where: Where) -> AsyncIterator[Connection]:
    """A connection as the command line and the kubeconfig say."""
    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    client = await _client(where)
    try:
        yield Connection(client=client, namespace=where.namespace or default_namespace(where))
    finally:
        await client.close()


async def _client(where: Where) -> Client:
    try:
        return await Client.from_environment(kubeconfig=where.kubeconfig, context=where.context)
    except (NoClusterError, config.ConfigException, yaml.YAMLError):
        raise
    except Exception:
        # NB: of a file that is no kubeconfig at all the official client raises anything.
        named = kubeconfig_file(where.kubeconfig)
        raise CommandError(f"{named} is no kubeconfig; name another by --kubeconfig.") from None


def default_namespace(where: Where) -> str:
    """The namespace of the context, or of the pod that the command runs in."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and _POD_NAMESPACE.exists()
    if in_pod and where.kubeconfig is None and where.context is None:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    found, current = contexts(where.kubeconfig)
    chosen: Json = next((e for e in found if e.get("name") == (where.context or current)), {})
    return (chosen.get("context") or {}).get("namespace") or "default"


def contexts(kubeconfig: str | None) -> tuple[list[Json], str | None]:
    """The contexts of the kubeconfig, and the current one's name."""
    found, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]  # untyped in the official client
        config_file=kubeconfig_file(kubeconfig)
    )
    return found, (current or {}).get("name")


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs the work of a command. Raises CommandError with a sentence for what a user can meet."""
    with errors.told():
        return asyncio.run(work)
