"""MLModel: the record of a model over its life."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.basemodels import BaseModels, BaseModelStates
from trainyard.api.experiment import JobTemplate
from trainyard.api.immutability import fixed_once_set
from trainyard.api.modelstatus import (
    AliasState,
    FormerVersion,
    Lifecycle,
    ModelVersion,
    MonitorStatus,
    Published,
    Recommendation,
    RecommendationRun,
    Reported,
    TrainingStatus,
)
from trainyard.api.pods import TemplateMetadata
from trainyard.api.schema import (
    WITHOUT_DOUBLES,
    ApiModel,
    CommonStatus,
    CronSchedule,
    DecimalString,
    KindName,
    LabelName,
    Opaque,
    Text,
    Timestamp,
    TimeZone,
    Title,
    keyed_by,
    rules,
    spelt,
)
from trainyard.api.shared import (
    AUTHORITY,
    HttpUrl,
    KeyMetric,
    MetricName,
    Metrics,
    Objective,
    Output,
    Store,
)
from trainyard.api.trainingjob import ArchitectureName, JobDatasets

ModelType = Literal[
    "single_label_classification",
    "multi_label_classification",
    "object_detection",
    "decision_tree",
    "random_forest",
    "regression",
    "neural_network",
    "auto",
]
TrainedType = Literal["decision_tree", "random_forest", "regression", "neural_network"]
AliasName = Annotated[
    str,
    spelt(
        r"^[a-z]([-_a-z0-9]*[a-z0-9])?$",
        "an alias such as champion: lower-case letters, digits, '-' and '_', beginning with a letter",
        max_length=63,
    ),
]
VersionNumber = Annotated[int, Field(ge=1)]


class Alias(ApiModel):
    """A name that stands for a version; move it by changing the number."""

    name: AliasName = Field(description="The alias, such as champion; unique in the list.")
    version: VersionNumber = Field(description="Number of the version that it stands for.")


class ExperimentTemplate(ApiModel):
    """An Experiment to make."""

    metadata: TemplateMetadata | None = Field(default=None, description="Its labels and annotations.")
    spec: Opaque | None = Field(
        default=None, description="Spec of an Experiment; see kubectl explain experiment.spec."
    )


class Training(ApiModel):
    """How new versions are made."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.jobTemplate) && has(self.experimentTemplate))",
                "training: give at most one of jobTemplate and experimentTemplate",
            ),
        )
    )

    enabled: bool = Field(
        default=True, description="false keeps these settings and trains only when it is asked to."
    )
    job_template: JobTemplate | None = Field(
        default=None,
        description="The TrainingJob that trains it, besides what this MLModel says itself: its resources, "
        "accelerator, output ...",
    )
    experiment_template: ExperimentTemplate | None = Field(
        default=None,
        description="An Experiment instead of one job, such as a search for the best parameters.",
    )


class RecommendationRequest(ApiModel):
    """How `type: auto` finds the type."""

    target: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="The column to predict; default: the last one."
    )
    candidates: Annotated[
        list[TrainedType], Field(min_length=1, max_length=4, json_schema_extra=WITHOUT_DOUBLES)
    ] = Field(
        default=["decision_tree", "random_forest", "regression", "neural_network"],
        description="Types to choose from.",
    )
    time_budget_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=300,
        description="Time to measure; with too little of it, rules decide, and the status says so.",
    )
    folds: Annotated[int, Field(ge=2, le=20)] = Field(
        default=5, description="Parts of the data for the cross-validation."
    )


class Drift(ApiModel):
    """Whether the data has moved away from what the model was trained on."""

    enabled: bool = Field(default=True, description="Whether to measure it at each evaluation.")
    threshold: DecimalString = Field(
        default="0.2",
        description="Population stability index of a column from which on it counts as moved, as a decimal string.",
    )


class Monitor(ApiModel):
    """A scheduled evaluation of the model."""

    schedule: CronSchedule = Field(
        description="When to evaluate, in cron syntax: minute, hour, day of month, month, day of week."
    )
    time_zone: TimeZone | None = Field(
        default=None, description="Time zone of the schedule, such as Europe/Berlin; default: UTC."
    )
    dataset: KindName = Field(description="The Dataset to evaluate on.")
    metric: MetricName | None = Field(
        default=None, description="The metric to measure; default: that of spec.objective."
    )
    goal: Literal["Minimize", "Maximize"] | None = Field(
        default=None,
        description="Whether less or more is better; default: as in spec.objective if the metric is the same, else by "
        "the metric's name.",
    )
    threshold: DecimalString = Field(
        description="A version that is worse than this is degraded, as a decimal string."
    )
    for_runs: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="Evaluations in a row that must be worse before the model is degraded."
    )
    alias: AliasName | None = Field(
        default=None, description="Evaluate the version with this alias; default: the newest."
    )
    retrain: Literal["Never", "OnDegraded"] = Field(
        default="Never", description="OnDegraded trains a new version when the model has become degraded."
    )
    drift: Drift | None = Field(
        default=None, description="Whether and how to look for moved data; default: it is measured."
    )
    suspend: bool = Field(default=False, description="true evaluates no more until it is false again.")
    job_template: JobTemplate | None = Field(
        default=None, description="Merged over the TrainingJob that evaluates: its resources, accelerator ..."
    )


class PublishTarget(Store):
    """A place outside where versions are put."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.alias) && has(self.version))",
                "publish: give alias or version, not both; without either it is the newest version",
            ),
            (
                "['s3://', 'gs://', 'abfs://', 'hf://', 'oci://', 'mlflow://', 'pvc://']"
                ".exists(s, self.uri.startsWith(s))",
                "publish: uri must begin with s3://, gs://, abfs://, hf://, oci://, mlflow:// or pvc://",
            ),
            (
                rf"self.uri.matches(r'^[a-z0-9]+://{AUTHORITY}(/[^\s]*)?$')",
                "publish: uri is <scheme>://<where>/<path>, without user and password (those belong into a Secret)",
            ),
            (
                "!self.uri.startsWith('mlflow://') || has(self.endpoint)",
                "publish: mlflow:// needs endpoint, the address of the tracking server",
            ),
        )
    )

    name: LabelName = Field(description="Name of the target; unique in the list.")
    uri: Annotated[str, Field(min_length=6, max_length=2048)] = Field(
        description="Where to: s3://, gs:// or abfs:// with bucket and folder, hf://<owner>/<repository>, "
        "oci://<registry>/<repository>:<tag>, mlflow://<registered model> or pvc://<claim>/<folder>."
    )
    endpoint: HttpUrl | None = Field(
        default=None,
        description="Address of the service: an S3-compatible store, a hub of your own, the MLflow tracking server.",
    )
    alias: AliasName | None = Field(
        default=None, description="Publish the version with this alias, again each time it moves."
    )
    version: VersionNumber | None = Field(default=None, description="Publish this version.")
    target_aliases: Annotated[list[AliasName], Field(max_length=16, json_schema_extra=WITHOUT_DOUBLES)] = (
        Field(
            default_factory=list, description="Aliases to set there, where the target knows aliases or tags."
        )
    )
    private: bool = Field(
        default=True,
        description="Whether a repository that has to be made there is private; default true.",
    )


class MLModelSpec(ApiModel):
    """What the model is, how it is trained, watched and published."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.type) && has(self.architecture))",
                "spec: at most one of type and architecture",
            ),
            *fixed_once_set("type", kind="MLModel", unless="oldSelf.type == 'auto'"),
            *fixed_once_set("architecture", kind="MLModel"),
        )
    )

    display_name: Title | None = Field(default=None, description="Free-text name; it may change at any time.")
    description: Text | None = Field(default=None, description="Free text for people.")
    version: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        default="1.0.0",
        description="Version of the model, in your own counting; what training makes is counted in status.versions.",
    )
    logo: Annotated[str, Field(max_length=2048)] | None = Field(default=None, description="URL of a picture.")
    metadata: Opaque = Field(default_factory=dict, description="Free data for people and tools.")
    ontology_id: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="Identifier of the ontology that describes the data."
    )
    type: ModelType | None = Field(
        default=None,
        description="Type of the model; auto measures on the data which type suits it best. It cannot change, but from "
        "auto to another.",
    )
    architecture: ArchitectureName | None = Field(
        default=None, description="Network architecture instead of a type. It cannot change."
    )
    training_config: Opaque = Field(
        default_factory=dict,
        description="Parameters of every training: train_test_split, random_seed, learning_rate, batch_size and what "
        "the runtime knows besides. A training can override them one by one.",
    )
    datasets: JobDatasets = Field(
        default_factory=JobDatasets, description="Datasets to train and to evaluate on."
    )
    base_models: BaseModels = Field(default_factory=list, description="Models to start from, at most two.")
    objective: Objective = Field(
        default_factory=Objective, description="The headline metric of every version."
    )
    output: Output | None = Field(
        default=None,
        description="Where the artifacts and checkpoints of its trainings are kept, unless a template says otherwise.",
    )
    training: Training | None = Field(
        default=None,
        description="Train it. Without this the model is a draft until a job or an Experiment registers a version.",
    )
    recommendation: RecommendationRequest | None = Field(
        default=None, description="How type: auto finds the type."
    )
    aliases: Annotated[list[Alias], Field(max_length=32, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="Names that stand for versions."
    )
    stage: Literal["active", "deprecated", "archived"] = Field(
        default="active",
        description="deprecated: in use, but not for anything new. archived: kept as a record only.",
    )
    versions_retained: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="Versions that status lists; the records of older ones go to the store."
    )
    monitor: Monitor | None = Field(default=None, description="Evaluate it on a schedule.")
    publish: Annotated[list[PublishTarget], Field(max_length=8, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list,
        description="Where to publish versions; taking a target out unpublishes it there.",
    )


class MLModelStatus(CommonStatus):
    """What is."""

    lifecycle: Lifecycle | None = Field(
        default=None,
        description="Where the model is in its life: draft, training, trained, failed, degraded, deprecated, archived.",
    )
    lifecycle_time: Timestamp | None = Field(default=None, description="Since when.")
    latest_version: int | None = Field(default=None, description="Number of the newest version.")
    trained_at: Timestamp | None = Field(default=None, description="When that was trained.")
    versions: Annotated[
        list[ModelVersion],
        Field(
            max_length=100,
            json_schema_extra=keyed_by("number"),
        ),
    ] = Field(default_factory=list, description="The newest versions.")
    former_versions: Annotated[
        list[FormerVersion], Field(max_length=200, json_schema_extra=keyed_by("number"))
    ] = Field(
        default_factory=list,
        description="Versions beyond spec.versionsRetained, the newest 200 of them: their records are in the store.",
    )
    aliases: Annotated[list[AliasState], Field(max_length=32, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="Aliases that stand for a version that there is."
    )
    key_metric: KeyMetric | None = Field(default=None, description="Headline metric of the newest version.")
    performance_metrics: Metrics = Field(default_factory=list, description="How good the newest version is.")
    training_metrics: Metrics = Field(
        default_factory=list, description="How the training of the newest version ended."
    )
    training: TrainingStatus | None = Field(default=None, description="The training that was asked for last.")
    reported: Reported | None = Field(default=None, description="What was told from outside.")
    recommendation: Recommendation | None = Field(
        default=None, description="Which type of model suits the data."
    )
    recommendation_run: RecommendationRun | None = Field(
        default=None, description="The measuring that was asked for last."
    )
    monitor: MonitorStatus | None = Field(default=None, description="What monitoring has found.")
    published: Annotated[list[Published], Field(max_length=24, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="What lies at the targets of spec.publish."
    )
    base_models: BaseModelStates = Field(
        default_factory=list, description="How far the fetching of the base models is."
    )
