"""Raw JSON over the official client's transport.

Separate because everything that talks to the API server goes through it, so that requests are counted in one
place. The official asyncio client brings configuration, credentials, TLS and connections; its generated models
are left out, as one pod costs them 3-6 ms of CPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from yarl import URL

from trainyard import __version__, metrics
from trainyard.cluster.configuration import configured
from trainyard.cluster.stream import Stream
from trainyard.cluster.transport import Transport

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_USER_AGENT = f"trainyard/{__version__}"


class ApiError(Exception):
    """The API server refused a request: HTTP status, the Status object's reason, message and details."""

    def __init__(self, *, status: int, reason: str, message: str, body: Json | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.body = body or {}

    @property
    def passing(self) -> bool:
        """Whether the server is in trouble and not the request: it is overloaded, or away behind its proxy."""
        return self.status == 429 or self.status >= 500

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asked to wait (Status.details.retryAfterSeconds), if it did."""
        seconds = (self.body.get("details") or {}).get("retryAfterSeconds")
        return float(seconds) if seconds else None


class NotJsonError(aiohttp.ClientError):
    """What answered is no API server: it says 200 and something else than JSON."""


class CredentialsError(aiohttp.ClientError):
    """There are no credentials at this moment: a token's file is empty or away, a credential plugin failed."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Where the API server is and who we are, for others than this client (kopf's watches)."""

    server: str
    ca_path: str | None
    insecure: bool
    scheme: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None
    proxy_url: str | None


class Client:
    """Requests to one API server. Close it with `await client.close()`."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._transport = Transport(configuration)
        self._host = configuration.host.rstrip("/")

    @classmethod
    async def from_environment(cls, *, kubeconfig: str | None = None, context: str | None = None) -> Client:
        """A client of the cluster that is meant (`configured`). Raises NoClusterError where there is none."""
        return cls(await configured(kubeconfig=kubeconfig, context=context))

    async def close(self) -> None:
        await self._transport.close()

    async def credentials(self) -> Credentials:
        """The credentials as they are now; tokens are refreshed by asking."""
        header = (await self._headers(None)).get("authorization", "")
        scheme, _, token = header.rpartition(" ")
        found = self._configuration
        return Credentials(
            server=self._host,
            ca_path=found.ssl_ca_cert,
            insecure=not found.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
            proxy_url=found.proxy,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit_seconds: float = 30.0,
    ) -> Json:
        """One request, its JSON answer.

        Raises ApiError for 4xx and 5xx, aiohttp.ClientError or TimeoutError when there is no usable answer.
        """
        started = time.perf_counter()
        code = "error"
        try:
            async with self._transport.session().request(
                method,
                self._url(path, params),
                data=None if body is None else orjson.dumps(body),
                headers={**await self._headers(content_type), **(headers or {})},
                timeout=_timeout(limit_seconds),
                **self._tls(),
            ) as response:
                code = str(response.status)
                raw = await response.read()
                if response.status >= 400:
                    raise _api_error(response.status, raw)
                return _json(path, raw)
        finally:
            metrics.API_REQUESTS.labels(verb=method, code=code).inc()
            metrics.API_SECONDS.labels(verb=method).observe(time.perf_counter() - started)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        return await self.request("GET", path, params=params)

    async def post(self, path: str, body: Json, params: Mapping[str, str] | None = None) -> Json:
        return await self.request("POST", path, body=body, params=params)

    async def merge_patch(self, path: str, body: Json) -> Json:
        return await self.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def strategic_merge_patch(self, path: str, body: Json) -> Json:
        """For Kubernetes' own resources: lists are merged by their keys, and single items can be taken out."""
        return await self.request("PATCH", path, body=body, content_type=STRATEGIC_MERGE_PATCH)

    async def delete(self, path: str, body: Json | None = None) -> Json:
        return await self.request("DELETE", path, body=body)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        total: float | None = None,
        headers: Mapping[str, str] | None = None,
        batch_seconds: float = 0.0,
    ) -> AsyncIterator[Stream]:
        """An open answer to read as it comes (a followed log). Raises ApiError before the first byte."""
        code = "error"
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT_SECONDS)
        try:
            async with self._transport.session().get(
                self._url(path, params),
                headers={**await self._headers(None), **(headers or {})},
                timeout=timeout,
                **self._tls(),
            ) as response:
                code = str(response.status)
                if response.status >= 400:
                    raise _api_error(response.status, await response.read())
                try:
                    yield Stream(response, batch_seconds)
                finally:
                    # NB: a TLS connection that is closed, not aborted, outlives a command's event loop.
                    if response.connection is not None and response.connection.transport is not None:
                        response.connection.transport.abort()
        finally:
            metrics.API_REQUESTS.labels(verb="GET", code=code).inc()

    @asynccontextmanager
    async def websocket(
        self, path: str, params: list[tuple[str, str]]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An exec or attach stream in the protocol `v5.channel.k8s.io` (or v4)."""
        async with self._websocket(path, params, "v5.channel.k8s.io", "v4.channel.k8s.io") as socket:
            yield socket

    @asynccontextmanager
    async def port_forward(self, path: str, port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A stream to one port of a pod in the protocol `v4.channel.k8s.io`: channel 0 is data, 1 is errors."""
        async with self._websocket(path, [("ports", str(port))], "v4.channel.k8s.io") as socket:
            yield socket

    @asynccontextmanager
    async def _websocket(
        self, path: str, params: list[tuple[str, str]], *protocols: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self._transport.session().ws_connect(
            f"{self._host}{path}?{urlencode(params)}",
            # NB: a kubelet refuses to forward ports to those who accept JSON only.
            headers={**await self._headers(None), "Accept": "*/*"},
            protocols=protocols,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
            **self._tls(),
        ) as socket:
            yield socket

    def _url(self, path: str, params: Mapping[str, str] | None) -> URL:
        # NB: paths come quoted, and are not to be quoted again.
        return URL(
            f"{self._host}{path}?{urlencode(params)}" if params else f"{self._host}{path}", encoded=True
        )

    def _tls(self) -> Json:
        name = self._configuration.tls_server_name
        return {"server_hostname": name} if name else {}

    async def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        # NB: asked each time, since tokens rotate and exec plugins refresh them here.
        try:
            settings: Any = await self._configuration.auth_settings()
        except (config.ConfigException, OSError) as error:
            raise CredentialsError(f"there are no credentials: {error}") from error
        for setting in settings.values():
            headers[setting["key"]] = setting["value"]
        return headers


@lru_cache(maxsize=64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


def _json(path: str, raw: bytes) -> Json:
    answer = decoded(raw) if raw else {}
    if not isinstance(answer, dict):
        raise NotJsonError(
            f"the answer to {path} is not a JSON object: {raw[:100].decode('utf-8', 'replace')!r}"
        )
    return answer


def decoded(raw: bytes) -> Any:
    """The value of JSON, or None for what is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        # NB: orjson stops at 1,024 levels and the API server at 10,000; a list must not be lost to one such object.
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _api_error(status: int, raw: bytes) -> ApiError:
    body = decoded(raw)
    if not isinstance(body, dict):
        body = {}
    return ApiError(
        status=status,
        reason=body.get("reason") or "Unknown",
        message=body.get("message") or raw[:300].decode("utf-8", "replace"),
        body=body,
    )
