"""A store's Secret, mounted as one file a key, in the words of the library for that store.

Separate because each kind of store is told who we are in its own way. Called by `bucket`, again whenever a store has
refused us: a Secret that is changed reaches a running pod.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainyard_agent.order import Place

CONNECT_SECONDS, READ_SECONDS = 10, 60
CONNECTIONS = 24

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def options(place: Place, secret: Path) -> dict[str, Any]:
    """What fsspec's file system for `place` is made with. Without a Secret it is the pod's identity that counts.

    Keys that look like environment variables and are no credentials (AWS_CA_BUNDLE, AWS_REQUEST_CHECKSUM_CALCULATION,
    ...) become environment variables.
    """
    values = secret_values(secret)
    set_variables(values)
    kind = place.uri.partition("://")[0]
    if kind == "s3":
        return _s3(place, values)
    if kind == "gs":
        return _gcs(place, values, secret)
    if kind in ("abfs", "abfss", "az"):
        return _azure(place, values)
    return {}


def _s3(place: Place, values: Mapping[str, str]) -> dict[str, Any]:
    given = {
        "key": values.get("AWS_ACCESS_KEY_ID"),
        "secret": values.get("AWS_SECRET_ACCESS_KEY"),
        "token": values.get("AWS_SESSION_TOKEN"),
        "endpoint_url": place.endpoint or values.get("AWS_ENDPOINT_URL_S3") or values.get("AWS_ENDPOINT_URL"),
    }
    region = place.region or values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION")
    return {
        **{name: value for name, value in given.items() if value},
        "client_kwargs": {"region_name": region} if region else {},
        # NB: trying again is our own business, which knows when time is up.
        "config_kwargs": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "max_pool_connections": CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": 1},
        },
    }


def _gcs(place: Place, values: Mapping[str, str], secret: Path) -> dict[str, Any]:
    keys = [
        name for name in values if name.endswith(".json") or name == "GOOGLE_APPLICATION_CREDENTIALS_JSON"
    ]
    return {
        **({"token": str(secret / sorted(keys)[0])} if keys else {}),
        **({"endpoint_url": place.endpoint} if place.endpoint else {}),
    }


def _azure(place: Place, values: Mapping[str, str]) -> dict[str, Any]:
    def first(*names: str) -> str | None:
        return next((values[name] for name in names if values.get(name)), None)

    given = {
        "account_name": place.account or first("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
        "account_key": first("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
        "sas_token": first("AZURE_STORAGE_SAS_TOKEN"),
        "connection_string": first("AZURE_STORAGE_CONNECTION_STRING"),
        "tenant_id": first("AZURE_TENANT_ID"),
        "client_id": first("AZURE_CLIENT_ID"),
        "client_secret": first("AZURE_CLIENT_SECRET"),
    }
    known = {name: value for name, value in given.items() if value}
    own = {"account_key", "sas_token", "connection_string", "client_secret"} & known.keys()
    # NB: without credentials and without this, adlfs asks as nobody.
    return known if own else {**known, "anon": False}


def set_variables(values: Mapping[str, str]) -> None:
    """Puts the keys that look like environment variables, and are no credentials, into the environment."""
    for name, value in values.items():
        if _VARIABLE.fullmatch(name) and "\n" not in value and not _is_credential(name):
            os.environ.setdefault(name, value)


def secret_values(secret: Path) -> dict[str, str]:
    """The Secret's keys. The kubelet's own links in the folder begin with two dots."""
    if not secret.is_dir():
        return {}
    return {
        path.name: path.read_text(errors="replace").strip()
        for path in sorted(secret.iterdir())
        if path.is_file() and not path.name.startswith("..")
    }


def _is_credential(name: str) -> bool:
    return any(word in name for word in ("KEY", "SECRET", "TOKEN", "CREDENTIALS", "CONNECTION_STRING"))
