"""The target's Secret, mounted as one file a key.

Separate because every kind of target is told who we are in its own way; the keys are those that every other Secret of
this project has (docs/publishing.md). Called by the targets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_CREDENTIALS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIALS", "CONNECTION_STRING")


def values(secret: Path) -> dict[str, str]:
    """The Secret's keys; empty without one. The kubelet's own links in the folder begin with two dots.

    Keys that look like environment variables and are no credentials (AWS_CA_BUNDLE, SSL_CERT_FILE, ...) become
    environment variables.
    """
    if not secret.is_dir():
        return {}
    found = {
        path.name: path.read_text(errors="replace").strip()
        for path in sorted(secret.iterdir())
        if path.is_file() and not path.name.startswith("..")
    }
    for name, value in found.items():
        if _VARIABLE.fullmatch(name) and "\n" not in value and not _is_credential(name):
            os.environ.setdefault(name, value)
    return found


def first(known: Mapping[str, str], *names: str) -> str | None:
    """The value of the first of these keys that is given, in the Secret or in the environment."""
    return next((value for name in names if (value := known.get(name) or os.environ.get(name))), None)


def _is_credential(name: str) -> bool:
    return any(word in name for word in _CREDENTIALS)
