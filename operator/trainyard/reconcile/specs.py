"""Reading a spec by its model.

Separate because every kind does it: an object may have been stored under another schema, and must then be told what
is wrong with it, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

_Spec = TypeVar("_Spec", bound=BaseModel)


def read(model: type[_Spec], raw: Mapping[str, Any]) -> tuple[_Spec | None, str]:
    """The spec of the object `raw`, or None and why it cannot be read."""
    try:
        return model.model_validate(raw.get("spec") or {}), ""
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"
