"""Text from outside in Markdown and YAML: labels of classes, names of columns, descriptions, which must stay text.

Separate because a card is shown on web pages, and every word of it that we did not write passes through here. Called by
`modelcard`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

#: What is markup within a line; an underscore is none inside a word.
_SPECIAL = re.compile(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w))")
#: What is markup at the beginning of a line: in front of it, or for a numbered list after the number.
_BEGINNING = re.compile(r"\A(?:\d+(?=[.)](?:\s|\Z))|(?=[-+](?:[\s-]|\Z)|[#=]))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_TICKS = re.compile(r"`+")
_LONGEST_CELL = 200


def text(value: Any) -> str:
    """One line that is shown as it is, and is neither markup nor HTML."""
    line = _CONTROL.sub(" ", str(value)).strip()
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BEGINNING.sub(r"\g<0>\\", _SPECIAL.sub(r"\\\1", line))


def code(value: Any) -> str:
    """A digest or an address in a cell of a table, which can be copied."""
    line = _CONTROL.sub(" ", str(value)).strip()
    if not line:
        return ""
    fence = "`" * (1 + max((len(ticks) for ticks in _TICKS.findall(line)), default=0))
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def block(value: str, language: str) -> str:
    """Lines that are shown as they are."""
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in _TICKS.findall(value)), default=0))
    return f"{fence}{language}\n{value}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def cell(value: Any) -> str:
    """Text in a table, cut where it is long."""
    line = str(value)
    return text(line if len(line) <= _LONGEST_CELL else f"{line[: _LONGEST_CELL - 3]}...")


def front_matter(fields: dict[str, Any]) -> str:
    """YAML in front of a card. NB: JSON is YAML, whatever a value holds; so no words are taken for numbers or dates."""
    lines = ["---"]
    for name, value in fields.items():
        if isinstance(value, list):
            lines += [f"{name}:", *(f"- {_json(one)}" for one in value)]
        else:
            lines.append(f"{name}: {_json(value)}")
    return "\n".join([*lines, "---"])


def _json(value: Any) -> str:
    """NB: in ASCII, as YAML refuses some characters that JSON takes."""
    return json.dumps(value)
