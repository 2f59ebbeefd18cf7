"""Takes callbacks and writes when each arrived: a process of its own (`python -m tests.bench.receiver ORDER.json`).

Separate from `tests.receiver`, which checks what it is sent: this one must not keep a busy machine busier. Of a body it
reads the job's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.bench.journal import Writer

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Where to listen, at 127.0.0.1."""

    port: int
    journal: str


async def run(order: Order) -> None:
    """Until SIGTERM."""
    journal = Writer(Path(order.journal))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                now = time.monotonic()
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                event = orjson.loads(await reader.readexactly(length))
                journal.add(now, "received", event["subject"])
                writer.write(_ANSWER)
        writer.close()

    stop = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set_result, None)
    server = await asyncio.start_server(serve, "127.0.0.1", order.port)
    journal.add(time.monotonic(), "listening", "")
    flushing = asyncio.create_task(journal.keep_flushing())
    await stop
    flushing.cancel()
    server.close()
    journal.close()


def main(argv: list[str]) -> None:
    asyncio.run(run(Order(**orjson.loads(Path(argv[0]).read_bytes()))))


if __name__ == "__main__":
    main(sys.argv[1:])
