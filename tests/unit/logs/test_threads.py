"""Calls that hang hold up nobody, and their number is bounded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from trainyard.logs.threads import DaemonThreads

HANGS = """
import asyncio, time
from trainyard.logs.threads import DaemonThreads

async def main():
    try:
        await asyncio.wait_for(DaemonThreads(1, name="test").run(lambda: time.sleep(60)), 0.1)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


async def test_gives_what_the_call_returns_or_raises() -> None:
    threads = DaemonThreads(2, name="test")
    assert await threads.run(lambda: 3) == 3
    with pytest.raises(FileNotFoundError, match="gone"):
        await threads.run(lambda: (_ for _ in ()).throw(FileNotFoundError("gone")))


def test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "given up\n"
    assert done.stderr == ""
    assert time.monotonic() - began < 30


async def test_calls_that_were_given_up_count_until_they_are_over() -> None:
    threads, hang = DaemonThreads(2, name="test"), threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.run(lambda: hang.wait(10)), 0.05)
    third = asyncio.create_task(threads.run(lambda: "third"))
    await asyncio.sleep(0.1)
    assert not third.done()
    hang.set()
    assert await asyncio.wait_for(third, 5) == "third"
