"""The certificate of the status server: a user's own, or one that we make and keep in a Secret.

Separate because where it comes from is the chart's and the user's business, and the server only needs to have one.
Called by `reports.server` at the start and each hour. NB: nothing in here may log a key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client
from trainyard.reports import pki
from trainyard.reports.pki import Pair

GENERATED = "trainyard.dev/generated"
"""Annotation of a Secret, "true": the operator makes what is in it."""
CERTIFICATE, KEY, AUTHORITY, AUTHORITY_KEY = "tls.crt", "tls.key", "ca.crt", "ca.key"
_TRIES = 3
_LONGEST_AUTHORITY = 64 << 10
"""NB: it is an annotation of each pod."""


class NoCertificateError(Exception):
    """There is none to serve with; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The server's certificate (with what stands between it and the authority), its key, and who has signed it."""

    server: Pair
    authority: bytes


class Certificates:
    """Gives the certificate to serve with; in memory only where no Secret is named."""

    def __init__(self, *, client: Client, namespace: str, secret: str, host: str) -> None:
        self._client = client
        self._path = resources.path("Secret", namespace, secret) if secret and namespace else None
        self._secret = f"{namespace}/{secret}"
        self._host = host
        self._kept: dict[str, bytes] = {}

    async def current(self, *, now: float) -> Certificate:
        """The certificate as it is now, made or renewed where that is ours to do. Raises NoCertificateError."""
        if self._path is None:
            self._kept |= made(self._kept, host=self._host, now=now)
            return _certificate(self._kept)
        try:
            return await self._from_secret(self._path, now=now)
        except ApiError as error:
            if error.status == 404:
                remedy = f"there is no Secret {self._secret}; create it, or leave statusServer.secret empty"
            elif error.status in (401, 403):
                remedy = f"let the operator get and patch the Secret {self._secret} ({error.message})"
            else:
                remedy = f"the Secret {self._secret} cannot be read or written: {error}"
            raise NoCertificateError(remedy) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoCertificateError(f"the API server does not answer ({error!r})") from error

    async def _from_secret(self, path: str, *, now: float) -> Certificate:
        for _ in range(_TRIES):
            secret = await self._client.get(path)
            metadata, data = secret["metadata"], _decoded(secret.get("data") or {})
            if (metadata.get("annotations") or {}).get(GENERATED) != "true":
                return self._users(data)
            change = made(data, host=self._host, now=now)
            if not change:
                return _certificate(data)
            encoded = {name: base64.b64encode(value).decode() for name, value in change.items()}
            version = {"resourceVersion": metadata["resourceVersion"]}
            try:
                await self._client.merge_patch(path, {"metadata": version, "data": encoded})
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                return _certificate(data | change)
        raise NoCertificateError(f"the Secret {self._secret} is being changed all the time; find out by whom")

    def _users(self, data: Mapping[str, bytes]) -> Certificate:
        missing = [name for name in (CERTIFICATE, KEY, AUTHORITY) if not data.get(name)]
        if not missing and not pki.are_certificates(data[AUTHORITY], at_most=_LONGEST_AUTHORITY):
            raise NoCertificateError(
                f"ca.crt in the Secret {self._secret} is no certificate in PEM, or longer than {_LONGEST_AUTHORITY} "
                "bytes; put that of the authority there which has signed tls.crt, and no others"
            )
        if missing:
            raise NoCertificateError(
                f"the Secret {self._secret} has no {' and no '.join(missing)}; put it there, or annotate the Secret "
                f'{GENERATED}: "true" and the operator makes a certificate'
            )
        return _certificate(data)


def made(data: Mapping[str, bytes], *, host: str, now: float) -> dict[str, bytes]:
    """What has to be made anew in a Secret of ours: nothing, the server's certificate, or the authority as well."""
    change: dict[str, bytes] = {}
    authority = Pair(certificate=data.get(AUTHORITY, b""), key=data.get(AUTHORITY_KEY, b""))
    if not pki.authority_is_good(authority, now=now):
        authority = pki.new_authority(now=now)
        change |= {AUTHORITY: authority.certificate, AUTHORITY_KEY: authority.key}
    server = Pair(certificate=data.get(CERTIFICATE, b""), key=data.get(KEY, b""))
    if change or not pki.server_is_good(server, authority=authority, host=host, now=now):
        server = pki.new_server(authority, host=host, now=now)
        change |= {CERTIFICATE: server.certificate, KEY: server.key}
    return change


def _certificate(data: Mapping[str, bytes]) -> Certificate:
    return Certificate(server=Pair(certificate=data[CERTIFICATE], key=data[KEY]), authority=data[AUTHORITY])


def _decoded(data: Mapping[str, Any]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in data.items():
        try:
            found[name] = base64.b64decode(value or "")
        except (binascii.Error, TypeError, ValueError):
            continue
    return found
