"""Answers of the status server: JSON, and Kubernetes' own Status object for what is refused.

Separate because every part of the server refuses in the same form.
"""

from __future__ import annotations

import math
from typing import Any

import orjson
from aiohttp import web

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class RefusedError(Exception):
    """The request is not served: HTTP code, a sentence, and the seconds after which to try again."""

    def __init__(self, code: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


def accepted(payload: Any) -> web.Response:
    return web.Response(body=orjson.dumps(payload), content_type="application/json")


def refused(error: RefusedError) -> web.Response:
    """The error as a metav1.Status."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": _REASONS[error.code],
        "code": error.code,
    }
    headers = {}
    if error.retry_after is not None:
        seconds = max(1, math.ceil(error.retry_after))
        status["details"] = {"retryAfterSeconds": seconds}
        headers["Retry-After"] = str(seconds)
    if error.code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = web.Response(
        status=error.code, body=orjson.dumps(status), content_type="application/json", headers=headers
    )
    if error.code in (408, 413):
        response.force_close()
    return response
