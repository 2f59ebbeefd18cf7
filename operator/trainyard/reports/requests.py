"""What a request to the status server means, who may make it, and what is answered.

Separate from `reports.listening`, its caller: here is nothing of sockets and TLS. Cheap things come first: path,
token, rate, size; the body is read last, and never more of it than is allowed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from trainyard import metrics
from trainyard.api import names
from trainyard.cluster.cache import TRAINING_JOB, Cache, Key
from trainyard.planning import statusline, trainerstatus
from trainyard.planning.podview import PodView
from trainyard.planning.statusline import StatusLine
from trainyard.reports.answers import RefusedError, accepted, refused
from trainyard.reports.rate import Buckets
from trainyard.reports.tokens import Bearer, RefusedTokenError, UnavailableError

Json = dict[str, Any]
Verdict = Callable[[str, str, str], Mapping[str, Any]]
"""What the agent in a pod is told of its attempt: by namespace and name of the job, and the pod's UID."""

_log = logging.getLogger(__name__)

_PREFIX = ["", "apis", names.GROUP, names.VERSION, "namespaces"]
_METHODS = {"status": "POST", "verdict": "GET"}
_MOST_LINES = 100
_BODY_SECONDS = 10.0
_NOTHING = StatusLine()


class Reports(Protocol):
    """Where reports go: `reconcile.reported`."""

    def submit(self, namespace: str, pod: PodView, lines: Sequence[StatusLine]) -> None:
        """What a pod has said; no lines are a sign of life."""

    def unheard(self) -> None:
        """Somebody spoke, and could not be heard."""


class Bearers(Protocol):
    """Who says whose a token is: `reports.tokens`."""

    async def bearer(self, token: str, *, address: str) -> Bearer:
        """The pod whose token it is, sent from `address`. Raises RefusedTokenError or UnavailableError."""


class Requests:
    """Answers requests; `answer` never raises."""

    def __init__(
        self,
        *,
        cache: Cache,
        tokens: Bearers,
        reports: Reports,
        verdict: Verdict,
        requests_per_second: float,
        max_bytes: int,
    ) -> None:
        self._cache = cache
        self._tokens = tokens
        self._reports = reports
        self._verdict = verdict
        self._buckets = Buckets(rate=requests_per_second, burst=2 * requests_per_second)
        self._max_bytes = max_bytes

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, counted by its kind and the code of its answer."""
        parts = request.path.split("/")
        kind = parts[-1] if parts[-1] in _METHODS else "other"
        try:
            kind, payload = await self._answer(request, parts)
            response = accepted(payload)
        except RefusedError as error:
            response = refused(error)
        except Exception:
            _log.exception("A request to the status server has failed")
            response = refused(RefusedError(500, "The operator has failed at this; its log says how."))
        metrics.REPORTS.labels(kind=kind, code=str(response.status)).inc()
        return response

    async def _answer(self, request: web.BaseRequest, parts: list[str]) -> tuple[str, Any]:
        if parts[:5] != _PREFIX or len(parts) != 9 or parts[6] != "trainingjobs" or parts[8] not in _METHODS:
            raise RefusedError(404, f"There is nothing at {request.path[:500]}.")
        namespace, name, what = parts[5], parts[7], parts[8]
        if request.method != _METHODS[what]:
            raise RefusedError(405, f"Use {_METHODS[what]} for {what}.")
        pod = await self._pod(request, namespace, name)
        if what == "verdict":
            self._limit(pod)
            return what, self._verdict(namespace, name, pod.uid)
        self._lives(namespace, name, pod)
        return await self._report(request, namespace, pod)

    async def _report(self, request: web.BaseRequest, namespace: str, pod: PodView) -> tuple[str, Any]:
        try:
            self._limit(pod)
            kind, lines, payload = _read(await self._body(request))
        except RefusedError:
            self._reports.submit(namespace, pod, ())
            raise
        self._reports.submit(namespace, pod, lines)
        return kind, payload

    async def _pod(self, request: web.BaseRequest, namespace: str, name: str) -> PodView:
        """The pod that asks, which is one of the job that it asks about."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RefusedError(
                401, "Send the pod's token as `Authorization: Bearer`; see docs/status-server.md."
            )
        try:
            bearer = await self._tokens.bearer(token.strip(), address=request.remote or "")
        except RefusedTokenError as error:
            raise RefusedError(401, str(error)) from None
        except UnavailableError as error:
            self._reports.unheard()
            message = "The token cannot be looked into at the moment; try again."
            raise RefusedError(503, message, retry_after=error.retry_after) from None
        pod = pod_of(self._cache, bearer)
        if pod is None:
            raise RefusedError(401, "The pod of this token is gone.")
        if (bearer.namespace, pod.job) != (namespace, name) or not pod.job_uid:
            raise RefusedError(403, f"Pod {bearer.pod} is not of TrainingJob {namespace}/{name}.")
        return pod

    def _lives(self, namespace: str, name: str, pod: PodView) -> None:
        uid = self._cache.uid(Key(TRAINING_JOB, namespace, name))
        if uid is None:
            raise RefusedError(404, f"TrainingJob {namespace}/{name} is gone.")
        if uid != pod.job_uid:
            raise RefusedError(403, f"Pod {pod.name} is of an earlier TrainingJob of that name.")

    def _limit(self, pod: PodView) -> None:
        wait = self._buckets.wait(pod.uid, now=time.monotonic())
        if wait:
            raise RefusedError(
                429, "Too many requests of this pod; send fewer, or several lines in one.", retry_after=wait
            )

    async def _body(self, request: web.BaseRequest) -> bytes:
        too_large = RefusedError(413, f"Send at most {self._max_bytes} bytes in a request.")
        if (request.content_length or 0) > self._max_bytes:
            raise too_large
        content = request.content
        if content.is_eof():  # it has come with the headers
            body = content.read_nowait()
            if len(body) > self._max_bytes:
                raise too_large
            return body
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        found = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while chunk := await content.readany():
                    found += chunk
                    if len(found) > self._max_bytes:
                        raise too_large
        except TimeoutError:
            raise RefusedError(408, f"The body has not come within {_BODY_SECONDS:.0f} s.") from None
        except (web.PayloadAccessError, web.RequestPayloadError):
            raise RefusedError(400, "The body has been cut.") from None
        return bytes(found)


def pod_of(cache: Cache, bearer: Bearer) -> PodView | None:
    """The pod of a token, if there is such a pod of ours."""
    pod = cache.pod(bearer.namespace, bearer.pod)
    return pod if pod is not None and pod.uid == bearer.uid else None


def _read(body: bytes) -> tuple[str, list[StatusLine], Any]:
    """The kind of report, its status lines, and what of it was understood."""
    posted = statusline.decoded(body.decode("utf-8", "replace"))
    if isinstance(posted, dict) and "trainerStatus" in posted:
        return _trainer_status(posted["trainerStatus"])
    records = posted if isinstance(posted, list) else [posted]
    if not 0 < len(records) <= _MOST_LINES:
        raise RefusedError(400, f"Send 1 to {_MOST_LINES} status lines in one request.")
    lines = []
    for number, record in enumerate(records):
        line = statusline.read(record) if isinstance(record, dict) else _NOTHING
        if line == _NOTHING:
            which = f"Item {number}" if isinstance(posted, list) else "The body"
            raise RefusedError(
                400, f"{which} is no status line: a JSON object with a field of docs/trainer-contract.md."
            )
        lines.append(line)
    told = [_told(line) for line in lines]
    return "lines", lines, told if isinstance(posted, list) else told[0]


def _trainer_status(status: object) -> tuple[str, list[StatusLine], Any]:
    if status is None:
        return "trainer", [], {}
    if not isinstance(status, dict):
        raise RefusedError(400, "trainerStatus has to be an object; see docs/status-server.md.")
    found = trainerstatus.understood(status)
    line = trainerstatus.read(found)
    return "trainer", [] if line == _NOTHING else [line], {"trainerStatus": found}


def _told(line: StatusLine) -> Json:
    fields: Json = {name: getattr(line, name) for name in line.__dataclass_fields__}
    return {name: value for name, value in fields.items() if value is not None and value != {}}
