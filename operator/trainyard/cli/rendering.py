"""Parts of what is shown of one object: rows with titles, tables, times and bars.

Separate because each kind has details of its own and all look alike. Called by `details` and `datasetdetails`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from trainyard.cli import output
from trainyard.cli.reading import printable
from trainyard.planning.times import seconds

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def grid(rows: Sequence[tuple[str, str]]) -> Any:
    """Titles and texts; a title without a text is left out."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for title, text in rows:
        if text:
            table.add_row(title, printable(str(text)))
    return table


def section(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table below what stands there."""
    from rich.table import Table

    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    typer.echo()
    output.print_table(table)


def ago(stamp: str | None, *, now: float) -> str:
    """Such as `3m20s ago`; empty without a time."""
    passed = span(stamp, now=now)
    return f"{passed} ago" if passed else ""


def span(stamp: str | None, *, now: float) -> str:
    """The time since then; empty without one."""
    at = seconds(stamp)
    return "" if at is None else amount(now - at)


def amount(passed: float) -> str:
    """As kubectl says it: `45s`, `3m20s`, `2h5m`, `3d4h`."""
    left = max(0, int(passed))
    parts: list[str] = []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number}{unit}" if number else "")
    return "".join(parts[:2]) or "0s"


def bar(value: float, *, most: float, width: int) -> str:
    """A bar of at most so many characters, in eighths of one where the terminal has such; none for nothing."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(min(1.0, value / most) * width * 8))
    if not _has_blocks():
        return "#" * max(1, eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def gauge(percent: int, *, width: int) -> str:
    """A bar for how far something is, with what is still to come."""
    filled = round(min(100, max(0, percent)) * width / 100)
    done, left = ("█", "░") if _has_blocks() else ("#", ".")
    return done * filled + left * (width - filled)


def _has_blocks() -> bool:
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
