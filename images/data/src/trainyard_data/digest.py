"""The digest of a dataset's folder, the one that the operator keeps as status.sha256.

Separate because it must be the same that the puller finds (trainyard_agent.contents): of one file its SHA-256, of
several that of the sorted lines `<sha256>  <path>`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from trainyard_data.tree import Entry, Tree

_WORKERS = 2
_CHUNK = 1 << 20
_AHEAD = 256


def digest_of(tree: Tree) -> str:
    """The digest of every file, hidden ones too. Raises BadData for a file that cannot be read."""
    paths: list[str] = []
    digests = bytearray()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for batch in _batches(tree.everything):
            paths += [entry.path for entry in batch]
            digests += b"".join(pool.map(lambda entry: _file(tree, entry), batch))
    if len(paths) == 1:
        return digests.hex()
    # NB: as four numbers each, so that a million digests sort without a million lines in memory; the paths come
    # sorted, and the sorting is stable.
    words = np.frombuffer(digests, dtype=">u8").reshape(-1, 4)
    total = hashlib.sha256()
    for place in np.lexsort(words.T[::-1]).tolist():
        digest = digests[32 * place : 32 * place + 32].hex()
        total.update(f"{digest}  {paths[place]}\n".encode())
    return total.hexdigest()


def _file(tree: Tree, entry: Entry) -> bytes:
    found = hashlib.sha256()
    with tree.open(entry.path) as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.digest()


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while batch := list(islice(rest, _AHEAD)):
        yield batch
