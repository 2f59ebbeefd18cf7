"""Ranges for a search over parameters, as entries and schemas (`x-tunable`) write them.

Separate because the same shape stands in both, and a wrong one would only be met by the first search. It is that of
the search space of an Experiment, with numbers for its decimal strings.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Range(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["float", "int", "categorical", "bool"]
    min: _Number | None = None
    max: _Number | None = None
    step: Annotated[_Number, Field(gt=0)] | None = None
    log: bool = False
    values: Annotated[list[Any], Field(min_length=1)] | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _is_whole(self) -> _Range:
        numeric = self.type in ("float", "int")
        if numeric and (self.min is None or self.max is None or self.min >= self.max):
            raise ValueError("a float or an int needs min and max, and min must be less")
        if self.type == "int" and not all(
            float(n).is_integer() for n in (self.min, self.max, self.step or 0) if n
        ):
            raise ValueError("min, max and step of an int are whole numbers")
        if (self.type == "categorical") != (self.values is not None):
            raise ValueError("values are for a categorical, and it needs them")
        if not numeric and (self.min, self.max, self.step, self.log) != (None, None, None, False):
            raise ValueError("min, max, step and log are for a float or an int")
        if self.log and (self.step is not None or (self.min or 0) <= 0):
            raise ValueError("a log scale needs a min of more than 0, and no step")
        return self


def problem_of(found: Any) -> str | None:
    """What is wrong with a range, naming the key."""
    if not isinstance(found, dict):
        return "it must be a map, such as {type: float, min: 0.1, max: 0.9}"
    try:
        _Range.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        said = first["msg"].removeprefix("Value error, ")
        return f"{where}: {said}" if where else said
    return None
