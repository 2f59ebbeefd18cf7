"""The part of kubectl's JSONPath that says where an object keeps its state.

Separate because a contender is described by one, and the observer reads by it: `.status.phase`, or
`.status.conditions[?(@.type=="Complete")].status`.
"""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<key>[A-Za-z0-9_-]+)
      | \[\*\](?P<all>)
      | \[\?\(@\.(?P<field>[A-Za-z0-9_-]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]""",
    re.VERBOSE,
)


class JsonPath:
    """Raises ValueError for what it does not know."""

    def __init__(self, text: str) -> None:
        body = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
        steps, at = [], 0
        while at < len(body):
            match = _STEP.match(body, at)
            if match is None:
                raise ValueError(f"JSONPath {text!r}: what {body[at:]!r} means is not known here")
            steps.append(match.groupdict())
            at = match.end()
        self._steps = steps

    def values(self, thing: Any) -> list[Any]:
        """All values there; none where the object has no such field."""
        found = [thing]
        for step in self._steps:
            found = [value for one in found for value in _after(one, step)]
        return found


def _after(thing: Any, step: dict[str, str | None]) -> list[Any]:
    key, field = step["key"], step["field"]
    if key is not None:
        return [thing[key]] if isinstance(thing, dict) and key in thing else []
    if not isinstance(thing, list):
        return []
    if field is None:
        return thing
    return [one for one in thing if isinstance(one, dict) and one.get(field) == step["value"]]
