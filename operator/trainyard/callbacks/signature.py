"""Signatures by the Standard Webhooks rules (section "Signature scheme", symmetric).

Separate because receivers check them byte by byte; called for each request that is sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = b"whsec_"


def key_of(secret: bytes) -> bytes:
    """The key that a secret stands for: base64 after `whsec_`, else its bytes as they are.

    Raises ValueError, without the secret in its message, when there is no key in it.
    """
    if not secret.startswith(_PREFIX):
        if not secret.strip():
            raise ValueError("is empty")
        return secret
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX).strip(), validate=True)
    except ValueError as error:
        raise ValueError("is not base64 after whsec_") from error
    if not key:
        raise ValueError("is empty after whsec_")
    return key


def headers(*, message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The headers `webhook-*`: one signature for each key, none without keys. `timestamp` is of this try."""
    result = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys:
        content = f"{message_id}.{timestamp}.".encode() + body
        result["webhook-signature"] = " ".join(_signature(key, content) for key in keys)
    return result


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
