"""Parts of the API that several kinds have in common: references, outputs, base models, metrics.

Separate from `schema`, which knows scalars only: these are objects with rules and descriptions of their own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.schema import (
    ApiModel,
    DecimalString,
    Opaque,
    ResourceName,
    Timestamp,
    keyed_by,
    rules,
    spelt,
)

#: Keys of a Secret (core/v1: letters, digits, '-', '_' and '.').
SecretKey = Annotated[
    str,
    spelt(r"^[-._a-zA-Z0-9]+$", "a key of a Secret: letters, digits, '-', '_' and '.'", max_length=253),
]
Sha256 = Annotated[
    str,
    spelt(
        r"^[0-9a-f]{64}$", "a SHA-256 digest: 64 lower-case hexadecimal digits", min_length=64, max_length=64
    ),
]
#: What follows `://`, up to the path: `bucket`, `container@account`, `host:5000`, but no `user:password@host`.
AUTHORITY = r"[^\s/?#@:]+@?[^\s/?#@]*"
StoreUri = Annotated[
    str,
    spelt(
        rf"^(s3|gs|abfs)://{AUTHORITY}(/[^\s]*)?$",
        "an s3://, gs:// or abfs:// address of a folder, without user and password (those belong into a Secret)",
        max_length=2048,
    ),
]
ModelUri = Annotated[
    str,
    spelt(
        rf"^((pvc|s3|gs|abfs|hf)://{AUTHORITY}(/[^\s]*)?|https://[^\s/?#@]+([/?][^\s]*)?|ngc:[^\s@]+)$",
        "a pvc://, s3://, gs://, abfs://, hf:// or https:// address without user and password (those belong into a "
        "Secret), or ngc:<name>",
        max_length=2048,
    ),
]
#: http or https, without a name or password in it.
HttpUrl = Annotated[
    str,
    spelt(
        r"^https?://[^\s/?#@]+([/?][^\s#]*)?$",
        "an http:// or https:// address without user and password (those belong into a Secret)",
        max_length=2048,
    ),
]
#: Where something lies, in status: an address or a path, cut to its limit.
Location = Annotated[str, Field(max_length=2048)]
MetricName = Annotated[str, Field(min_length=1, max_length=100)]

CheckpointMethod = Literal["best_model", "latest_model", "from_epoch_number"]


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


EnvVars = Annotated[list[EnvVar], Field(max_length=256, json_schema_extra=keyed_by("name"))]


class Store(ApiModel):
    """How a store outside the cluster is reached."""

    secret_ref: SecretReference | None = Field(
        default=None,
        description="Credentials, under the conventional keys of the store: AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, a Google service account's JSON, AZURE_STORAGE_KEY, HF_TOKEN, NGC_API_KEY, or "
        "client_id and client_secret. Absent: the identity of the pod, or public data.",
    )
    endpoint: HttpUrl | None = Field(
        default=None,
        description="Endpoint of a service that speaks the store's protocol (S3-compatible, ...).",
    )
    region: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Region of the store."
    )
    account: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="Storage account (Azure)."
    )


#: CEL: whether anything is said of how a store is reached.
STORE_IS_SAID = "(has(self.secretRef) || has(self.endpoint) || has(self.region) || has(self.account))"


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
        default="best_model",
        description="The best by the key metric (best_model, the default), the latest, or that of a given epoch.",
    )
    epoch: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="The epoch for from_epoch_number."
    )


class Output(Store):
    """Where artifacts and checkpoints go."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.claimName), has(self.uri)].exists_one(x, x)",
                "output: give exactly one of claimName and uri",
            ),
            (
                f"has(self.uri) || !{STORE_IS_SAID}",
                "output: secretRef, endpoint, region and account go with uri",
            ),
        )
    )

    claim_name: ResourceName | None = Field(
        default=None,
        description="A PersistentVolumeClaim of this namespace. The trainer writes under <uid>/attempt-<n>/ in it.",
    )
    uri: StoreUri | None = Field(
        default=None,
        description="s3://, gs:// or abfs:// address of a folder; each job writes under its uid in it.",
    )


class Metric(ApiModel):
    """The latest value of a metric; decimals are strings, as the API conventions ask."""

    name: MetricName = Field(description="Name of the metric, as the trainer reports it.")
    value: Annotated[str, Field(max_length=64)] = Field(description="Its value, as a decimal string.")
    epoch: float | None = Field(default=None, description="The epoch that it is of.")


Metrics = Annotated[list[Metric], Field(max_length=64, json_schema_extra=keyed_by("name"))]


class KeyMetric(ApiModel):
    """The headline metric."""

    name: MetricName = Field(description="Name of the metric, as the trainer reports it.")
    value: Annotated[str, Field(max_length=64)] = Field(description="Its value, as a decimal string.")
    display: Annotated[str, Field(max_length=170)] = Field(description="Name and value, for printing.")


class Objective(ApiModel):
    """The metric that decides."""

    metric: MetricName | None = Field(
        default=None,
        description="Name of the metric, as the trainer reports it; absent: the headline metric of the catalogue's "
        "runtime, else map.",
    )
    goal: Literal["Minimize", "Maximize"] | None = Field(
        default=None,
        description="Default: Minimize for a name with 'loss' (or evaluation_cost), rmse and mae, else Maximize.",
    )
    threshold: DecimalString | None = Field(
        default=None,
        description="Good enough, as a decimal string: a search starts no more trials once one has reached it. Where "
        "nothing is searched it is kept for people.",
    )


class LastReport(ApiModel):
    """The trainer's last status line."""

    time: Timestamp = Field(description="When it came.")
    status: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="STARTED, RUNNING, SUCCESS or FAILURE."
    )
    message: Annotated[str, Field(max_length=6400)] | None = Field(
        default=None, description="What the trainer says."
    )


class Artifact(ApiModel):
    """Where what was made lies."""

    uri: Location = Field(description="Its address: a file, or a folder.")
    size: int | None = Field(default=None, description="Bytes.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the file."
    )


class Archive(ApiModel):
    """All artifacts as one tar.gz."""

    uri: Location = Field(description="Its address.")
    size: int | None = Field(default=None, description="Bytes.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the file."
    )


class ResultFile(ApiModel):
    """A file of curves, tables or a profile, too large for status."""

    uri: Location = Field(description="Its address.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the file."
    )
    updated_at: Timestamp | None = Field(default=None, description="When it was last written.")


PullState = Literal["starting", "in_progress", "pull_complete", "invalid_pull"]
