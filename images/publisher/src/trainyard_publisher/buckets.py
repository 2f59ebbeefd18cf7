"""A folder of an object store, by the `obstore` library.

Separate because objects appear whole and every call is a request. Made by `folders`. What is sent carries its SHA-256
where the store checks that (S3); a request that fails is tried again by the library, with growing pauses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions

from trainyard_publisher import credentials
from trainyard_publisher.order import Order, folder_of
from trainyard_publisher.problems import Failed, Refused
from trainyard_publisher.version import File

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_AZURE_HOST = ".dfs.core.windows.net"
_PART_BYTES = 16 << 20
_AT_ONCE = 4


class Bucket:
    """The folder of an s3://, gs:// or abfs:// target. Its tags are the store's own."""

    def __init__(self, order: Order) -> None:
        self._name = order.uri
        self._folder = folder_of(order.place)
        bucket = order.place.partition("/")[0]
        try:
            self._store = _store(order, bucket, credentials.values(order.secret))
        except exceptions.BaseError as error:
            raise Refused(
                f"{self._name} cannot be reached as it is told ({_brief(error)}): check the keys of the target's "
                "Secret, its endpoint, region and account."
            ) from error

    def read(self, name: str) -> bytes | None:
        try:
            with self._told():
                return bytes(obstore.get(self._store, self._key(name)).bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._told():
            obstore.put(self._store, self._key(name), data)

    def tag(self, name: str) -> str | None:
        try:
            with self._told():
                found = obstore.head(self._store, self._key(name))
        except FileNotFoundError:
            return None
        return f"{found.get('e_tag') or ''} {found['size']}"

    def put(self, file: File) -> str:
        with self._told():
            sent = obstore.put(
                self._store,
                self._key(file.name),
                file.path,
                chunk_size=_PART_BYTES,
                max_concurrency=_AT_ONCE,
            )
        found = self.tag(file.name)
        if found is None or (sent.get("e_tag") and found != f"{sent['e_tag']} {file.size}"):
            raise Failed(
                f"{self._name}: {file.name} is not there as it was sent; something else writes there."
            )
        return found

    def remove(self, name: str) -> None:
        try:
            with self._told():
                obstore.delete(self._store, self._key(name))
        except FileNotFoundError:
            return

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # NB: a bucket that is not there is another matter than a file.
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                raise Refused(
                    f"{self._name}: there is no such bucket. Make it, or check the name and the endpoint."
                ) from error
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError) as error:
            raise Failed(
                f"{self._name} refuses us ({_brief(error)}): check the Secret of its secretRef, or the rights of the "
                "pod's service account, to read, write and delete there."
            ) from error
        except (exceptions.BaseError, OSError) as error:
            raise Failed(
                f"{self._name} does not answer as it should ({_brief(error)}): check its address, the endpoint and the "
                "network."
            ) from error


def _store(order: Order, bucket: str, values: Mapping[str, str]) -> ObjectStore:
    if order.scheme == "s3":
        return _s3(order, bucket, values)
    if order.scheme == "gs":
        return _gcs(order, bucket, values)
    return _azure(order, bucket, values)


def _s3(order: Order, bucket: str, values: Mapping[str, str]) -> ObjectStore:
    from obstore.store import S3Store

    endpoint = order.endpoint or values.get("AWS_ENDPOINT_URL_S3") or values.get("AWS_ENDPOINT_URL") or ""
    config: dict[str, Any] = {
        "region": order.region or values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION"),
        # NB: both, as a variable in the environment for the one would win over the other.
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "access_key_id": values.get("AWS_ACCESS_KEY_ID"),
        "secret_access_key": values.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": values.get("AWS_SESSION_TOKEN"),
        "checksum_algorithm": "SHA256",
    }
    return S3Store(bucket, **_given(config), **_client(endpoint, order.patience))


def _gcs(order: Order, bucket: str, values: Mapping[str, str]) -> ObjectStore:
    from obstore.store import GCSStore

    variable = "GOOGLE_APPLICATION_CREDENTIALS"
    keys = sorted(name for name in values if name.endswith(".json") or name == f"{variable}_JSON")
    config: dict[str, Any] = {
        "base_url": order.endpoint,
        "application_credentials": str(order.secret / keys[0]) if keys else os.environ.get(variable),
    }
    return GCSStore(bucket, **_given(config), **_client(order.endpoint, order.patience))


def _azure(order: Order, bucket: str, values: Mapping[str, str]) -> ObjectStore:
    from obstore.store import AzureStore

    container, _, host = bucket.partition("@")
    said = _connection_string(values.get("AZURE_STORAGE_CONNECTION_STRING") or "")
    account = (
        order.account
        or host.removesuffix(_AZURE_HOST)
        or values.get("AZURE_STORAGE_ACCOUNT")
        or values.get("AZURE_STORAGE_ACCOUNT_NAME")
        or said.get("AccountName")
    )
    if not account:
        raise Refused(
            f"{order.uri} does not say whose it is: set account to the name of the storage account, or "
            "AZURE_STORAGE_ACCOUNT in the Secret."
        )
    endpoint = order.endpoint or (said.get("BlobEndpoint") or "").rstrip("/")
    config: dict[str, Any] = {
        "account_name": account,
        "endpoint": endpoint,
        "account_key": values.get("AZURE_STORAGE_KEY")
        or values.get("AZURE_STORAGE_ACCOUNT_KEY")
        or said.get("AccountKey"),
        "sas_key": (
            values.get("AZURE_STORAGE_SAS_TOKEN") or said.get("SharedAccessSignature") or ""
        ).removeprefix("?"),
        "client_id": credentials.first(values, "AZURE_CLIENT_ID"),
        "tenant_id": credentials.first(values, "AZURE_TENANT_ID"),
        "client_secret": credentials.first(values, "AZURE_CLIENT_SECRET"),
    }
    return AzureStore(container, **_given(config), **_client(endpoint, order.patience))


def _connection_string(text: str) -> dict[str, str]:
    """Azure's `Name=value;Name=value`; a value may have `=` in it."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value}


def _client(endpoint: str, patience: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(hours=1),
    }
    authority = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if authority:
        options["root_certificate"] = Path(authority).read_bytes()
    return {
        "client_options": options,
        "retry_config": {
            "max_retries": max(0, min(8, round(patience / 10))),
            "retry_timeout": timedelta(seconds=patience),
        },
    }


def _brief(error: BaseException) -> str:
    """An error in one line, without what of a URL may be a credential."""
    text = " ".join(str(error).split()).partition("\n")[0]
    return text.partition("?")[0][:200] or type(error).__name__
