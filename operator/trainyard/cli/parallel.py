"""The same work by several tasks at once, which end together.

Separate because the library's group raises all errors at once, and a command tells one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def several(number: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Raises the first error; then the other tasks have been cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
