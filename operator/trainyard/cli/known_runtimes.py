"""Which catalogue a command speaks of: the release's, with folders, or with what a cluster's operator is given.

Separate because `runtimes` and `schema` have the same options, and work without a cluster unless told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from trainyard import catalog
from trainyard.api import names
from trainyard.catalog import CatalogError
from trainyard.cli import connection
from trainyard.cli.connection import Where
from trainyard.cluster import resources
from trainyard.planning.runtime import Runtime

_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(command: _Command) -> _Command:
    """--catalog, --cluster and what goes with it."""
    for option in (
        click.option("--kubeconfig", type=click.Path(), help="Kubeconfig; default: that of kubectl."),
        click.option("--context", help="Context of the kubeconfig; default: the current one."),
        click.option(
            "--operator-namespace",
            default="trainyard-system",
            show_default=True,
            help="Namespace of the operator, where the ConfigMaps with entries are (with --cluster).",
        ),
        click.option(
            "--cluster",
            is_flag=True,
            help=f"Also the entries in ConfigMaps of the cluster that are labelled {names.LABEL_CATALOG}=true.",
        ),
        click.option(
            "--catalog",
            "folders",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            multiple=True,
            help="Also the entries in this folder; may be given again.",
        ),
    ):
        command = option(command)
    return command


def load(
    *,
    folders: tuple[Path, ...],
    cluster: bool,
    operator_namespace: str,
    context: str | None,
    kubeconfig: str | None,
) -> tuple[Runtime, ...]:
    """The entries. Raises ClickException with a sentence for one that is wrong."""
    try:
        files: dict[str, str] = {}
        for folder in folders:
            _add(files, catalog.texts(str(folder)), source=str(folder))
        if cluster:
            where = Where(namespace=operator_namespace, context=context, kubeconfig=kubeconfig)
            for name, found in connection.run(_config_maps(where)):
                _add(files, found, source=f"ConfigMap {name}")
        return catalog.with_files(files)
    except CatalogError as error:
        raise click.ClickException(str(error)) from None


def print_data(found: Any, *, output: str) -> None:
    """As `json` or `yaml`."""
    text = json.dumps(found, indent=2)
    if output == "yaml":
        # NB: by way of JSON, or shared parts would become anchors.
        text = yaml.safe_dump(json.loads(text), sort_keys=False, width=110).rstrip()
    click.echo(text)


def _add(files: dict[str, str], more: dict[str, str], *, source: str) -> None:
    for name, text in more.items():
        if name in files:
            raise CatalogError(f"{source}: there is a file {name} elsewhere already.")
        files[name] = text


async def _config_maps(where: Where) -> list[tuple[str, dict[str, str]]]:
    async with connection.connected(where) as there:
        path = resources.path("ConfigMap", there.namespace)
        found = await there.client.get(path, {"labelSelector": f"{names.LABEL_CATALOG}=true"})
    items = found.get("items") or []
    return [(item["metadata"]["name"], dict(item.get("data") or {})) for item in items]
