"""The space that an Experiment's `automl` searches: its own, or what the runtime says can be tuned.

Separate because the catalogue's ranges and the spec's are two spellings of one thing, and whatever is wrong with either
must be told before the first trial, not by all of them. Called by the planning of an Experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from trainyard.api.automl import AutoML, SearchParameter
from trainyard.planning.nearest import hint
from trainyard.planning.parameters import settled
from trainyard.planning.runtime import RuntimeAction
from trainyard.search.rules import ON_RUNGS
from trainyard.search.space import BOOLS, Dimension, Point, Space, SpaceError, canonical

__all__ = ["SpaceError", "epochs_names", "space_of", "with_epochs"]

Json = dict[str, Any]


def space_of(automl: AutoML, action: RuntimeAction, step_parameters: Mapping[str, Any]) -> Space:
    """What is searched for a step with these parameters, in the order of the names.

    `action` is that of the step's type or architecture. What sets the number of epochs is never searched, nor are its
    other names where the search sets it. Raises SpaceError with a sentence that names the field.
    """
    given = [_of_spec(parameter) for parameter in automl.space]
    found = {**_of_runtime(automl, action), **{dimension.name: dimension for dimension in given}}
    for name in (automl.epochs_parameter, *found):
        if name is not None and action.schema is not None and not action.schema.knows(name):
            where = "epochsParameter" if name == automl.epochs_parameter else "space"
            known = hint(name, action.schema.names, listed_by="`trainyard schema`")
            raise SpaceError(f"spec.automl.{where}: {name} is no parameter of this action: {known}")
    named = {dimension.name for dimension in given} | {*automl.add_hyperparameters}
    for name, why in _not_searched(automl, action, step_parameters):
        if name in named:
            raise SpaceError(
                f"spec.automl: {name} cannot be searched: {why}. Take it out of what is searched."
            )
        found.pop(name, None)
    if not found:
        raise SpaceError(
            "spec.automl.space: there is nothing to search. List the parameters; the runtime says of none that it can "
            "be tuned."
            if not action.tunable
            else "spec.automl.space: there is nothing left to search. List the parameters, or take less out."
        )
    try:
        space = Space(tuple(found[name] for name in sorted(found)))
    except SpaceError as error:
        raise SpaceError(f"spec.automl.space: {error}.") from error
    _check_against_schema(space, action)
    return space


def epochs_names(automl: AutoML, action: RuntimeAction) -> tuple[str, ...]:
    """The parameter that sets the number of epochs, the spec's or the catalogue's, and then its other names.

    `action` is that of the step's type or architecture.
    """
    own = automl.epochs_parameter
    if own is None:
        return action.epochs
    return (own, *(name for name in action.epochs if name != own)) if own in action.epochs else (own,)


def with_epochs(parameters: Mapping[str, Any], epochs: int, *, names: Sequence[str]) -> Json:
    """The parameters with that number of epochs, and without what else would set it.

    Unchanged where nothing is known that sets it.
    """
    found: Json = dict(parameters)
    for name in names[1:]:
        found = _without(found, name.split("."))
    return _with(found, names[0].split("."), epochs) if names else found


def _of_spec(parameter: SearchParameter) -> Dimension:
    try:
        return Dimension(
            name=parameter.name,
            type=parameter.type,
            low=_decimal(parameter.min),
            high=_decimal(parameter.max),
            step=_decimal(parameter.step),
            log=bool(parameter.log),
            values=tuple(parameter.values or ()),
        )
    except SpaceError as error:
        raise SpaceError(f"spec.automl.space: {error}.") from error


def _of_runtime(automl: AutoML, action: RuntimeAction) -> dict[str, Dimension]:
    """The runtime's choice, unless the spec has a space, and what is asked for besides."""
    for name in automl.remove_hyperparameters:
        if name not in action.tunable:
            said = hint(name, action.tunable, listed_by="`trainyard schema`")
            raise SpaceError(
                f"spec.automl.removeHyperparameters: the runtime would not search {name}: {said}"
            )
    chosen = () if automl.space else _choice(automl, action)
    wanted = [name for name in chosen if name not in automl.remove_hyperparameters]
    own = {parameter.name for parameter in automl.space}
    for name in automl.add_hyperparameters:
        if name in automl.remove_hyperparameters:
            raise SpaceError(f"spec.automl: {name} is in addHyperparameters and in removeHyperparameters.")
        if name not in action.tunable and name not in own:
            said = hint(name, action.tunable, listed_by="`trainyard schema`")
            raise SpaceError(
                f"spec.automl.addHyperparameters: the runtime has no range for {name}: {said} Or give its range in "
                "spec.automl.space."
            )
        wanted.append(name)
    return {name: _of_range(name, action.tunable[name]) for name in wanted if name not in own}


def _choice(automl: AutoML, action: RuntimeAction) -> Iterator[str]:
    for name, found in action.tunable.items():
        if found.get("enabled", True) or automl.override_disabled_params:
            yield name


def _of_range(name: str, found: Mapping[str, Any]) -> Dimension:
    """A range as the catalogue has it, with numbers where the spec has decimal strings."""
    return Dimension(
        name=name,
        type=found["type"],
        low=_of_number(found.get("min")),
        high=_of_number(found.get("max")),
        step=_of_number(found.get("step")),
        log=bool(found.get("log")),
        values=tuple(dict.fromkeys(_text(value) for value in found.get("values") or ())),
    )


def _not_searched(
    automl: AutoML, action: RuntimeAction, given: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What must not be searched, and why: the parameter of the epochs, and its other names where one of them is set."""
    names = epochs_names(automl, action)
    by_rungs = automl.algorithm in ON_RUNGS
    if by_rungs and not names:
        raise SpaceError(
            f"spec.automl.epochsParameter: {automl.algorithm} gives trials different numbers of epochs; say which "
            "parameter sets that, as the catalogue does not know."
        )
    set_by_step = [name for name in names if _has(given, name.split("."))]
    for name in names:
        if by_rungs or name == names[0]:
            yield name, "it sets the number of epochs"
        elif other := next((other for other in set_by_step if other != name), None):
            yield name, f"the step gives {other}, which sets the same"


def _check_against_schema(space: Space, action: RuntimeAction) -> None:
    """Make sure that no trial would be refused for a value of its own: the ends of all ranges, and all choices."""
    if action.schema is None:
        return
    for point in _corners(space):
        values = settled(space.parameters(point), schema=action.schema, defaults={})
        if said := action.schema.complaints(values, partial=True):
            raise SpaceError(f"spec.automl.space: {said[0].rstrip('.')}.")


def _corners(space: Space) -> Iterable[Point]:
    choices = [_ends(dimension) for dimension in space.dimensions]
    for index in range(max(map(len, choices))):
        yield tuple(values[min(index, len(values) - 1)] for values in choices)


def _ends(dimension: Dimension) -> tuple[str, ...]:
    if dimension.type == "bool":
        return BOOLS
    return dimension.values or tuple(map(canonical, dimension.bounds))


def _text(value: Any) -> str:
    """A value of a categorical as a string that reads as that value again."""
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    return orjson.dumps(value).decode()


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _of_number(number: float | None) -> Decimal | None:
    return None if number is None else Decimal(repr(number))


def _has(values: Any, path: list[str]) -> bool:
    """Whether there is something but null at a path of keys."""
    for key in path:
        if not isinstance(values, Mapping):
            return False
        values = values.get(key)
    return values is not None


def _with(values: Mapping[str, Any], path: list[str], value: Any) -> Json:
    key, *rest = path
    below = values.get(key)
    inner = _with(below if isinstance(below, Mapping) else {}, rest, value) if rest else value
    return {**values, key: inner}


def _without(values: Mapping[str, Any], path: list[str]) -> Json:
    key, *rest = path
    if not rest:
        return {name: value for name, value in values.items() if name != key}
    below = values.get(key)
    return {**values, key: _without(below, rest)} if isinstance(below, Mapping) else dict(values)
