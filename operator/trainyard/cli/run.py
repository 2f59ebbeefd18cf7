"""`trainyard run`: the operator. What the container of the operator's pod runs."""

from __future__ import annotations

import os

import click

from trainyard import settings
from trainyard.settings import SettingsError


@click.command("run")
@click.option(
    "--config", type=click.Path(), help="Settings file; default: the one named in TRAINYARD_CONFIG."
)
@click.option(
    "--kubeconfig", type=click.Path(), help="Kubeconfig; default: the pod's own credentials or $KUBECONFIG."
)
@click.option("--context", help="Context of the kubeconfig.")
def command(config: str | None, kubeconfig: str | None, context: str | None) -> None:
    """Run the operator until it is told to stop."""
    try:
        chosen = settings.load(config)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    named = kubeconfig or context or os.environ.get("KUBECONFIG")
    if not named and "KUBERNETES_SERVICE_HOST" not in os.environ:
        # NB: an operator must never start on whatever cluster somebody's current context happens to be.
        raise click.ClickException("Outside a cluster, say which one: --kubeconfig FILE or --context NAME.")
    from trainyard import app
    from trainyard.catalog import CatalogError
    from trainyard.cluster.client import NoClusterError

    try:
        app.run(settings=chosen, kubeconfig=kubeconfig, context=context)
    except (SettingsError, CatalogError, NoClusterError) as error:
        prefix = "There is no cluster to talk to: " if isinstance(error, NoClusterError) else ""
        raise click.ClickException(f"{prefix}{error}") from None
