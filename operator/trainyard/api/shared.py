"""Parts of the API that several kinds have in common: references, outputs, base models, metrics.

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
Uri = Annotated[
    str,
    spelt(
        r"^[a-z][a-z0-9+.-]*:[^\s]*$",
        "an address with its scheme, such as s3://bucket/folder",
        max_length=2048,
    ),
]
StoreUri = Annotated[
    str,
    spelt(r"^(s3|gs|abfs)://[^\s]+$", "an s3://, gs:// or abfs:// address of a folder", max_length=2048),
]
ModelUri = Annotated[
    str,
    spelt(
        r"^((pvc|s3|gs|abfs|hf|https)://|ngc:)[^\s]+$",
        "a pvc://, s3://, gs://, abfs://, hf:// or https:// address or ngc:<name>",
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
#: An address in status, cut to its limit.
PathName = Annotated[str, Field(max_length=2048)]
MetricName = Annotated[str, Field(min_length=1, max_length=100)]

CHECKPOINT_METHODS = ("best_model", "latest_model", "from_epoch_number")
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
        description="Credentials, under the conventional keys of the store (AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, a Google service account's JSON, AZURE_STORAGE_KEY, HF_TOKEN, NGC_API_KEY). Absent: "
        "the identity of the pod, or public data.",
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


class BaseModelReference(Store):
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
            (
                f"has(self.uri) || !{STORE_IS_SAID}",
                "baseModels: secretRef, endpoint, region and account go with uri",
            ),
        )
    )

    model: KindName | None = Field(default=None, description="Name of an MLModel of this namespace.")
    alias: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Alias of the version, such as champion; default: the newest version."
    )
    version: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Number of the version.")
    uri: ModelUri | None = Field(
        default=None,
        description="Address of the model: pvc://, s3://, gs://, abfs://, hf://, https:// or ngc:<name>.",
    )
    is_ptm_backbone: bool = Field(
        default=True, description="Whether it is a pretrained backbone rather than a whole model."
    )
    sha256: Sha256 | None = Field(default=None, description="Digest that the fetched file must have.")


BaseModels = Annotated[list[BaseModelReference], Field(max_length=2)]


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

    metric: MetricName = Field(default="map", description="Name of the metric, as the trainer reports it.")
    goal: Literal["Minimize", "Maximize"] | None = Field(
        default=None,
        description="Default: Minimize for a name with 'loss' (or evaluation_cost), rmse and mae, else Maximize.",
    )
    threshold: DecimalString | None = Field(default=None, description="Good enough, as a decimal string.")


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

    uri: PathName = Field(description="Its address: a file, or a folder.")
    size: int | None = Field(default=None, description="Bytes.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the file."
    )


class Archive(ApiModel):
    """All artifacts as one tar.gz."""

    uri: PathName = Field(description="Its address.")
    size: int | None = Field(default=None, description="Bytes.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the file."
    )


class ResultFile(ApiModel):
    """`result.json`: curves and tables of the whole run, too large for status."""

    uri: PathName = Field(description="Its address.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the file."
    )
    updated_at: Timestamp | None = Field(default=None, description="When it was last written.")


PullState = Literal["starting", "in_progress", "pull_complete", "invalid_pull"]


class BaseModelState(ApiModel):
    """How far the fetching of a base model is."""

    name: PathName = Field(description="The model, or its uri.")
    pull: PullState | None = Field(
        default=None, description="starting, in_progress, pull_complete or invalid_pull."
    )
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of what was fetched."
    )
    bytes: int | None = Field(default=None, description="Bytes that were fetched.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="What went wrong, or what is being done."
    )


BaseModelStates = Annotated[list[BaseModelState], Field(max_length=2, json_schema_extra=keyed_by("name"))]
