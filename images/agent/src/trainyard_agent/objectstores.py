"""Connections to object stores for reading, by the `obstore` library, and who we are there.

Separate because each kind of store is told in its own way who we are; the keys of the Secret are those of
`credentials`, which does the same for writing. Called by `objectsource`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from trainyard_agent.credentials import CONNECT_SECONDS, READ_SECONDS, secret_values, set_variables
from trainyard_agent.order import Place
from trainyard_agent.troubles import Trouble

#: One way to ask: as whom we are by the Secret or by the pod's identity, as nobody, as the node is.
Way = Callable[[], Any]

_AZURE_HOST = ".dfs.core.windows.net"


def ways(place: Place, secret: Path) -> tuple[Way, ...]:
    """The ways to ask this store, each of which makes the connection; the next one is for where one is refused.

    Without credentials in the Secret and without an identity of the pod, we ask as nobody, which public data takes;
    after that as the node, by the cloud's metadata server.
    """
    values = secret_values(secret)
    set_variables(values)
    kind, _, rest = place.uri.partition("://")
    bucket = rest.partition("/")[0]
    if kind == "s3":
        return _s3(place, bucket, values)
    if kind == "gs":
        return _gcs(place, bucket, values, secret)
    return _azure(place, bucket, values)


def key_of(uri: str) -> str:
    """The part of a source's address after its bucket."""
    return uri.partition("://")[2].partition("/")[2]


def _s3(place: Place, bucket: str, values: Mapping[str, str]) -> tuple[Way, ...]:
    from obstore.store import S3Store

    config: dict[str, Any] = {
        "region": place.region or values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION")
    }
    endpoint = place.endpoint or values.get("AWS_ENDPOINT_URL_S3") or values.get("AWS_ENDPOINT_URL")
    if endpoint:
        # NB: both, as a variable in the environment for the one would win over the other.
        config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    keys = {
        "access_key_id": values.get("AWS_ACCESS_KEY_ID"),
        "secret_access_key": values.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": values.get("AWS_SESSION_TOKEN"),
    }

    def connect(**more: Any) -> Way:
        return lambda: S3Store(bucket, **_given(config | more), **_client(endpoint or ""))

    if keys["access_key_id"]:
        return (connect(**keys),)
    if _has("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID", *_AWS_CONTAINER):
        return (connect(),)
    return connect(skip_signature=True), connect()


_AWS_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


def _gcs(place: Place, bucket: str, values: Mapping[str, str], secret: Path) -> tuple[Way, ...]:
    from obstore.store import GCSStore

    config = {"base_url": place.endpoint or None}
    variable = "GOOGLE_APPLICATION_CREDENTIALS"

    def connect(**more: Any) -> Way:
        return lambda: GCSStore(bucket, **_given(config | more), **_client(place.endpoint))

    keys = sorted(name for name in values if name.endswith(".json") or name == f"{variable}_JSON")
    path = str(secret / keys[0]) if keys else os.environ.get(variable)
    if path:
        return (connect(**_google_key(path)),)
    return connect(skip_signature=True), connect()


def _google_key(path: str) -> dict[str, Any]:
    try:
        kind = json.loads(Path(path).read_bytes()).get("type")
    except (OSError, ValueError, AttributeError) as error:
        raise Trouble(
            "forbidden",
            f"{Path(path).name} in the Secret is no key of a Google service account ({type(error).__name__}): put the"
            " JSON file that Google gave into it.",
        ) from error
    if kind not in ("service_account", "authorized_user"):
        raise Trouble(
            "unsupported",
            f"{Path(path).name} in the Secret is a key of type {kind!r}, which is not read: give the key of a service"
            " account, or leave the Secret out and use workload identity.",
        )
    return {"application_credentials": path}


def _azure(place: Place, bucket: str, values: Mapping[str, str]) -> tuple[Way, ...]:
    from obstore.store import AzureStore

    def first(*names: str) -> str | None:
        return next((values[name] for name in names if values.get(name)), None)

    said = _connection_string(values.get("AZURE_STORAGE_CONNECTION_STRING") or "")
    container, _, host = bucket.partition("@")
    account = (
        place.account
        or (host.removesuffix(_AZURE_HOST) if host else None)
        or first("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
        or said.get("account_name")
    )
    if not account:
        raise Trouble(
            "missing",
            f"{place.uri} does not say whose it is: set source.account to the name of the storage account, or"
            " AZURE_STORAGE_ACCOUNT in the Secret.",
        )
    endpoint = place.endpoint or said.get("endpoint") or ""
    config = {"account_name": account, "endpoint": endpoint or None}
    keys = {
        "account_key": first("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY") or said.get("account_key"),
        "sas_key": (first("AZURE_STORAGE_SAS_TOKEN") or said.get("sas_key") or "").removeprefix("?"),
        "client_secret": first("AZURE_CLIENT_SECRET"),
    }
    ids = {"client_id": first("AZURE_CLIENT_ID"), "tenant_id": first("AZURE_TENANT_ID")}

    def connect(**more: Any) -> Way:
        return lambda: AzureStore(container, **_given(config | more), **_client(endpoint))

    if any(keys.values()):
        return (connect(**keys, **(ids if keys["client_secret"] else {})),)
    if _has("AZURE_FEDERATED_TOKEN_FILE"):
        return (connect(**ids),)
    return connect(skip_signature=True), connect(**ids)


def _connection_string(text: str) -> dict[str, str]:
    """Azure's `Name=value;Name=value`; a value may have `=` in it."""
    said = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    endpoint = said.get("BlobEndpoint") or ""
    if not endpoint and said.get("EndpointSuffix") and said.get("AccountName"):
        protocol = said.get("DefaultEndpointsProtocol") or "https"
        endpoint = f"{protocol}://{said['AccountName']}.blob.{said['EndpointSuffix']}"
    names = {
        "account_name": said.get("AccountName"),
        "account_key": said.get("AccountKey"),
        "sas_key": said.get("SharedAccessSignature"),
        "endpoint": endpoint.rstrip("/"),
    }
    return {name: value for name, value in names.items() if value}


def _client(endpoint: str) -> dict[str, Any]:
    """How it asks. NB: trying again is our own business, which knows when time is up."""
    options: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=READ_SECONDS),
        "timeout": timedelta(days=1),
    }
    authority = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if authority:
        options["root_certificate"] = Path(authority).read_bytes()
    return {"client_options": options, "retry_config": {"max_retries": 0}}


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value}


def _has(*variables: str) -> bool:
    return any(os.environ.get(name) for name in variables)
