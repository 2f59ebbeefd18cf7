"""Requests over HTTP: certificates, proxies, trying again, and what a refusal means.

Separate because registries and tracking servers share it. A request is tried again where the server did not answer or
said that it was busy, with growing pauses.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3

from trainyard_publisher.problems import Failed, Refused
from trainyard_publisher.version import File

_BUSY = (408, 425, 429, 500, 502, 503, 504)
_TIMEOUT = urllib3.Timeout(connect=10, read=120)
_MOST_SAID = 300


class Web:
    """Speaks to one server, `name` to people; `address` is its scheme, host and port. `patience` is in seconds."""

    def __init__(self, address: str, *, name: str, patience: float) -> None:
        self.address = address.rstrip("/")
        self.name = name
        authority = os.environ.get("SSL_CERT_FILE")
        options: dict[str, Any] = {
            "retries": _retry(patience),
            "timeout": _TIMEOUT,
            "ssl_context": ssl.create_default_context(cafile=authority or None),
        }
        parts = urlsplit(self.address)
        proxy = urllib.request.getproxies().get(parts.scheme)
        direct = not proxy or urllib.request.proxy_bypass(parts.netloc)
        self._pool = (
            urllib3.PoolManager(**options) if direct or not proxy else urllib3.ProxyManager(proxy, **options)
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        file: File | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, whatever its status. `path` is below the address, or an address of its own.

        Raises Failed where there is no answer.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.address}{path}"
        try:
            if file is None:
                return self._pool.request(method, url, headers=headers, body=body, redirect=False)
            sent = {**(headers or {}), "Content-Length": str(file.size)}
            with file.path.open("rb") as stream:
                return self._pool.request(method, url, headers=sent, body=stream, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            why = " ".join(str(error).split()).partition("?")[0][:_MOST_SAID]
            raise Failed(
                f"{self.name} does not answer ({why}): check its address and the network."
            ) from error

    def refusal(self, answer: urllib3.BaseHTTPResponse, what: str) -> Exception:
        """What an answer that is no success means, to be raised; `what` was being done."""
        said = f"{answer.status} {self.said(answer)}".strip()
        if answer.status in (401, 403):
            return Failed(
                f"{self.name} refuses us at {what} ({said}): check the Secret of the target's secretRef, and what its "
                "account may do there."
            )
        if answer.status in _BUSY:
            return Failed(f"{self.name} cannot do its work at {what} ({said}): it is tried again later.")
        return Refused(
            f"{self.name} does not take it, at {what} ({said}): check the target's uri and endpoint."
        )

    @staticmethod
    def said(answer: urllib3.BaseHTTPResponse) -> str:
        """What the body of a refusal says, in one line."""
        try:
            found = json.loads(answer.data)
            errors = found.get("errors") or [found]
            text = "; ".join(
                str(one.get("message") or one.get("detail") or one.get("error") or one) for one in errors
            )
        except (ValueError, AttributeError, TypeError):
            text = answer.data.decode(errors="replace")
        return " ".join(text.split())[:_MOST_SAID]


def _retry(patience: float) -> urllib3.Retry:
    """NB: pauses are 0.4, 0.8, 1.6 ... seconds, 30 at most."""
    total, left, pause = 0, patience, 0.4
    while left > pause:
        total, left, pause = total + 1, left - pause, min(pause * 2, 30.0)
    return urllib3.Retry(
        total=total,
        backoff_factor=0.4,
        backoff_max=30,
        status_forcelist=_BUSY,
        allowed_methods=None,
        raise_on_status=False,
        redirect=False,
        # NB: a registry may ask for hours, in which no signal is heard; a job that fails is tried again anyway.
        respect_retry_after_header=False,
    )


def parsed(answer: urllib3.BaseHTTPResponse, *, name: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises Failed for anything else."""
    try:
        found = json.loads(answer.data)
    except ValueError as error:
        raise Failed(f"{name} answers with what is no JSON: check its address.") from error
    if not isinstance(found, dict):
        raise Failed(f"{name} answers with what is no JSON object: check its address.")
    return found
