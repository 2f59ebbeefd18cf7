"""`trainyard version`."""

from __future__ import annotations

import click

from trainyard import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(f"trainyard {__version__}")
