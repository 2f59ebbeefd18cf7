"""Amounts of data: as people read them, and how large the volume has to be that takes them.

Separate because status, messages and claims speak of the same.
"""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
#: What an archive that does not tell its content's size may grow to, unpacked.
UNPACKED = 5
_BLOCK = 4096
_MIB = 1 << 20


def human(count: int) -> str:
    """Such as 1.2 GB; powers of 1000."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 10 else f"{value:.1f} {_UNITS[unit]}"


def volume_size(pulled: int, *, files: int, unpacked: int | None) -> str:
    """A quantity with room for `pulled` bytes in so many files, for what is in an archive beside it, and for the file
    system's own.
    """
    needed = pulled + (unpacked or 0) + files * _BLOCK
    return f"{(needed * 115 // 100 + 64 * _MIB) // _MIB + 1}Mi"
