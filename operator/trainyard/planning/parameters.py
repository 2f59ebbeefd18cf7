"""A job's parameters: checked against the JSON schema of its action, and as the trainer gets them.

Separate because a misspelt parameter must be told in a sentence before a pod costs a GPU. What a stranger sends is
bounded before it is looked at, as the check runs between all other jobs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from trainyard.planning.nearest import hint

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
        # NB: with an empty registry; the default one fetches a `$ref` from wherever it points to.
        self._validator = _Validator(self.raw, registry=EMPTY_REGISTRY)
        for reference in _references(self.raw):
            if not reference.startswith("#"):
                raise ValueError(f"schema: $ref {reference} points outside of the schema; use #/$defs/...")
        try:
            next(self._validator.iter_errors({}), None)
        except (Unresolvable, RecursionError) as error:
            raise ValueError(f"schema: a $ref cannot be followed: {error}") from error

    @property
    def tunable(self) -> Json:
        """Ranges for a search, from the `x-tunable` of each property."""
        rules = (self.raw.get("properties") or {}).items()
        return {
            name: rule["x-tunable"] for name, rule in rules if isinstance(rule, dict) and "x-tunable" in rule
        }

    def complaints(self, parameters: Mapping[str, Any], *, partial: bool = False) -> tuple[str, ...]:
        """What is wrong, a few at most; empty when nothing is. `partial`: something may be missing yet.

        NB: how large the parameters may be is for the caller to bound.
        """
        return _complaints(self, orjson.dumps(parameters), partial)

    def errors(self, parameters: Json) -> Iterator[ValidationError]:
        return iter(self._validator.iter_errors(parameters))


def unusable(given: Mapping[str, Any], *, schema: Schema | None, defaults: Mapping[str, Any]) -> str | None:
    """Make sure that the parameters fit into the environment and are what the action's schema asks for."""
    values = _count(given, limit=_VALUES_LIMIT)
    if values is None:
        return f"parameters: nested deeper than {_DEPTH_LIMIT} levels. Put such data into a dataset."
    try:
        size = len(orjson.dumps(merged(defaults, given)))
    except (TypeError, ValueError) as error:
        return f"parameters cannot be written as JSON: {error}"
    if size > LIMIT:
        return f"parameters: {size} bytes of JSON; at most {LIMIT} fit. Put large tables into a dataset."
    if schema is None:
        return None
    if values > _VALUES_LIMIT:
        return f"parameters: more than {_VALUES_LIMIT} values. Put large tables into a dataset."
    try:
        complaints = schema.complaints(settled(given, schema=schema, defaults=defaults))
    except (Unresolvable, RecursionError) as error:
        return f"parameters: the runtime's JSON schema cannot be used ({type(error).__name__}); tell who wrote it."
    said = "; ".join(complaints)
    return (said if said.endswith("?") else f"{said}.") if said else None


def settled(given: Mapping[str, Any], *, schema: Schema | None, defaults: Mapping[str, Any]) -> Json:
    """What the trainer gets: the defaults of the entry below what is given, and numbers that came as strings as
    numbers where the schema asks for numbers."""
    values = merged(defaults, given)
    coerced: Json = coerce(values, schema.raw) if schema is not None else values
    return coerced


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Maps key by key, everything else whole; null in `over` stays null."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        result[key] = value
    return result


def coerce(value: Any, rule: Any) -> Any:
    """`value` as its schema's type where a string or a lone number stands for it; else unchanged.

    Decimals come as strings from Kubernetes objects (API conventions: no floats in spec).
    """
    if not isinstance(rule, Mapping):
        return value
    types = _types(rule)
    if isinstance(value, str) and "string" not in types:
        value = _from_text(value, types)
    elif types <= {"array", "null"} and "array" in types and type(value) is int:
        value = [value]
    if isinstance(value, float) and "integer" in types and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        properties = rule.get("properties") or {}
        return {key: coerce(item, properties.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [coerce(item, rule.get("items")) for item in value]
    return value


def _from_text(text: str, types: set[str]) -> Any:
    stripped = text.strip()
    if "null" in types and stripped in ("", "null"):
        return None
    if types & {"integer", "number"}:
        return _number(stripped, text, whole="number" not in types)
    if "array" in types:
        if not stripped.startswith("["):
            return [part.strip() for part in stripped.split(",") if part.strip()]
        try:
            return orjson.loads(stripped)
        except orjson.JSONDecodeError:
            return text
    return text


def _number(text: str, otherwise: str, *, whole: bool) -> int | float | str:
    try:
        number = float(text)
    except ValueError:
        return otherwise
    if not math.isfinite(number):
        return otherwise
    if number.is_integer() and abs(number) < 2**53:
        return int(number)
    return otherwise if whole else number


def _types(rule: Mapping[str, Any]) -> set[str]:
    types = rule.get("type", [])
    return {types} if isinstance(types, str) else set(types)


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


@lru_cache(maxsize=128)
def _complaints(schema: Schema, text: bytes, partial: bool) -> tuple[str, ...]:
    """Cached, because a job that waits is planned again and again."""
    errors = (e for e in schema.errors(orjson.loads(text)) if not (partial and e.validator == "required"))
    found = [_sentence(error) for error in itertools.islice(errors, _SAID + 1)]
    return tuple(found[:_SAID]) + (("and there is more",) if len(found) > _SAID else ())


def _sentence(error: ValidationError) -> str:
    where = _path("parameters", error.absolute_path)
    limit: Any = error.validator_value
    value: Any = error.instance
    rule: Any = error.schema
    match error.validator:
        case "additionalProperties" if isinstance(value, Mapping) and limit is False:
            known = rule.get("properties") or {}
            unknown = next(name for name in value if name not in known)
            said = hint(unknown, known) if known else "this action takes none; remove it"
            return f"{_path(where, [unknown])} is not known: {said}"
        case "required" if isinstance(value, Mapping):
            missing = next(name for name in limit if name not in value)
            return f"{_path(where, [missing])} is missing{_described(rule, missing)}"
        case "type":
            types = " or ".join([limit] if isinstance(limit, str) else limit)
            return f"{where} must be of type {types}, but is {_shown(value)}"
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
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
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
