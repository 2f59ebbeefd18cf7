"""The operator's settings, as far as the user may read them: images, volumes, where outputs go.

Separate because commands that make pods need them, and most users may not read them: then defaults hold.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from trainyard.cli import connection
from trainyard.cli.connection import Connection
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

_SETTINGS_FILE = "settings.yaml"

Namespace = Annotated[
    str, typer.Option(help="Namespace of the operator, whose settings name the agent's image.")
]


async def read(there: Connection, namespace: str = connection.OPERATOR_NAMESPACE) -> Json:
    """The settings; empty where they may not be read, or are not there."""
    try:
        listing = await there.client.get(
            resources.path("ConfigMap", namespace), {"labelSelector": "app.kubernetes.io/part-of=trainyard"}
        )
    except ApiError as error:
        if error.status in (403, 404):
            return {}
        raise
    for one in listing.get("items") or []:
        try:
            found = yaml.safe_load((one.get("data") or {}).get(_SETTINGS_FILE) or "")
        except yaml.YAMLError:
            continue
        if isinstance(found, dict):
            return found
    return {}
