"""Callbacks of a job or an experiment: whom to tell what, and how far telling is.

Separate because the field and the state of its deliveries belong together and two kinds have them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainyard.api.schema import WITHOUT_DOUBLES, ApiModel, LabelName, Timestamp, keyed_by
from trainyard.api.shared import HttpUrl, SecretReference

CallbackEvent = Literal["Started", "Progress", "Paused", "Resumed", "Completed", "Failed", "Canceled"]


class Callback(ApiModel):
    """A URL that is told what happens, by a signed CloudEvent."""

    name: LabelName = Field(description="Name of this callback; unique in the list.")
    url: HttpUrl = Field(
        description="Where to POST. http only to addresses that the operator's settings allow "
        "(callbacks.allowedCIDRs); https otherwise."
    )
    events: Annotated[
        list[CallbackEvent], Field(min_length=1, max_length=7, json_schema_extra=WITHOUT_DOUBLES)
    ] = Field(
        default=["Completed", "Failed", "Canceled"],
        description="Which events to tell; default: Completed, Failed and Canceled.",
    )
    secret_ref: SecretReference | None = Field(
        default=None,
        description='A Secret with the label trainyard.dev/callback: "true" whose keys `secret` and, while it rotates, '
        "`previousSecret` sign the request (Standard Webhooks). Without it the request is not signed.",
    )
    headers_secret_ref: SecretReference | None = Field(
        default=None,
        description='A Secret with the label trainyard.dev/callback: "true"; each key is sent as a header with its '
        "value.",
    )


Callbacks = Annotated[
    list[Callback],
    Field(max_length=8, json_schema_extra=keyed_by("name")),
]


class CallbackStatus(ApiModel):
    """How far the delivery of one event to one callback is."""

    id: Annotated[str, Field(max_length=64)] = Field(
        description="Identifies the event for the receiver (webhook-id); the same on every retry."
    )
    name: Annotated[str, Field(max_length=63)] = Field(description="The callback in spec.callbacks.")
    event: CallbackEvent = Field(description="What is told.")
    sequence: int = Field(description="Counts the events of this object, from 1.")
    time: Timestamp = Field(description="When it happened.")
    attempt: int | None = Field(
        default=None, description="The newest attempt then; absent: none had been recorded."
    )
    state: Literal["Pending", "Delivered", "Failed"] = Field(description="Pending until 2xx, or given up.")
    attempts: int = Field(
        default=0,
        description="Tries so far, also those that were refused before a request left; a Progress goes on counting "
        "from the one that it supersedes.",
    )
    last_attempt_time: Timestamp | None = Field(default=None, description="When the last one was sent.")
    next_attempt_time: Timestamp | None = Field(
        default=None,
        description="When the next one is due; absent: at once, or as soon as the Secret in `message` is there.",
    )
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="What came of the last one."
    )


CallbackStates = Annotated[
    list[CallbackStatus],
    Field(max_length=64, json_schema_extra=keyed_by("id")),
]
