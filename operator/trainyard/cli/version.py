"""`trainyard version`."""

from __future__ import annotations

import typer

from trainyard import __version__


def command() -> None:
    """Print the version."""
    typer.echo(f"trainyard {__version__}")
