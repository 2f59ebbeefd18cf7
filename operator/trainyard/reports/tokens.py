"""Whose a bearer token is: asked of the API server, remembered for a while.

Separate because it is the whole authentication of the status server. NB: a token is never logged and never kept, only
its digest; what a token says of itself is a claim until the API server has confirmed it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from trainyard import metrics
from trainyard.api import names
from trainyard.cluster.client import ApiError, Client
from trainyard.reports.rate import Buckets

_log = logging.getLogger(__name__)

_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_POD_NAME, _POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
_CONFIRMED_SECONDS = 120.0
_REFUSED_SECONDS = 10.0
_REMEMBERED = 10_000
_AT_ONCE = 16
_WAITING = 256
_WRONG_PER_SECOND, _WRONG_AT_ONCE = 0.2, 20
"""Tokens from one address that the API server has refused. NB: a training pod can make as many as it likes that seem to
be its own, and each is a request to the API server, which others wait for.
"""
_LIMIT_SECONDS = 4.0
"""Less than trainers wait for an answer (5 s in the SDK of Kubeflow and in Transformers)."""
_COMPLAIN_SECONDS = 300.0
_LONGEST_TOKEN = 8192


class RefusedTokenError(Exception):
    """The token is not one of a pod, or not (any longer) valid; the text says what to do."""


class UnavailableError(Exception):
    """Nobody can say at the moment; `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the API server does not answer")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Bearer:
    """The pod that a token is bound to."""

    namespace: str
    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class _Known:
    bearer: Bearer | None
    refusal: str
    until: float


class Tokens:
    """Looks into tokens; each at most once at a time. For one event loop."""

    def __init__(
        self,
        client: Client,
        *,
        is_pod: Callable[[Bearer], bool],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._is_pod = is_pod
        self._clock = clock
        self._now = now
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Known]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._wrong = Buckets(rate=_WRONG_PER_SECOND, burst=_WRONG_AT_ONCE)
        self._complained_at = float("-inf")

    async def bearer(self, token: str, *, address: str) -> Bearer:
        """The pod whose token it is, sent from `address`. Raises RefusedTokenError or UnavailableError."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(digest)
        if known is None or known.until <= self._clock():
            known = await self._look_into(digest, token, address)
        if known.bearer is None:
            raise RefusedTokenError(known.refusal)
        return known.bearer

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_into(self, digest: bytes, token: str, address: str) -> _Known:
        task = self._asking.get(digest)
        if task is None:
            # NB: what is no token of a pod that we know costs no request, so that strangers cannot make us ask.
            claimed, expires = claims(token, now=self._now())
            if not self._is_pod(claimed):
                raise RefusedTokenError("The pod of this token is none of ours, or is gone.")
            if self._wrong.is_empty(address, now=self._clock()):
                raise RefusedTokenError(
                    "Too many wrong tokens have come from this address; read the token's file again, and wait."
                )
            if len(self._asking) >= _WAITING:
                raise UnavailableError(1.0)
            task = asyncio.ensure_future(self._review(digest, token, claimed, expires, address))
            self._asking[digest] = task
            task.add_done_callback(lambda done: self._asked(digest, done))
        return await asyncio.shield(task)

    def _asked(self, digest: bytes, task: asyncio.Task[_Known]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # who asked may have gone meanwhile

    async def _review(
        self, digest: bytes, token: str, claimed: Bearer, expires: float, address: str
    ) -> _Known:
        spec = {"token": token, "audiences": [names.TOKEN_AUDIENCE]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        try:
            async with self._turn:
                answer = await self._client.request("POST", _PATH, body=body, limit_seconds=_LIMIT_SECONDS)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            metrics.TOKEN_REVIEWS.labels(outcome="failed").inc()
            self._complain(error)
            raise UnavailableError(getattr(error, "retry_after", None) or 5.0) from None
        status = answer.get("status") or {}
        refusal = _refusal(status, claimed)
        metrics.TOKEN_REVIEWS.labels(outcome="refused" if refusal else "confirmed").inc()
        if refusal:
            self._wrong.wait(address, now=self._clock())
        lasts = _REFUSED_SECONDS if refusal else min(_CONFIRMED_SECONDS, expires - self._now())
        known = _Known(None if refusal else claimed, refusal, self._clock() + lasts)
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known

    def _complain(self, error: Exception) -> None:
        if self._clock() - self._complained_at < _COMPLAIN_SECONDS:
            return
        self._complained_at = self._clock()
        remedy = ""
        if isinstance(error, ApiError) and error.status == 403:
            remedy = "; let the operator create tokenreviews (rbac.tokenReviews), or switch off statusServer"
        _log.warning("Tokens of training pods cannot be looked into: %s%s", error or repr(error), remedy)


def claims(token: str, *, now: float) -> tuple[Bearer, float]:
    """What a token says of itself: its pod, and when it ends (seconds since the epoch).

    Raises RefusedTokenError where no API server could confirm it.
    """
    found = _payload(token)
    pod_claims = found.get("kubernetes.io")
    audiences, expires = found.get("aud"), found.get("exp")
    if not isinstance(pod_claims, dict) or not isinstance(expires, int | float):
        raise RefusedTokenError("This is no token of a service account.")
    if names.TOKEN_AUDIENCE not in (audiences if isinstance(audiences, list) else [audiences]):
        raise RefusedTokenError(f"The token is not for the audience {names.TOKEN_AUDIENCE}.")
    if expires <= now:
        raise RefusedTokenError("The token has expired; read its file again, the kubelet renews it.")
    pod = pod_claims.get("pod")
    if not isinstance(pod, dict) or not isinstance(pod_claims.get("namespace"), str):
        raise RefusedTokenError("The token is not bound to a pod; use the one that is mounted in it.")
    return Bearer(str(pod_claims["namespace"]), str(pod.get("name")), str(pod.get("uid"))), float(expires)


def _payload(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) == 3 and len(token) <= _LONGEST_TOKEN:
        try:
            found = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, binascii.Error):
            found = None
        if isinstance(found, dict):
            return found
    raise RefusedTokenError("This is no token of a service account.")


def _refusal(status: dict[str, Any], claimed: Bearer) -> str:
    """Why a reviewed token is refused; empty when it is confirmed."""
    if status.get("authenticated") is not True:
        return "The API server does not accept the token: it is not valid, or its pod is gone."
    if names.TOKEN_AUDIENCE not in (status.get("audiences") or ()):
        return f"The token is not for the audience {names.TOKEN_AUDIENCE}."
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    account = f"system:serviceaccount:{claimed.namespace}:"
    bound = (extra.get(_POD_NAME), extra.get(_POD_UID)) == ([claimed.pod], [claimed.uid])
    if not bound or not str(user.get("username") or "").startswith(account):
        return "The token is not bound to the pod that it names."
    return ""
