"""A job's parameters: checked against the JSON schema of its action, and as the trainer gets them.

Separate because a misspelt parameter must be told in a sentence before a pod costs a GPU. What a stranger sends is
bounded before it is looked at, as the check runs between all other jobs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from trainyard.planning.coercion import coerced
from trainyard.planning.nearest import hint
from trainyard.planning.subschemas import REFERENCES, Subschemas

Json = dict[str, Any]

#: More would not fit beside everything else into the 128 KiB that Linux allows one environment string.
LIMIT = 96 * 1024
_VALUES_LIMIT = 10_000
_DEPTH_LIMIT = 64
_SAID = 3
_TEXT_LIMIT = 80


class Schema:
    """A compiled JSON schema (draft 2020-12). Raises ValueError, naming the place, for one that is wrong."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw: Json = dict(raw)
        try:
            Draft202012Validator.check_schema(self.raw)
        except SchemaError as error:
            raise ValueError(f"{_path('schema', error.absolute_path)}: {error.message[:200]}") from error
        self._subschemas = Subschemas(self.raw)
        # NB: with an empty registry; the default one fetches a `$ref` from wherever it points to.
        self._validator = _Validator(self.raw, registry=EMPTY_REGISTRY)
        self._branches: dict[int, Any] = {}
        for reference in _references(self.raw):
            if not reference.startswith("#"):
                raise ValueError(f"schema: $ref {reference} points outside of the schema; use #/$defs/...")
        try:
            next(self._validator.iter_errors({}), None)
            self.tunable = self._ranges()
        except (Unresolvable, RecursionError) as error:
            raise ValueError(f"schema: a $ref cannot be followed: {error}") from error

    def complaints(self, parameters: Mapping[str, Any], *, partial: bool = False) -> tuple[str, ...]:
        """What is wrong, a few at most; empty when nothing is. `partial`: something may be missing yet.

        NB: how large the parameters may be is for the caller to bound.
        """
        return _complaints(self, orjson.dumps(parameters), partial)

    def errors(self, parameters: Json) -> Iterator[ValidationError]:
        return iter(self._validator.iter_errors(parameters))

    def coerced(self, parameters: Json) -> Json:
        """The parameters in the types that the schema asks for, where strings and lone numbers stand for them."""
        return dict(coerced(parameters, schema=self.raw, subschemas=self._subschemas, fits=self._fits))

    def knows(self, name: str) -> bool:
        """Whether a parameter of this dotted name can be given."""
        return self._subschemas.has(name)

    @property
    def names(self) -> frozenset[str]:
        """The dotted names of the parameters that the schema lists."""
        return frozenset(name for name, _ in self._subschemas.names())

    def _ranges(self) -> Json:
        """Ranges for a search by dotted name, from each property's `x-tunable`; beside a $ref goes before behind it."""
        found: Json = {}
        for name, rule in self._subschemas.names():
            if "x-tunable" in rule:
                found.setdefault(name, rule["x-tunable"])
        return found

    def _fits(self, value: Any, rule: Any) -> bool:
        # NB: the rules are parts of `raw` and live as long as it does.
        validator = self._branches.get(id(rule))
        if validator is None:
            validator = self._branches[id(rule)] = self._validator.evolve(schema=rule)
        return bool(validator.is_valid(value))


def unusable(
    given: Mapping[str, Any], *, schema: Schema | None, defaults: Mapping[str, Any], partial: bool = False
) -> str | None:
    """Make sure that the parameters fit into the environment and are what the action's schema asks for; `partial`:
    something may be missing yet.
    """
    if problem := _out_of_bounds(given, checked=schema is not None):
        return problem
    try:
        size = len(orjson.dumps(merged(defaults, given)))
    except (TypeError, ValueError) as error:
        return f"parameters cannot be written as JSON: {error}"
    if size > LIMIT:
        return f"parameters: {size} bytes of JSON; at most {LIMIT} fit. Put large tables into a dataset."
    if schema is None:
        return None
    try:
        found = settled(given, schema=schema, defaults=defaults)
        # NB: once more; a string may have been a list of many.
        if problem := _out_of_bounds(found, checked=True):
            return problem
        complaints = schema.complaints(found, partial=partial)
    except (Unresolvable, RecursionError) as error:
        return f"parameters: the runtime's JSON schema cannot be used ({type(error).__name__}); tell who wrote it."
    said = "; ".join(complaints)
    return (said if said.endswith(("?", ".")) else f"{said}.") if said else None


def _out_of_bounds(values: Mapping[str, Any], *, checked: bool) -> str | None:
    count = _count(values, limit=_VALUES_LIMIT)
    if count is None:
        return f"parameters: nested deeper than {_DEPTH_LIMIT} levels. Put such data into a dataset."
    if checked and count > _VALUES_LIMIT:
        return f"parameters: more than {_VALUES_LIMIT} values. Put large tables into a dataset."
    return None


def settled(given: Mapping[str, Any], *, schema: Schema | None, defaults: Mapping[str, Any]) -> Json:
    """What the trainer gets: the defaults of the entry below what is given, and strings that stand for numbers as
    numbers where the schema asks for numbers."""
    values = merged(defaults, given)
    if schema is None:
        return values
    found: Json = orjson.loads(_coerced(schema, orjson.dumps(values)))
    return found


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Maps key by key, everything else whole; null in `over` stays null."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        result[key] = value
    return result


def _count(value: Any, *, limit: int) -> int | None:
    """How many values there are, counted up to `limit`; None when they are nested too deep."""
    count, level = 0, [value]
    for _ in range(_DEPTH_LIMIT):
        count += len(level)
        if not level or count > limit:
            return count
        below: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = below
    return None


# Both are cached, because a job that waits is planned again and again.
@lru_cache(maxsize=128)
def _coerced(schema: Schema, text: bytes) -> bytes:
    return orjson.dumps(schema.coerced(orjson.loads(text)))


@lru_cache(maxsize=128)
def _complaints(schema: Schema, text: bytes, partial: bool) -> tuple[str, ...]:
    errors = (e for e in schema.errors(orjson.loads(text)) if not (partial and _only_missing(e)))
    found = [_sentence(error) for error in itertools.islice(errors, _SAID + 1)]
    return tuple(found[:_SAID]) + (("and there is more",) if len(found) > _SAID else ())


def _only_missing(error: ValidationError) -> bool:
    """Whether more parameters would make it right."""
    if error.validator in ("anyOf", "oneOf"):
        branches: dict[Any, list[ValidationError]] = {}
        for inner in error.context or ():
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        return any(all(map(_only_missing, found)) for found in branches.values())
    return error.validator in ("required", "dependentRequired")


def _sentence(error: ValidationError) -> str:
    if error.validator in ("anyOf", "oneOf") and error.context:
        wrong_types = [
            inner for inner in error.context if inner.validator == "type" and not inner.relative_path
        ]
        if len(wrong_types) < len(error.context):
            # The branch whose type is right is the one that was meant.
            meant = [inner for inner in error.context if inner not in wrong_types]
            return _sentence(best_match(meant) or meant[0])
        types = " or ".join(dict.fromkeys(_types_said(inner.validator_value) for inner in wrong_types))
        return f"{_path('parameters', error.absolute_path)} must be of type {types}, but is {_shown(error.instance)}"
    where = _path("parameters", error.absolute_path)
    limit: Any = error.validator_value
    value: Any = error.instance
    rule: Any = error.schema
    match error.validator:
        case "additionalProperties" if isinstance(value, Mapping) and limit is False:
            known = rule.get("properties") or {}
            patterns = rule.get("patternProperties") or {}
            unknown = next(
                name for name in value if name not in known and not any(re.search(p, name) for p in patterns)
            )
            said = hint(unknown, known) if known else "this action takes none; remove it"
            return f"{_path(where, [unknown])} is not known: {said}"
        case "required" if isinstance(value, Mapping):
            missing = next(name for name in limit if name not in value)
            return f"{_path(where, [missing])} is missing{_described(rule, missing)}"
        case "type":
            return f"{where} must be of type {_types_said(limit)}, but is {_shown(value)}"
        case "enum":
            return f"{where} must be one of {', '.join(map(_shown, limit))}, but is {_shown(value)}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return f"{where} must be {_BOUNDS[error.validator]} {limit}, but is {_shown(value)}"
        case "minItems" | "maxItems":
            least = "at least" if error.validator == "minItems" else "at most"
            return f"{where} must have {least} {limit} items, but has {len(value)}"
        case "minLength" | "maxLength":
            least = "at least" if error.validator == "minLength" else "at most"
            return f"{where} must have {least} {limit} characters, but has {len(value)}"
        case "pattern":
            return f"{where} must match {limit}, but is {_shown(value)}"
    return f"{where}: {error.message[:200]}"


_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}


def _types_said(types: Any) -> str:
    return types if isinstance(types, str) else " or ".join(types)


def _described(schema: Mapping[str, Any], name: str) -> str:
    rule = (schema.get("properties") or {}).get(name)
    text = rule.get("description", "") if isinstance(rule, Mapping) else ""
    return f" ({text.rstrip('.')})" if text else ""


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


def _path(root: str, parts: Any) -> str:
    """`parameters.train.gpu_ids[0]`"""
    said = "".join(f"[{part}]" if isinstance(part, int) else f".{str(part)[:_TEXT_LIMIT]}" for part in parts)
    return f"{root}{said}"


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in REFERENCES and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _unique_items(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[ValidationError]:
    """The library's own compares each with each where items cannot be sorted: minutes for a large list."""
    if wanted is True and isinstance(instance, list):
        seen = {orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance}
        if len(seen) < len(instance):
            yield ValidationError("two items are the same; each may stand only once")


_Validator: Any = extend(  # type: ignore[no-untyped-call]  # untyped in its stubs
    Draft202012Validator, {"uniqueItems": _unique_items}
)
