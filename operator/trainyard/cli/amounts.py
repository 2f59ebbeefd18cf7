"""Bytes as people read them, and as Kubernetes writes them.

Separate because details of an object, downloads and uploads say them in the same words.
"""

from __future__ import annotations

from trainyard.planning.datasizes import bytes_of as bytes_of


def size_of(size: int) -> str:
    """`1.5 GiB`; below a KiB the bytes themselves."""
    value, unit = float(size), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{value:.1f} {unit}" if unit != "B" else f"{size} B"
