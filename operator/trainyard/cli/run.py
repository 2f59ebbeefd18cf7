"""`trainyard run`: the operator. What the container of the operator's pod runs."""

from __future__ import annotations

import click

from trainyard import settings
from trainyard.settings import SettingsError


@click.command("run")
@click.option(
    "--config", type=click.Path(), help="Settings file; default: the one named in TRAINYARD_CONFIG."
)
@click.option("--kubeconfig", type=click.Path(), help="Kubeconfig; default: the pod's own credentials.")
@click.option("--context", help="Context of the kubeconfig.")
def command(config: str | None, kubeconfig: str | None, context: str | None) -> None:
    """Run the operator until it is told to stop."""
    from trainyard import app
    from trainyard.catalog import CatalogError
    from trainyard.cluster.client import NoClusterError

    try:
        app.run(settings=settings.load(config), kubeconfig=kubeconfig, context=context)
    except (SettingsError, CatalogError, NoClusterError) as error:
        prefix = "There is no cluster to talk to: " if isinstance(error, NoClusterError) else ""
        raise click.ClickException(f"{prefix}{error}") from None
