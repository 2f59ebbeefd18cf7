"""Building blocks of the models: the base class, opaque objects, bounded scalars, conditions.

Separate so that each kind reads as its fields. Bounds are there because the API server prices CEL rules by the
largest object that a schema admits.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """camelCase on the wire; unknown fields are the API server's to refuse or prune, not ours to trip over."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules with their messages, for a model's `json_schema_extra`."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

OPAQUE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

#: An object that Kubernetes or a trainer checks, not we.
Opaque = Annotated[dict[str, Any], Field(json_schema_extra=OPAQUE)]
#: A cpu, memory or device quantity, `2`, `500m`, `16Gi`.
Quantity = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            # resource.Quantity's format, without its exponents' fractions.
            "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
        }
    ),
]
ResourceName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
JobName = Annotated[str, Field(min_length=1, max_length=50, pattern=DNS_LABEL)]
KindName = Annotated[str, Field(min_length=1, max_length=35, pattern=DNS_LABEL)]
Text = Annotated[str, Field(max_length=1000)]
#: A number that need not be whole; a string, as the API conventions ask.
DecimalString = Annotated[
    str, Field(min_length=1, max_length=32, pattern=r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$")
]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


class Condition(ApiModel):
    """A condition in the form of the Kubernetes API conventions (metav1.Condition)."""

    type: Annotated[str, Field(max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=4096)] = ""
    last_transition_time: Timestamp
    observed_generation: int | None = None


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        description="What is true of this object now; `kubectl wait --for=condition=Finished` ends on any end.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class CommonStatus(ApiModel):
    """What the status of every kind says."""

    observed_generation: int = Field(description="The generation of the spec that this status speaks of.")
    phase: Literal["Pending", "Running", "Done", "Error", "Canceled"] | None = Field(
        default=None, description="Pending, Running, Done or Error (Canceled is reserved)."
    )
    reason: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Why it is in this phase, as one PascalCase word."
    )
    message: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="A sentence that says what is going on and what to do about it."
    )
    conditions: Conditions = Field(default_factory=list)
