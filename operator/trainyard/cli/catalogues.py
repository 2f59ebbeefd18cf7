"""Which catalogue a command speaks of: the release's, with folders, or with what a cluster's operator is given.

Separate because `runtimes` and `schema` have the same options, and work without a cluster unless told otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from trainyard import catalog
from trainyard.catalog import CatalogError
from trainyard.cli import connection
from trainyard.cli.connection import Connection, Where
from trainyard.cli.exits import CommandError
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError
from trainyard.planning.runtime import Runtime

# Where the chart mounts entries.
_CATALOG_FOLDER = "/etc/trainyard-catalog/"


Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--catalog",
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="Also the entries in this folder; may be given again.",
        show_default=False,
    ),
]
Cluster = Annotated[
    bool,
    typer.Option("--cluster", help="Also the entries that the cluster's operator is given by ConfigMaps."),
]
OperatorNamespace = Annotated[str, typer.Option(help="Namespace of the operator (with --cluster).")]


def load(folders: list[Path] | None, where: Where | None) -> tuple[Runtime, ...]:
    """The entries. Raises ClickException with a sentence for one that is wrong."""
    try:
        files: dict[str, str] = {}
        for folder in folders or ():
            _add(files, catalog.texts(str(folder)), source=str(folder))
        if where is not None:
            for name, found in connection.run(_config_maps(where)):
                _add(files, found, source=f"ConfigMap {name}")
        return catalog.with_files(files)
    except CatalogError as error:
        raise CommandError(str(error)) from None


def _add(files: dict[str, str], more: dict[str, str], *, source: str) -> None:
    for name, text in more.items():
        if name in files:
            raise CatalogError(f"{source}: there is a file {name} elsewhere already.")
        files[name] = text


async def _config_maps(where: Where) -> list[tuple[str, dict[str, str]]]:
    """The files of the ConfigMaps that the operator's Deployment mounts as its catalogue."""
    async with connection.connected(where) as there:
        found = await there.client.get(
            resources.path("Deployment", there.namespace), {"labelSelector": connection.OPERATOR_SELECTOR}
        )
        deployments = found.get("items") or []
        if len(deployments) != 1:
            number = len(deployments)
            raise CommandError(
                f"Namespace {there.namespace} has {number} Deployments of a Trainyard operator, not 1: give the "
                "operator's namespace as --operator-namespace."
            )
        return [
            (name, await _files(there, name)) for name in _mounted(deployments[0]["spec"]["template"]["spec"])
        ]


def _mounted(pod: dict[str, Any]) -> list[str]:
    volumes = {
        one["name"]: one["configMap"]["name"] for one in pod.get("volumes") or [] if "configMap" in one
    }
    return [
        volumes[mount["name"]]
        for container in pod["containers"]
        for mount in container.get("volumeMounts") or []
        if mount["mountPath"].startswith(_CATALOG_FOLDER) and mount["name"] in volumes
    ]


async def _files(there: Connection, name: str) -> dict[str, str]:
    try:
        found = await there.client.get(resources.path("ConfigMap", there.namespace, name))
    except ApiError as error:
        if error.status != 404:
            raise
        raise CommandError(
            f"ConfigMap {name} is not there; without it the operator does not start again."
        ) from None
    return {file: text for file, text in (found.get("data") or {}).items() if not file.startswith(".")}
