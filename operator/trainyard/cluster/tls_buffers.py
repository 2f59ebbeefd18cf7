"""How much memory an open TLS connection holds.

Separate because this is a trait of asyncio, whatever is sent: each connection gets a buffer of 256 KiB, filled with
zeros, so that 500 followed logs held 125 MiB for lines that come one at a time. Called when the transport is made.
"""

from __future__ import annotations

from asyncio.sslproto import SSLProtocol

BYTES = 32 << 10
"""Two records of TLS, each of which is read by itself however large the buffer is."""


def shrink() -> None:
    """For all connections that are opened from now on; again is no harm."""
    SSLProtocol.max_size = BYTES
