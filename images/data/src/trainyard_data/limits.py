"""The memory that there is, so that a file that wants more is told by its name instead of ending the process.

Separate because it must be set before anything large is allocated. Called by the command `check`.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Of a container's limit, what is not for data: the program itself, and pages of files.
_SPARE = 48 << 20
_LEAST = 256 << 20
#: Without a limit: more than any dataset that is not made to harm needs.
_WITHOUT_LIMIT = 8 << 30


def container_limit() -> int | None:
    """The memory limit of this container in bytes; None where there is none."""
    for name in _CGROUP_FILES:
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        # NB: the older one says a number of nearly 2**63 for none.
        return int(text) if text.isdecimal() and int(text) < 1 << 60 else None
    return None


def bound(size: int | None = None) -> int:
    """Let allocations beyond `size` bytes (the container's own limit if None) raise MemoryError; gives the size.

    NB: before pyarrow is imported, whose allocator reserves 1 GiB at once, unless it is told a number of KiB.
    """
    os.environ.setdefault("MIMALLOC_ARENA_RESERVE", str(64 << 10))
    if size is None:
        found = container_limit()
        size = max(_LEAST, found - _SPARE) if found is not None else _WITHOUT_LIMIT
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
    return size
