"""Parameters: strings made numbers, checked against the action's JSON schema, defaults filled in.

Separate because the schemas in `schemas/` are also what the catalogue publishes, and every action works with
complete, typed values. Called by `running`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from trainyard_data.actions.problems import Refused, nearest


def schema(action: str) -> dict[str, Any]:
    """The JSON schema `schemas/<action>.json` of this package."""
    text = resources.files("trainyard_data").joinpath("schemas", f"{action}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def check(given: Mapping[str, Any], *, action: str) -> dict[str, Any]:
    """`given` with numbers read from strings and the defaults of what is missing.

    Raises Refused, naming every parameter that is unknown or out of range.
    """
    rules = schema(action)
    properties: dict[str, Any] = rules["properties"]
    coerced = {name: coerce(value, properties.get(name, {})) for name, value in given.items()}
    if complaints := _complaints(coerced, rules, action):
        raise Refused(" ".join(complaints))
    return {name: rule["default"] for name, rule in properties.items()} | coerced


def coerce(value: Any, rule: Mapping[str, Any]) -> Any:
    """`value` as the schema's type where a string stands for it; else unchanged.

    Decimals come as strings from Kubernetes objects (API conventions: no floats in spec).
    """
    named = rule.get("type", [])
    types = {named} if isinstance(named, str) else set(named)
    if isinstance(value, str):
        text = value.strip()
        if "boolean" in types and text in {"true", "false"}:
            return text == "true"
        if {"integer", "number"} & types:
            return _number(text, value, whole="number" not in types)
    elif "integer" in types and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _number(text: str, otherwise: str, *, whole: bool) -> int | float | str:
    try:
        number = float(text)
    except ValueError:
        return otherwise
    if whole and number.is_integer():
        return int(number)
    return otherwise if whole or not math.isfinite(number) else number


def _complaints(values: Mapping[str, Any], rules: Mapping[str, Any], action: str) -> list[str]:
    # Imported late: it costs a tenth of a second, and most orders have no parameters.
    from jsonschema import Draft202012Validator

    properties: Mapping[str, Any] = rules["properties"]
    complaints = [
        f'Unknown parameter "{name}" for {action}.'
        f"{nearest(name, properties) or ' Known parameters: ' + ', '.join(sorted(properties)) + '.'}"
        for name in values
        if name not in properties
    ]
    known = {name: value for name, value in values.items() if name in properties}
    for error in Draft202012Validator(dict(rules)).iter_errors(known):
        name = str(error.absolute_path[0])
        rule = _rule(str(error.validator), error.validator_value, json.dumps(error.instance)[:80])
        complaints.append(f'Parameter "{name}" {rule}. {properties[name].get("description", "")}')
    return complaints


def _rule(keyword: str, limit: Any, value: str) -> str:
    listed = (
        ", ".join(str(one) for one in limit if one is not None) if isinstance(limit, list) else str(limit)
    )
    says = {
        "type": f"must be of type {listed.replace(', ', ' or ')}, but is {value}",
        "minimum": f"must be at least {limit}, but is {value}",
        "maximum": f"must be at most {limit}, but is {value}",
        "enum": f"must be one of {listed}, but is {value}",
        "minLength": "must not be empty",
        "maxLength": f"must have at most {limit} characters",
    }
    return says.get(keyword, f"breaks the rule {keyword} {limit} with {value}")
