"""Values in the types that a JSON schema asks for, where a string or a lone number stands for them.

Separate because decimals are strings in Kubernetes objects (API conventions: no floats in spec), and a schema has a
dozen ways to say that here a number stands. Called by trainyard.planning.parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from trainyard.planning.subschemas import Subschemas, declared, types

# Far above what 10,000 values need; without it a schema that branches and refers to itself has no end.
_STEPS_LIMIT = 200_000


class Fits(Protocol):
    """Whether a value is what a rule of the schema asks for."""

    def __call__(self, value: Any, rule: Any) -> bool: ...


def coerced(value: Any, *, schema: Any, subschemas: Subschemas, fits: Fits) -> Any:
    """`value` with everything that its schema knows in the schema's types; what cannot be is left as it is."""
    return _Coercion(subschemas, fits).of(value, schema)


class _Coercion:
    def __init__(self, subschemas: Subschemas, fits: Fits) -> None:
        self._subschemas = subschemas
        self._fits_rule = fits
        self._left = _STEPS_LIMIT

    def of(self, value: Any, rule: Any) -> Any:
        waiting, seen = [rule], set()
        while waiting and self._left > 0:
            part = waiting.pop(0)
            if not isinstance(part, Mapping) or id(part) in seen:
                continue
            seen.add(id(part))
            self._left -= 1
            value = self._inside(_as_type(value, part), part)
            for key in ("anyOf", "oneOf"):
                if key in part:
                    value = self._by_branch(value, part[key])
            waiting.extend(self._subschemas.referred(part))
            waiting.extend(part.get("allOf") or ())
            waiting.extend(self._conditional(value, part))
        return value

    def _inside(self, value: Any, part: Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            return {key: self._under(key, item, part) for key, item in value.items()}
        if isinstance(value, list):
            first = part.get("prefixItems") or []
            rest = part.get("items")
            return [
                self.of(item, first[index] if index < len(first) else rest)
                for index, item in enumerate(value)
            ]
        return value

    def _under(self, key: str, value: Any, part: Mapping[str, Any]) -> Any:
        rules = declared(part, key) or [part.get("additionalProperties")]
        for rule in rules:
            value = self.of(value, rule)
        return value

    def _by_branch(self, value: Any, branches: list[Any]) -> Any:
        """By the branch that the value fits already, else by one that it fits once it is coerced."""
        possible = [branch for branch in branches if self._possible(value, branch)]
        if len(possible) > 1:
            fitting = next((branch for branch in possible if self._fits(value, branch)), None)
            if fitting is not None:
                return self._kept_if(value, fitting)
            tried = [(self.of(value, branch), branch) for branch in possible]
            found = [result for result, branch in tried if self._fits(result, branch)]
            # NB: any string makes a list of one string, so that a list is the last choice.
            if found:
                return next((result for result in found if not isinstance(result, list)), found[0])
            possible = [branch for branch in possible if self._types(branch) != {"null"}]
        return self.of(value, possible[0]) if len(possible) == 1 else value

    def _kept_if(self, value: Any, branch: Any) -> Any:
        result = self.of(value, branch)
        return result if self._fits(result, branch) else value

    def _possible(self, value: Any, branch: Any) -> bool:
        """NB: maps and lists by their type alone, or each level would check all below it once more."""
        needed = {"object"} if isinstance(value, Mapping) else {"array"} if isinstance(value, list) else set()
        wanted = self._types(branch)
        return not needed or not wanted or bool(needed & wanted)

    def _types(self, branch: Any) -> set[str]:
        asked = [types(part) for part in self._subschemas.together(branch) if types(part)]
        return set.intersection(*asked) if asked else set()

    def _conditional(self, value: Any, part: Mapping[str, Any]) -> list[Any]:
        found = []
        if "if" in part:
            found.append(part.get("then" if self._fits(value, part["if"]) else "else"))
        if isinstance(value, Mapping):
            needed = part.get("dependentSchemas") or {}
            found += [rule for name, rule in needed.items() if name in value]
        return found

    def _fits(self, value: Any, rule: Any) -> bool:
        self._left -= _size(value)
        return self._left > 0 and self._fits_rule(value, rule)


def _as_type(value: Any, rule: Mapping[str, Any]) -> Any:
    wanted = types(rule) or _listed_types(value, rule)
    if isinstance(value, str) and "string" not in wanted:
        return _from_text(value, wanted)
    if wanted and wanted <= {"array", "null"} and "array" in wanted and type(value) in (int, float):
        return [value]
    if isinstance(value, float) and "integer" in wanted and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _listed_types(value: Any, rule: Mapping[str, Any]) -> set[str]:
    """The types of the values that `enum` and `const` list, where `value` is none of those."""
    listed = [*(rule.get("enum") or ()), *([rule["const"]] if "const" in rule else ())]
    if value in listed:
        return set()
    return {_TYPES[type(item)] for item in listed if type(item) in _TYPES}


# What 64 bits hold for certain; as a float it would be another number.
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_TYPES = {bool: "boolean", int: "number", float: "number", type(None): "null"}


def _from_text(text: str, wanted: set[str]) -> Any:
    stripped = text.strip()
    if "null" in wanted and stripped in ("", "null"):
        return None
    if "boolean" in wanted and stripped in ("true", "false"):
        return stripped == "true"
    if wanted & {"integer", "number"}:
        number = _number(stripped, whole="number" not in wanted)
        if number is not None:
            return number
        if not stripped.startswith("[") and "," not in stripped:
            return text
    return _list(stripped, text) if "array" in wanted else text


def _list(stripped: str, text: str) -> Any:
    if not stripped.startswith("["):
        return [part.strip() for part in stripped.split(",") if part.strip()]
    try:
        found = orjson.loads(stripped)
        orjson.dumps(found)  # NB: it reads what is nested deeper than what it writes
    except (ValueError, TypeError):
        return text
    return found


def _number(text: str, *, whole: bool) -> int | float | None:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    if number.is_integer() and abs(number) < 2**53:
        return int(number)
    return None if whole else number


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1
