"""Amounts of data: as people read them, and how large the volume has to be that takes them.

Separate because status, messages and claims speak of the same.
"""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
#: What an archive that does not tell its content's size may grow to, unpacked.
UNPACKED = 5
_BLOCK = 4096
_QUANTITY = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(?:([eE][+-]?[0-9]{1,2})|([KMGTPE]i)|([numkMGTPE]?))")
_BINARY, _DECIMAL = "KMGTPE", {unit: 10 ** (3 * power) for power, unit in enumerate("kMGTPE", start=1)}
_SMALL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}
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


def bytes_of(quantity: str) -> int | None:
    """Bytes of a quantity as `10Gi`, `500M` or `1e9`; None for what is none."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        return None
    number, exponent, binary, decimal = match.groups()
    if exponent:
        return int(Decimal(number + exponent))
    if binary:
        return int(Decimal(number) * 1024 ** (1 + _BINARY.index(binary[0])))
    return int(Decimal(number) * (_SMALL.get(decimal) or _DECIMAL.get(decimal, 1)))
