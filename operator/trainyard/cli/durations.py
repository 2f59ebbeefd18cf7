"""Spans of time on the command line: `90`, `90s`, `10m`, `1h30m`, `2d`.

Separate because --timeout and --since of several commands take them alike.
"""

from __future__ import annotations

import re

import typer

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"(\d{1,9})([dhms])")


def seconds(text: str) -> int:
    """Whole seconds, at least one. Raises typer.BadParameter for other text."""
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        found = int(text)
    elif _PART.sub("", text) == "" and text:
        found = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        found = 0
    if found < 1:
        raise typer.BadParameter(f"{text!r} is no span of time such as 90, 90s, 10m or 1h30m.")
    return found
