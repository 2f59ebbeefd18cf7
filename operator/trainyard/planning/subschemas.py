"""What stands where in a JSON schema: its local references followed, its parts found, its parameters by dotted names.

Separate because coercion and the catalogue look into schemas in the same way, which says nothing of any value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

Json = dict[str, Any]

REFERENCES = ("$ref", "$dynamicRef")
_DEPTH_LIMIT = 16


class Subschemas:
    """The rules of one schema and how they hang together."""

    def __init__(self, raw: Json) -> None:
        self._raw = raw
        self._resolver = EMPTY_REGISTRY.resolver_with_root(DRAFT202012.create_resource(raw))

    def referred(self, rule: Mapping[str, Any]) -> Iterator[Any]:
        """What the references of a rule point to. Raises Unresolvable for one that points to nothing."""
        for key in REFERENCES:
            if isinstance(rule.get(key), str):
                yield self._resolver.lookup(rule[key]).contents

    def together(self, rule: Any) -> Iterator[Mapping[str, Any]]:
        """The rule and those that hold wherever it holds: what it refers to, and allOf."""
        return self._spread(rule, ("allOf",))

    def parts(self, rule: Any) -> Iterator[Mapping[str, Any]]:
        """The rule and all that may hold for the same value, whatever that is."""
        return self._spread(rule, ("allOf", "anyOf", "oneOf", "then", "else", "dependentSchemas"))

    def below(self, rule: Any, key: str) -> list[Any]:
        """The rules for what a map has under `key`; none where it cannot have that."""
        parts = list(self.parts(rule))
        found = [sub for part in parts for sub in declared(part, key)]
        if found:
            return found
        closed = any(part.get("additionalProperties") is False for part in parts)
        scalar = any(types(part) and "object" not in types(part) for part in self.together(rule))
        if rule is False or closed or scalar:
            return []
        return [part.get("additionalProperties", True) for part in parts] or [True]

    def has(self, name: str) -> bool:
        """Whether a dotted name, such as train.optim.lr, can be given at all."""
        rules: list[Any] = [self._raw]
        for key in name.split("."):
            rules = [sub for rule in rules for sub in self.below(rule, key)]
        return bool(rules)

    def names(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The properties by dotted names, those of nested objects after the object."""
        return self._names(self._raw, (), frozenset())

    def _names(
        self, rule: Any, prefix: tuple[str, ...], above: frozenset[int]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for part in self.parts(rule):
            # NB: a schema may refer to itself further down.
            if id(part) in above or len(prefix) >= _DEPTH_LIMIT:
                continue
            for name, sub in (part.get("properties") or {}).items():
                for found in self.parts(sub):
                    yield ".".join((*prefix, name)), found
                yield from self._names(sub, (*prefix, name), above | {id(part)})

    def _spread(self, rule: Any, keys: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
        waiting, seen = [rule], set()
        while waiting:
            part = waiting.pop(0)
            if not isinstance(part, Mapping) or id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            waiting.extend(self.referred(part))
            for key in keys:
                waiting.extend(_rules_of(key, part.get(key)))


def declared(part: Mapping[str, Any], key: str) -> list[Any]:
    """What `properties` and `patternProperties` say of a key."""
    properties = part.get("properties") or {}
    found = [properties[key]] if key in properties else []
    return found + [
        sub for pattern, sub in (part.get("patternProperties") or {}).items() if re.search(pattern, key)
    ]


def types(rule: Mapping[str, Any]) -> set[str]:
    """The types that a rule asks for; none for any."""
    found = rule.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def _rules_of(key: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    return list(value.values()) if key == "dependentSchemas" else [value]
