"""Bytes as people read them, and as Kubernetes writes them.

Separate because details of an object, downloads and uploads say them in the same words.
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(?:([eE][+-]?[0-9]{1,2})|([KMGTPE]i)|([numkMGTPE]?))")
_BINARY, _DECIMAL = "KMGTPE", {unit: 10 ** (3 * power) for power, unit in enumerate("kMGTPE", start=1)}
_SMALL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}


def size_of(size: int) -> str:
    """`1.5 GiB`; below a KiB the bytes themselves."""
    value, unit = float(size), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{value:.1f} {unit}" if unit != "B" else f"{size} B"


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
