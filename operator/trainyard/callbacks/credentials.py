"""What a callback takes from Secrets: keys to sign with, headers to send.

Separate so that a Secret's content is in as few hands as can be: raw Secret in, keys or headers out, and no message
holds a value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from trainyard.api import names
from trainyard.callbacks import signature

_SIGNING_KEYS = ("secret", "previousSecret")
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
# Printable ASCII and tabs: what every HTTP server takes for a field value (RFC 9110, section 5.5).
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = frozenset(
    {"host", "connection", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive"}
)
_OUR_PREFIXES = ("content-", "webhook-", "proxy-", "ce-")


class UnusableSecretError(Exception):
    """Its message is a sentence for the user; nothing of the Secret's values is in it.

    `version` is the resourceVersion of the Secret `secret`, empty when it could not be read.
    """

    def __init__(self, message: str, *, secret: str, version: str = "") -> None:
        super().__init__(message)
        self.secret = secret
        self.version = version


def signing_keys(secret: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Keys of `secret` and, while it rotates, `previousSecret`. Raises UnusableSecretError."""
    name, data = _opened(secret)
    if "secret" not in data:
        raise _unusable(secret, f"Secret {name} has no key `secret` to sign with.")
    try:
        return tuple(signature.key_of(data[key]) for key in _SIGNING_KEYS if key in data)
    except ValueError as error:
        raise _unusable(secret, f"A signing key in Secret {name} {error}.") from error


def headers(secret: Mapping[str, Any]) -> dict[str, str]:
    """Each key as a header. Raises UnusableSecretError, also for headers that are ours to set."""
    name, data = _opened(secret)
    result = {}
    for key, value in data.items():
        lower = key.lower()
        if lower in _OURS or lower.startswith(_OUR_PREFIXES):
            raise _unusable(secret, f"Secret {name} sets the header {key}, which is not its to set.")
        text = value.decode("latin-1").strip()
        if not _TOKEN.fullmatch(key) or not _VALUE.fullmatch(text):
            raise _unusable(
                secret, f"Key {key} of Secret {name} cannot be a header: its value must be one line of ASCII."
            )
        result[key] = text
    return result


def _opened(secret: Mapping[str, Any]) -> tuple[str, dict[str, bytes]]:
    metadata = secret["metadata"]
    name = metadata["name"]
    if (metadata.get("labels") or {}).get(names.LABEL_CALLBACK) != "true":
        raise _unusable(
            secret,
            f'Secret {name} may not be used by callbacks. Label it {names.LABEL_CALLBACK}: "true" if it is meant '
            "for them.",
        )
    return name, {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def _unusable(secret: Mapping[str, Any], message: str) -> UnusableSecretError:
    metadata = secret["metadata"]
    return UnusableSecretError(
        message, secret=metadata["name"], version=metadata.get("resourceVersion") or ""
    )
