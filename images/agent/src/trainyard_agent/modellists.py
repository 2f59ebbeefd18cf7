"""The list of a model's files, `artifacts.json`, which a job has written when all of them were safe.

Separate because models that are mounted, those that are fetched and those that are recorded are checked by it alike.
Called by `models`, `modelsource` and `recording`.
"""

from __future__ import annotations

import hashlib
import json

from trainyard_agent import layout, safenames
from trainyard_agent.checkpoints import Broken, File, file_list

#: That of a quarter of a million files.
MOST_BYTES = 64 << 20


def read_list(data: bytes, *, wanted: str, place: str) -> tuple[str, tuple[File, ...]]:
    """The list's SHA-256, and its files. Raises Broken where that is not the digest that is wanted, if any, or where it
    is no list; Trouble ("hostile") for names that cannot be those of files.
    """
    name = f"{layout.ARTIFACTS} in {place}"
    if len(data) > MOST_BYTES:
        raise Broken(f"{name} has more than {MOST_BYTES:,} bytes")
    digest = hashlib.sha256(data).hexdigest()
    if wanted not in ("", digest):
        raise Broken(f"{name} has the SHA-256 {digest} and not {wanted}")
    try:
        files = file_list(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Broken(f"{name} is no list of a job's artifacts ({type(error).__name__}: {error})") from error
    if not files:
        raise Broken(f"{name} lists no file")
    for file in files:
        safenames.checked(file.path)
        if file.size < 0 or file.path == layout.ARTIFACTS:
            raise Broken(f"{name} lists {safenames.shown(file.path)}, which cannot be")
    safenames.together(file.path for file in files)
    return digest, files
