"""Parameters: strings made numbers, checked against the type's JSON schema, defaults filled in.

Separate because the schemas in `schemas/` are also what a catalogue entry publishes, and everything
after this module works with complete, typed values. Called by `actions`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from trainyard_trainer.problems import Refused, nearest

_DEFAULT_TREES = 200
_DEFAULT_AMOUNT = 0.5


def schema(name: str) -> dict[str, Any]:
    """The JSON schema `schemas/<name>.json` of this package."""
    text = resources.files("trainyard_trainer").joinpath("schemas", f"{name}.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def check(given: Mapping[str, Any], *, schema_name: str) -> dict[str, Any]:
    """`given` with numbers read from strings and the defaults of what is missing.

    Raises Refused, naming every parameter that is unknown or out of range.
    """
    rules = schema(schema_name)
    properties: dict[str, Any] = rules["properties"]
    coerced = {name: coerce(value, properties.get(name, {})) for name, value in given.items()}
    if complaints := _complaints(coerced, rules, schema_name):
        raise Refused(" ".join(complaints))
    return {name: rule["default"] for name, rule in properties.items()} | coerced


def for_training(given: Mapping[str, Any], *, type_name: str) -> dict[str, Any]:
    """The complete parameters of a type, with the two names of each length settled to one.

    `max_iterations` becomes `epochs`; of a forest, `epochs` becomes `n_estimators`. The task of a type that only
    knows quantities is settled, too. Raises Refused where two parameters contradict each other.
    """
    values = _with_one_length(check(given, schema_name=type_name), given)
    if not values["synthetic_data"]:
        # NB: named only where it counts, so that what earlier releases have saved can be gone on with.
        del values["synthetic_data"]
    if "n_estimators" in values:
        values["n_estimators"] = values["n_estimators"] or _DEFAULT_TREES
    if "classification" not in schema(type_name)["properties"]["task"]["enum"]:
        values["task"] = "regression"
    return values


def for_retraining(given: Mapping[str, Any], *, type_name: str) -> dict[str, Any]:
    """As `for_training`; what is None is the parent's. Each type has what every training needs."""
    whole = {"epochs": 1, "early_stopping_rounds": 0, "checkpoint_every": 1}
    return whole | _with_one_length(check(given, schema_name=f"retrain_{type_name}"), given)


def for_pruning(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of prune, of which one says how much. Raises Refused where both do."""
    values = check(given, schema_name="prune")
    if values["tolerated_loss"] is None:
        values["amount"] = values["amount"] or _DEFAULT_AMOUNT
    elif values["amount"] is not None:
        raise Refused("Give amount or tolerated_loss, not both.")
    return values


def _with_one_length(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    iterations = values.pop("max_iterations", None)
    if iterations is not None:
        if given.get("epochs") is not None and values["epochs"] != iterations:
            raise Refused("epochs and max_iterations are the same parameter: give one of them.")
        values["epochs"] = iterations
    if "n_estimators" in values:
        epochs = values.pop("epochs")
        trees = None if epochs is None else epochs * values["trees_per_batch"]
        if trees is not None and values["n_estimators"] not in {None, trees}:
            raise Refused("Give n_estimators, or epochs (batches of trees_per_batch trees), not both.")
        values["n_estimators"] = trees or values["n_estimators"]
    return values


def coerce(value: Any, rule: Mapping[str, Any]) -> Any:
    """`value` as the schema's type where a string or a lone number stands for it; else unchanged.

    Decimals come as strings from Kubernetes objects (API conventions: no floats in spec).
    """
    types = _types(rule)
    if isinstance(value, str):
        text = value.strip()
        if "null" in types and "string" not in types and text in {"", "null"}:
            return None
        if "boolean" in types and text in {"true", "false"}:
            return text == "true"
        if {"integer", "number"} & types:
            return _number(text, value, whole="number" not in types)
        if "array" in types and text.startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                return value
        elif "array" in types:
            value = [part.strip() for part in text.split(",") if part.strip()]
    elif "array" in types and isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    elif "integer" in types and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [coerce(item, rule.get("items", {})) for item in value]
    return value


def _number(text: str, otherwise: str, *, whole: bool) -> int | float | str:
    try:
        number = float(text)
    except ValueError:
        return otherwise
    if whole and number.is_integer():
        return int(number)
    return otherwise if whole or not math.isfinite(number) else number


def _types(rule: Mapping[str, Any]) -> set[str]:
    types = rule.get("type", [])
    return {types} if isinstance(types, str) else set(types)


def _complaints(values: Mapping[str, Any], rules: Mapping[str, Any], schema_name: str) -> list[str]:
    properties: Mapping[str, Any] = rules["properties"]
    complaints = []
    for name in values:
        if name in properties:
            continue
        if properties:
            close = nearest(name, properties) or f" Known parameters: {', '.join(sorted(properties))}."
            complaints.append(f'Unknown parameter "{name}" for {schema_name}.{close}')
        else:
            complaints.append(f'Unknown parameter "{name}": {schema_name} takes none. Remove it.')
    known = {name: value for name, value in values.items() if name in properties}
    if known:
        # Imported late: it costs a tenth of a second and an evaluation has no parameters.
        from jsonschema import Draft202012Validator

        for error in Draft202012Validator(dict(rules)).iter_errors(known):
            name = str(error.absolute_path[0])
            description = properties[name].get("description", "")
            value = json.dumps(error.instance)
            complaints.append(
                f'Parameter "{name}" {_rule(error.validator, error.validator_value, value)}. {description}'
            )
    return complaints


def _rule(keyword: str, limit: Any, value: str) -> str:
    names = " or ".join([limit] if isinstance(limit, str) else limit) if keyword == "type" else ""
    says = {
        "type": f"must be of type {names}, but is {value}",
        "minimum": f"must be at least {limit}, but is {value}",
        "maximum": f"must be at most {limit}, but is {value}",
        "exclusiveMinimum": f"must be above {limit}, but is {value}",
        "exclusiveMaximum": f"must be below {limit}, but is {value}",
        "enum": f"must be one of {', '.join(map(str, limit)) if keyword == 'enum' else ''}, but is {value}",
    }
    return says.get(keyword, f"breaks the rule {keyword} {limit} with {value}")
