"""Parts of the API that several kinds have in common: references, outputs, base models, callbacks, metrics.

Separate from `schema`, which knows scalars only: these are objects with rules and descriptions of their own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.schema import (
    ApiModel,
    DecimalString,
    KindName,
    Opaque,
    ResourceName,
    Timestamp,
    rules,
)

#: Keys of a Secret (core/v1: letters, digits, '-', '_' and '.').
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Sha256 = Annotated[str, Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")]
Uri = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*:[^\s]*$")]
MetricName = Annotated[str, Field(min_length=1, max_length=100)]

CHECKPOINT_METHODS = ("best_model", "latest_model", "from_epoch_number")
CheckpointMethod = Literal["best_model", "latest_model", "from_epoch_number"]
CallbackEvent = Literal["Started", "Progress", "Paused", "Resumed", "Completed", "Failed", "Canceled"]


class SecretReference(ApiModel):
    """A Secret of this namespace."""

    name: ResourceName = Field(description="Name of a Secret of this namespace.")


class SecretKeyReference(ApiModel):
    """One key of a Secret of this namespace."""

    name: ResourceName = Field(description="Name of a Secret of this namespace.")
    key: SecretKey = Field(description="Key in the Secret.")


class EnvVar(ApiModel):
    """An environment variable of the training container (core/v1)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.value) && has(self.valueFrom))",
                "env: a variable has either a value or a valueFrom, not both",
            ),
            (
                "!self.name.startsWith('TRAINYARD_')",
                "env: names that start with TRAINYARD_ are the operator's own",
            ),
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=32768)] | None = Field(
        default=None, description="Its value; `$(NAME)` is expanded from earlier variables, as in a pod."
    )
    value_from: Opaque | None = Field(
        default=None, description="Where the value comes from (core/v1 EnvVarSource)."
    )


class Callback(ApiModel):
    """A URL that is told what happens, by a signed CloudEvent."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = (
        Field(description="Name of this callback; unique in the list.")
    )
    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://[^\s]+$")] = Field(
        description="Where to POST. http only to addresses that the operator's settings allow "
        "(callbacks.allowedCIDRs); https otherwise."
    )
    events: Annotated[
        list[CallbackEvent],
        Field(min_length=1, max_length=7, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(
        default_factory=lambda: ["Completed", "Failed", "Canceled"], description="Which events to tell."
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
    Field(
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
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
    state: Literal["Pending", "Delivered", "Failed"] = Field(description="Pending until 2xx, or given up.")
    attempts: int = Field(default=0, description="Requests sent so far.")
    last_attempt_time: Timestamp | None = Field(default=None, description="When the last one was sent.")
    next_attempt_time: Timestamp | None = Field(default=None, description="When the next one is due.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="What came of the last one."
    )


CallbackStates = Annotated[
    list[CallbackStatus],
    Field(
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    ),
]


class BaseModelReference(ApiModel):
    """A model to start from: a version of an MLModel, or a URI."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.model), has(self.uri)].exists_one(x, x)",
                "baseModels: give exactly one of model (an MLModel) and uri",
            ),
            (
                "has(self.model) || !(has(self.alias) || has(self.version))",
                "baseModels: alias and version go with model",
            ),
            (
                "!(has(self.alias) && has(self.version))",
                "baseModels: give alias or version, not both",
            ),
        )
    )

    model: KindName | None = Field(default=None, description="Name of an MLModel of this namespace.")
    alias: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Alias of the version, such as champion; default: the newest version."
    )
    version: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Number of the version.")
    uri: Uri | None = Field(
        default=None, description="Address of the model: ngc:, hf:, s3:, gs:, abfs:, https: or pvc:."
    )
    secret_ref: SecretReference | None = Field(default=None, description="Credentials for the uri.")
    is_ptm_backbone: bool = Field(
        default=True, description="Whether it is a pretrained backbone rather than a whole model."
    )
    sha256: Sha256 | None = Field(default=None, description="Digest that the fetched file must have.")


class CheckpointChoice(ApiModel):
    """Which checkpoint of what came before is handed on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.method) && self.method == 'from_epoch_number') == has(self.epoch)",
                "checkpoint: epoch goes with method from_epoch_number, and only with it",
            ),
        )
    )

    method: CheckpointMethod = Field(
        default="best_model", description="The best by the key metric, the latest, or that of a given epoch."
    )
    epoch: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="The epoch for from_epoch_number."
    )


class Output(ApiModel):
    """Where artifacts and checkpoints go."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.claimName), has(self.uri)].exists_one(x, x)",
                "output: give exactly one of claimName and uri",
            ),
        )
    )

    claim_name: ResourceName | None = Field(
        default=None,
        description="A PersistentVolumeClaim of this namespace. The trainer writes under <uid>/attempt-<n>/ in it.",
    )
    uri: Uri | None = Field(default=None, description="s3:, gs: or abfs: address of a folder.")
    secret_ref: SecretReference | None = Field(default=None, description="Credentials for the uri.")
    endpoint: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="Endpoint of an S3-compatible service."
    )
    region: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="Region.")


class Metric(ApiModel):
    """The latest value of a metric; decimals are strings, as the API conventions ask."""

    name: MetricName = Field(description="Name of the metric, as the trainer reports it.")
    value: Annotated[str, Field(max_length=64)] = Field(description="Its value, as a decimal string.")
    epoch: float | None = Field(default=None, description="The epoch that it is of.")


Metrics = Annotated[
    list[Metric],
    Field(
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]


class KeyMetric(ApiModel):
    """The headline metric."""

    name: MetricName
    value: Annotated[str, Field(max_length=64)]
    display: Annotated[str, Field(max_length=170)] = Field(description="Name and value, for printing.")


class Objective(ApiModel):
    """The metric that decides."""

    metric: MetricName = Field(default="map", description="Name of the metric, as the trainer reports it.")
    goal: Literal["Minimize", "Maximize"] | None = Field(
        default=None,
        description="Default: Minimize for a name with 'loss' (or evaluation_cost), rmse and mae, else Maximize.",
    )
    threshold: DecimalString | None = Field(default=None, description="Good enough, as a decimal string.")


class Artifact(ApiModel):
    """Where what was made lies."""

    uri: Annotated[str, Field(max_length=2048)]
    size: int | None = Field(default=None, description="Bytes.")
    sha256: Annotated[str, Field(max_length=64)] | None = None


class ResultFile(ApiModel):
    """`result.json`: curves and tables of the whole run, too large for status."""

    uri: Annotated[str, Field(max_length=2048)]
    sha256: Annotated[str, Field(max_length=64)] | None = None
    updated_at: Timestamp | None = None


class BaseModelState(ApiModel):
    """How far the fetching of a base model is."""

    name: Annotated[str, Field(max_length=2048)] = Field(description="The model, or its uri.")
    pull: Literal["starting", "in_progress", "pull_complete", "invalid_pull"] | None = None
    sha256: Annotated[str, Field(max_length=64)] | None = None
    bytes: int | None = None
    message: Annotated[str, Field(max_length=1024)] | None = None
