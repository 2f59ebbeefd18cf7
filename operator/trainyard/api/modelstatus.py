"""What the status of an MLModel is made of: versions with their lineage, reports, recommendation, monitoring.

Separate because it is what the operator writes; `mlmodel` is what users write.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainyard.api.schema import ApiModel, JobName, KindName, Opaque, Timestamp, keyed_by
from trainyard.api.shared import Location, MetricName, Metrics, ResultFile, Store
from trainyard.api.trainingjobstatus import UsedDataset

Lifecycle = Literal["draft", "training", "trained", "failed", "degraded", "deprecated", "archived"]

#: With its algorithm, as sha256:...
_Digest = Annotated[str, Field(max_length=128)]
_Decimal = Annotated[str, Field(max_length=64)]


class UsedBaseModel(ApiModel):
    """A model that a version started from."""

    name: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Name of the MLModel."
    )
    version: int | None = Field(default=None, description="Number of its version.")
    alias: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="The alias by which that version was named."
    )
    uri: Location | None = Field(default=None, description="Where it lay.")
    sha256: _Digest | None = Field(default=None, description="Its digest.")


class VersionLineage(ApiModel):
    """Where a version comes from."""

    job: JobName | None = Field(default=None, description="The TrainingJob that made it.")
    job_uid: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="UID of that job.")
    attempt: int | None = Field(default=None, description="The attempt that made it.")
    experiment: KindName | None = Field(
        default=None, description="The Experiment that the job was a part of."
    )
    trial: int | None = Field(default=None, description="The trial of that Experiment.")
    architecture: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Architecture or type of the model."
    )
    runtime: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Entry of the runtime catalogue."
    )
    image: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Image of the trainer."
    )
    image_digest: _Digest | None = Field(default=None, description="Digest of that image, as it ran.")
    parameters_digest: _Digest | None = Field(
        default=None, description="Digest of the parameters; the model card has them in full."
    )
    datasets: Annotated[list[UsedDataset], Field(max_length=72, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="The data."
    )
    base_models: Annotated[list[UsedBaseModel], Field(max_length=2)] = Field(
        default_factory=list, description="The models that it started from."
    )
    parent_version: int | None = Field(
        default=None, description="The version of this model that it was trained from."
    )


class ModelVersion(ApiModel):
    """One trained state of the model."""

    number: Annotated[int, Field(ge=1)] = Field(description="Counts the versions, from 1.")
    time: Timestamp = Field(description="When it was registered.")
    origin: Literal["job", "reported"] = Field(
        description="job: made by a job of this cluster. reported: told from outside."
    )
    uri: Location | None = Field(default=None, description="Where the artifact lies.")
    size: int | None = Field(default=None, description="Its bytes.")
    sha256: _Digest | None = Field(
        default=None, description="Digest of its artifacts.json, which has those of all files."
    )
    store: Store | None = Field(
        default=None, description="How the store of the uri is reached; absent: it is a claim, or public."
    )
    performance_metrics: Metrics = Field(
        default_factory=list, description="How good it is: accuracy, f1_score, rmse ..."
    )
    training_metrics: Metrics = Field(
        default_factory=list, description="How the training ended: training_loss, validation_loss ..."
    )
    result: ResultFile | None = Field(
        default=None,
        description="Its performance in detail, as a file: confusion matrix, feature importance, learning curve and "
        "whatever else the trainer measured. It is the status.result of its job, which nothing sets yet: such files "
        "are among the artifacts, and the model card has what the reference trainer measures.",
    )
    profile: ResultFile | None = Field(
        default=None,
        description="Profile of the data that it was trained on, as a file; drift is measured from it.",
    )
    synthetic_data: bool = Field(
        default=False, description="true: trained on generated demo data; it knows nothing of the world."
    )
    lineage: VersionLineage | None = Field(default=None, description="Where it comes from.")
    card: Location | None = Field(
        default=None,
        description="Where its model card lies; this version's record lies beside it, and outlives this list.",
    )


class FormerVersion(ApiModel):
    """A version that status lists no longer, and where its record lies."""

    number: Annotated[int, Field(ge=1)] = Field(description="Number of the version.")
    time: Timestamp = Field(description="When it was registered.")
    source: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of the job that made it."
    )
    card: Location | None = Field(
        default=None, description="Where its model card lies; its record lies beside it."
    )


class AliasState(ApiModel):
    """An alias and the version that it stands for."""

    name: Annotated[str, Field(max_length=63)] = Field(description="The alias.")
    version: int = Field(description="The version.")
    time: Timestamp | None = Field(default=None, description="When it was moved there.")


class Reported(ApiModel):
    """What was told from outside; in force until there is newer evidence."""

    lifecycle: Lifecycle | None = Field(default=None, description="The lifecycle that was told.")
    artifact_uri: Location | None = Field(default=None, description="Where the artifact is said to lie.")
    performance_metrics: Opaque | None = Field(default=None, description="Performance, as it was told.")
    training_metrics: Opaque | None = Field(default=None, description="Training metrics, as they were told.")
    reason: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Why the training failed."
    )
    time: Timestamp = Field(description="When it was told.")


class OntologyAnalysis(ApiModel):
    """What the columns and their relations are like."""

    num_entities: int | None = Field(default=None, description="Entities.")
    num_attributes: int | None = Field(default=None, description="Attributes.")
    num_relationships: int | None = Field(default=None, description="Relationships.")
    numerical_ratio: _Decimal | None = Field(default=None, description="Share of numerical attributes.")
    categorical_ratio: _Decimal | None = Field(default=None, description="Share of categorical attributes.")
    data_types: Annotated[dict[str, int], Field(max_length=64)] = Field(
        default_factory=dict, description="Attributes by data type."
    )
    complexity: Literal["low", "medium", "high"] | None = Field(default=None, description="All in all.")


class DataAnalysis(ApiModel):
    """What the data is like."""

    size: Literal["small", "medium", "large"] | None = Field(default=None, description="All in all.")
    record_count: int | None = Field(default=None, description="Records.")
    feature_count: int | None = Field(default=None, description="Features.")
    has_unstructured: bool | None = Field(default=None, description="Whether there are texts or pictures.")


class Recommendation(ApiModel):
    """Which type of model suits the data."""

    type: Annotated[str, Field(max_length=63)] = Field(description="The recommended type.")
    score: Annotated[int, Field(ge=0, le=100)] = Field(description="How well it suits, 0 to 100.")
    reasoning: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="Why, in sentences."
    )
    all_scores: Annotated[dict[str, Annotated[int, Field(ge=0, le=100)]], Field(max_length=32)] = Field(
        default_factory=dict, description="Scores of all candidates."
    )
    ontology_analysis: OntologyAnalysis | None = Field(
        default=None, description="What the columns and their relations are like."
    )
    data_analysis: DataAnalysis | None = Field(default=None, description="What the data is like.")
    measured: bool = Field(
        default=False, description="true: measured by fitting the candidates; false: by rules alone."
    )
    dataset: KindName | None = Field(default=None, description="The Dataset that it was measured on.")
    time: Timestamp | None = Field(default=None, description="When.")


class RecommendationRun(ApiModel):
    """The measuring that was asked for last."""

    number: int = Field(description="Counts them, from 1.")
    digest: _Digest | None = Field(default=None, description="Digest of what it was asked to do.")
    requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The annotation trainyard.dev/train-requested-at that it answers."
    )
    job: JobName | None = Field(default=None, description="Its TrainingJob.")
    state: Literal["Running", "Done", "Failed"] = Field(description="How far it is.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Why it failed, or what it waits for."
    )


class Measurement(ApiModel):
    """One scheduled evaluation."""

    time: Timestamp = Field(description="When.")
    version: int | None = Field(default=None, description="The version that was measured.")
    dataset: KindName | None = Field(default=None, description="The Dataset that it was measured on.")
    value: _Decimal | None = Field(default=None, description="What was measured.")
    job: JobName | None = Field(default=None, description="The TrainingJob that measured it.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Why it could not be measured; this counts neither as good nor as bad."
    )


class ColumnDrift(ApiModel):
    """How far one column has moved since the training."""

    column: Annotated[str, Field(max_length=253)] = Field(description="The column.")
    psi: _Decimal = Field(description="Population stability index.")


class MonitorStatus(ApiModel):
    """What monitoring has found."""

    metric: MetricName | None = Field(default=None, description="What is measured.")
    last_schedule_time: Timestamp | None = Field(default=None, description="The last time that was due.")
    next_schedule_time: Timestamp | None = Field(default=None, description="The next one.")
    number: int = Field(default=0, description="Evaluations that were started, from 1.")
    job: JobName | None = Field(default=None, description="The evaluation that runs now.")
    runs_below: int = Field(default=0, description="Evaluations in a row that were worse than the threshold.")
    degraded_time: Timestamp | None = Field(
        default=None, description="The measurement by which the version became degraded; absent: it is not."
    )
    history: Annotated[list[Measurement], Field(max_length=20)] = Field(
        default_factory=list, description="The last twenty, newest first."
    )
    drift: Annotated[list[ColumnDrift], Field(max_length=64)] = Field(
        default_factory=list, description="The columns that have moved most, the most first."
    )
    drifted: int | None = Field(default=None, description="Columns that have moved by the threshold or more.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="What keeps it from measuring."
    )


class Published(ApiModel):
    """What lies at one target of spec.publish."""

    name: Annotated[str, Field(max_length=63)] = Field(description="The target in spec.publish.")
    uri: Location | None = Field(default=None, description="Where it lies.")
    version: int | None = Field(default=None, description="The version that lies there.")
    digest: _Digest | None = Field(default=None, description="Its digest, as the target tells it.")
    state: Literal["Pending", "Published", "Failed", "Unpublished"] = Field(description="How far it is.")
    number: int = Field(default=0, description="Jobs that were started for it, from 1.")
    spec_digest: _Digest | None = Field(
        default=None, description="Digest of what the target and the version were then."
    )
    target: Opaque | None = Field(
        default=None, description="The target as it was published to, by which it is unpublished."
    )
    job: JobName | None = Field(default=None, description="The TrainingJob that does it.")
    time: Timestamp | None = Field(default=None, description="When.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="What went wrong."
    )


class TrainingStatus(ApiModel):
    """The training that was asked for last."""

    number: int = Field(default=0, description="Trainings that were started, from 1.")
    digest: _Digest | None = Field(default=None, description="Digest of what it was asked to do.")
    requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The annotation trainyard.dev/train-requested-at that it answers."
    )
    degraded_at: Timestamp | None = Field(
        default=None, description="When the degradation was measured that it answers."
    )
    job: JobName | None = Field(default=None, description="Its TrainingJob.")
    experiment: KindName | None = Field(default=None, description="Its Experiment.")
    start_time: Timestamp | None = Field(default=None, description="When it began.")
    completion_time: Timestamp | None = Field(default=None, description="When it ended.")
    outcome: Literal["Done", "Error", "Canceled"] | None = Field(default=None, description="How it ended.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why it failed.")
