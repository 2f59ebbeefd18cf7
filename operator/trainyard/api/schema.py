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


def keyed_by(*keys: str) -> dict[str, Any]:
    """A list whose entries are told apart by these fields, for the list's `json_schema_extra`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


#: A list without doubles, for the list's `json_schema_extra`.
WITHOUT_DOUBLES = {"x-kubernetes-list-type": "set"}


def spelt(pattern: str, what: str, *, max_length: int, min_length: int = 1) -> Any:
    """A string of a pattern. The API server's own message is the pattern; `what` says it in words as well."""
    return Field(
        min_length=min_length,
        max_length=max_length,
        pattern=pattern,
        json_schema_extra=rules((f"self.matches(r'{pattern}')", f"must be {what}")),
    )


DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
# Two digits of exponent: whatever is written fits into a double.
DECIMAL = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"

OPAQUE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

#: An object that Kubernetes or a trainer checks, not we.
Opaque = Annotated[dict[str, Any], Field(json_schema_extra=OPAQUE)]
# resource.Quantity's format, without its sign and its exponents' fractions.
_QUANTITY = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
#: A cpu, memory or device quantity, `2`, `500m`, `16Gi`; never negative.
Quantity = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "maxLength": 64,
            "pattern": _QUANTITY,
            **rules(
                (
                    f"type(self) == int ? self >= 0 : self.matches(r'{_QUANTITY}')",
                    "must be a quantity that is not negative, such as 2, 500m or 16Gi",
                )
            ),
        }
    ),
]
ResourceName = Annotated[
    str,
    spelt(
        DNS_SUBDOMAIN,
        "the name of an object of this namespace: lower-case letters, digits, '-' and '.', no '/'",
        max_length=253,
    ),
]
_LABEL = "a name of lower-case letters, digits and '-' that begins and ends with a letter or digit"
LabelName = Annotated[str, spelt(DNS_LABEL, _LABEL, max_length=63)]
JobName = Annotated[str, spelt(DNS_LABEL, _LABEL, max_length=50)]
KindName = Annotated[str, spelt(DNS_LABEL, _LABEL, max_length=35)]
ModelName = Annotated[str, spelt(DNS_LABEL, _LABEL, max_length=28)]
Title = Annotated[str, Field(max_length=500)]
Text = Annotated[str, Field(max_length=1000)]
#: A number that need not be whole; a string, as the API conventions ask.
DecimalString = Annotated[
    str,
    spelt(
        DECIMAL,
        "a decimal number as a string, such as '0.05' or '1e-4'",
        max_length=32,
    ),
]
CronSchedule = Annotated[
    str,
    spelt(
        r"^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)"
        r"|[0-9*,/-]+ +[0-9*,/-]+ +[0-9*,/?-]+ +[0-9A-Za-z*,/-]+ +[0-9A-Za-z*,/?-]+)$",
        "a cron schedule of five fields such as '0 3 * * 1', or @hourly, @daily, @weekly, @monthly; the time zone goes "
        "to timeZone",
        max_length=128,
    ),
]
TimeZone = Annotated[
    str,
    spelt(
        r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
        "a time zone by its name, such as Etc/UTC or Europe/Berlin",
        max_length=63,
    ),
]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
Timestamp = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Message = Annotated[str, Field(max_length=4096)]
ReasonWord = Annotated[str, Field(max_length=64)]
#: A digest of ours (not of a file), in hexadecimal.
Digest = Annotated[str, Field(max_length=64)]


class Condition(ApiModel):
    """A condition in the form of the Kubernetes API conventions (metav1.Condition)."""

    type: Annotated[str, Field(max_length=64)] = Field(
        description="What it says: Ready, Finished, Succeeded, ..."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: ReasonWord = Field(description="Why, as one PascalCase word.")
    message: Message = Field(default="", description="Why, as a sentence.")
    last_transition_time: Timestamp = Field(description="When its status last changed.")
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that it speaks of."
    )


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        description="What is true of this object now; `kubectl wait --for=condition=Finished` ends on any end.",
        json_schema_extra=keyed_by("type"),
    ),
]


class CommonStatus(ApiModel):
    """What the status of every kind says."""

    observed_generation: int = Field(description="The generation of the spec that this status speaks of.")
    phase: Literal["Pending", "Running", "Done", "Error", "Canceled"] | None = Field(
        default=None, description="Pending, Running, Done, Error or Canceled."
    )
    reason: ReasonWord | None = Field(
        default=None, description="Why it is in this phase, as one PascalCase word."
    )
    message: Message | None = Field(
        default=None, description="A sentence that says what is going on and what to do about it."
    )
    conditions: Conditions = Field(default_factory=list)
