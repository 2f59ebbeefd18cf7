"""Which paths of a source are taken: patterns of `spec.source.filters`.

Separate because it is a small language of its own. Called by `listings`.

A path is taken where a pattern matches it (or there is none that takes), and no pattern that begins with `!` does.
`*` and `?` stop at a slash, `**` does not; `[abc]` is one of these letters. A pattern without a slash is for names in
any folder, one with a slash for paths from the top; `images/` is all that lies in that folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def chosen(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Tells of a path whether it is taken."""
    takes, leaves = list[str](), list[str]()
    for pattern in patterns:
        (leaves if pattern.startswith("!") else takes).append(_expression(pattern.removeprefix("!")))
    taken = re.compile("|".join(takes)).fullmatch if takes else None
    left = re.compile("|".join(leaves)).fullmatch if leaves else None

    def choose(path: str) -> bool:
        return (taken is None or taken(path) is not None) and (left is None or left(path) is None)

    return choose


def _expression(pattern: str) -> str:
    """The pattern as a regular expression."""
    if pattern.endswith("/"):
        pattern += "**"
    anywhere = "/" not in pattern
    pattern = re.sub(r"(\*\*/)+", "**/", pattern.lstrip("/"))
    parts = ["(?s:", "(?:.*/)?" if anywhere else ""]
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += len(pattern[at:]) - len(pattern[at:].lstrip("*"))
        elif pattern[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        else:
            letter, at = _letter(pattern, at)
            parts.append(letter)
    return "".join([*parts, ")"])


def _letter(pattern: str, at: int) -> tuple[str, int]:
    """A letter or a set of letters at a place of the pattern, and the place after it."""
    end = pattern.find("]", at + 2)
    if pattern[at] != "[" or end < 0:
        return re.escape(pattern[at]), at + 1
    inside = pattern[at + 1 : end]
    negated = inside[0] in "!^"
    letters = inside[1:] if negated else inside
    escaped = re.sub(r"[\\\[\]^&~|]", r"\\\g<0>", letters)
    try:
        made = f"(?!/)[{'^' if negated else ''}{escaped}]"
        re.compile(made)
    except re.error:
        return re.escape(pattern[at]), at + 1
    return made, end + 1
