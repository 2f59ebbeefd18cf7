"""`trainyard run`: the operator. What the container of the operator's pod runs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from trainyard import settings
from trainyard.cli.exits import CommandError
from trainyard.settings import SettingsError


def command(
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Settings file; default: the one named in TRAINYARD_CONFIG.",
            show_default=False,
        ),
    ] = None,
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Kubeconfig; default: the pod's own credentials or $KUBECONFIG.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig.", show_default=False)
    ] = None,
) -> None:
    """Run the operator until it is told to stop."""
    try:
        chosen = settings.load(config)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    named = kubeconfig or context or os.environ.get("KUBECONFIG")
    if not named and "KUBERNETES_SERVICE_HOST" not in os.environ:
        # NB: an operator must never start on whatever cluster somebody's current context happens to be.
        raise CommandError("Outside a cluster, say which one: --kubeconfig FILE or --context NAME.")
    from trainyard import app
    from trainyard.catalog import CatalogError
    from trainyard.cluster.configuration import NoClusterError

    try:
        app.run(settings=chosen, kubeconfig=kubeconfig, context=context)
    except (SettingsError, CatalogError, NoClusterError) as error:
        prefix = "There is no cluster to talk to: " if isinstance(error, NoClusterError) else ""
        raise CommandError(f"{prefix}{error}") from None
