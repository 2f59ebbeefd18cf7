"""Experiment: a chain of actions on one architecture, one of which may be tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.actions import Action, ActionParameters
from trainyard.api.automl import AutoML, StepName
from trainyard.api.automlstatus import AutoMLStatus
from trainyard.api.basemodels import BaseModels, BaseModelStates
from trainyard.api.callbacks import Callbacks, CallbackStates
from trainyard.api.immutability import fixed_once_set
from trainyard.api.pods import TemplateMetadata
from trainyard.api.schema import (
    WITHOUT_DOUBLES,
    ApiModel,
    CommonStatus,
    Digest,
    JobName,
    KindName,
    ModelName,
    Opaque,
    ReasonWord,
    ResourceName,
    Text,
    Timestamp,
    Title,
    keyed_by,
    rules,
)
from trainyard.api.shared import (
    Archive,
    Artifact,
    CheckpointChoice,
    CheckpointMethod,
    EnvVars,
    KeyMetric,
    LastReport,
    Objective,
    Output,
    ResultFile,
    SecretKeyReference,
)
from trainyard.api.trainingjob import ArchitectureName, JobDatasets


class JobTemplate(ApiModel):
    """A TrainingJob to make others from."""

    metadata: TemplateMetadata | None = Field(default=None, description="Labels and annotations of the jobs.")
    spec: Opaque | None = Field(
        default=None, description="Spec of a TrainingJob; see kubectl explain trainingjob.spec."
    )


class Step(ApiModel):
    """One action of the chain. It becomes the TrainingJob <experiment>-<name>."""

    name: StepName = Field(description="Name of the step; unique in the list, at most 14 characters.")
    action: Action = Field(description="What to do; the catalogue says what an architecture can do.")
    parameters: Opaque = Field(
        default_factory=dict, description="Parameters of the action, over those of actionParameters."
    )
    depends_on: Annotated[list[StepName], Field(max_length=16, json_schema_extra=WITHOUT_DOUBLES)] = Field(
        default_factory=list,
        description="Steps that must be Done before this one starts; it fails if one of them fails. It is handed the "
        "artifacts of the first.",
    )
    checkpoint: CheckpointChoice | None = Field(
        default=None,
        description="Which checkpoint of the step before is handed on; default: spec.checkpoint.",
    )
    job_template: JobTemplate | None = Field(
        default=None,
        description="Merged over spec.jobTemplate for this step: its resources, its accelerator ...",
    )


class ExperimentCheckpoint(ApiModel):
    """Which checkpoint of one step is handed to the next. It is checked when a step shall run."""

    method: CheckpointMethod = Field(
        default="best_model",
        description="best_model by the objective (the default), latest_model, or from_epoch_number.",
    )
    epochs: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(max_length=32)] = Field(
        default_factory=dict,
        description="The epoch for from_epoch_number, such as {train: 12}, by the step whose checkpoint it is: "
        "its name, its action or its job.",
    )


class FlowBlock(ApiModel):
    """A block of a flow."""

    block: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Kind of block.")
    settings: Opaque = Field(default_factory=dict, description="Its settings.")
    style: Opaque = Field(default_factory=dict, description="How an editor draws it.")


class Flow(ApiModel):
    """A workflow as a graphical editor keeps it. It is stored as it is; `actions` say what runs."""

    schema_: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        default="v1", alias="schema", description="Version of the flow's form."
    )
    settings: Opaque = Field(default_factory=dict, description="Settings of the whole flow.")
    tolerations: Annotated[
        dict[str, Annotated[list[Annotated[str, Field(max_length=253)]], Field(max_length=64)]],
        Field(max_length=64),
    ] = Field(
        default_factory=dict,
        description="Tolerations of the flow, lists of strings by name. They are not those of pods: "
        "jobTemplate.spec.tolerations are.",
    )
    blocks: Annotated[list[FlowBlock], Field(max_length=256)] = Field(
        default_factory=list, description="The blocks, in order."
    )
    training_project: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Project or dataset that the flow trains on."
    )


class ExperimentSpec(ApiModel):
    """What to run, on what, and what to look for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.runtime), has(self.architecture), has(self.type)].filter(x, x).size() <= 1",
                "spec: at most one of runtime, architecture and type",
            ),
            *fixed_once_set("architecture", "type", kind="Experiment"),
            (
                "!has(self.actions) || self.actions.all(a, !has(a.dependsOn) || "
                "a.dependsOn.all(d, self.actions.exists(b, b.name == d)))",
                "spec.actions: dependsOn names a step that is not in the list; it takes names of other actions",
            ),
            (
                "!has(self.actions) || self.actions.all(a, !has(a.dependsOn) || !(a.name in a.dependsOn))",
                "spec.actions: a step cannot depend on itself; dependsOn takes names of other actions",
            ),
            (
                "!has(self.actions) || self.actions.all(a, !has(a.dependsOn) || a.dependsOn.all(d, "
                "d == a.name || !self.actions.exists(b, b.name == d && has(b.dependsOn) && a.name in b.dependsOn)))",
                "spec.actions: two steps cannot depend on each other; take one of the two out of dependsOn",
            ),
            (
                "!has(self.automl) || !has(self.automl.action) || !self.automl.enabled || !has(self.actions) || "
                "self.actions.size() == 0 || self.actions.exists(a, a.name == self.automl.action)",
                "spec.automl.action: must be the name of one of spec.actions",
            ),
        )
    )

    display_name: Title | None = Field(default=None, description="Free-text name; it may change at any time.")
    description: Text | None = Field(default=None, description="Free text for people.")
    version: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        default="1.0.0", description="Version of the experiment, in your own counting; default 1.0.0."
    )
    logo: Annotated[str, Field(max_length=2048)] | None = Field(default=None, description="URL of a picture.")
    attributes: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=64)] = Field(
        default_factory=dict,
        description="Free names and values for people and tools, kept as they are; nothing acts on them.",
    )
    experiment_type: Literal["vision", "medical"] | None = Field(
        default=None, description="The field that it belongs to in the TAO API, where the default is vision."
    )
    parent_experiment: KindName | None = Field(
        default=None, description="The Experiment that this one is a part of."
    )
    runtime: ResourceName | None = Field(
        default=None, description="Name of an entry of the runtime catalogue, for all steps."
    )
    architecture: ArchitectureName | None = Field(
        default=None,
        description="Network architecture; the catalogue finds the runtime that serves it. It cannot change.",
    )
    type: ArchitectureName | None = Field(
        default=None,
        description="Model type (neural_network, random_forest ...); the catalogue finds the runtime that serves it. "
        "It cannot change.",
    )
    actions: Annotated[list[Step], Field(max_length=32, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list,
        description="The chain: steps that start when those that they depend on are Done. Without any the Experiment "
        "is a draft; TrainingJobs can join it by naming it.",
    )
    job_template: JobTemplate | None = Field(
        default=None,
        description="What the jobs of all steps have in common: image, resources, accelerator ...",
    )
    action_parameters: ActionParameters = Field(
        default_factory=dict,
        description="Parameters by action; the defaults of every step and job of this Experiment with that action.",
    )
    datasets: JobDatasets = Field(default_factory=JobDatasets, description="Datasets that all steps work on.")
    base_models: BaseModels = Field(default_factory=list, description="Models to start from, at most two.")
    objective: Objective = Field(
        default_factory=Objective, description="The metric that decides which model is the best."
    )
    checkpoint: ExperimentCheckpoint = Field(
        default_factory=ExperimentCheckpoint,
        description="Which checkpoint of one step is handed to the next, unless a step says otherwise.",
    )
    automl: AutoML | None = Field(
        default=None, description="Tune the parameters of one step; without it every step runs once."
    )
    model: ModelName | None = Field(
        default=None, description="An MLModel under which the result becomes a version."
    )
    output: Output | None = Field(
        default=None, description="Where the artifacts and checkpoints of all jobs are kept."
    )
    env: EnvVars = Field(
        default_factory=list, description="Environment of every training container, besides TRAINYARD_*."
    )
    encryption_key_secret_ref: SecretKeyReference | None = Field(
        default=None, description="Key of a Secret that models are encrypted with."
    )
    model_params: Opaque = Field(
        default_factory=dict,
        description="Free parameters of the model for people and tools, kept as they are: no job is given them. What "
        "trainers get are actionParameters and the parameters of actions.",
    )
    additional_id_info: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="An identifier of another system."
    )
    flow: Flow | None = Field(
        default=None,
        description="A workflow as a graphical editor keeps it, stored beside what runs; nothing acts on it, and "
        "`actions` say what runs.",
    )
    callbacks: Callbacks = Field(default_factory=list, description="URLs that are told what happens.")
    suspend: bool = Field(
        default=False,
        description="Pause all jobs of the Experiment; false resumes them from their checkpoints.",
    )
    cancel: bool = Field(
        default=False, description="Cancel all jobs of the Experiment; their record is kept."
    )


class StepStatus(ApiModel):
    """How far one step is."""

    name: Annotated[str, Field(max_length=14)] = Field(description="Name of the step.")
    action: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="Its action.")
    job: JobName | None = Field(
        default=None, description="Its TrainingJob; of a tuned step the best trial's."
    )
    parent_job: JobName | None = Field(default=None, description="The job whose artifacts it works on.")
    digest: Digest | None = Field(
        default=None, description="Digest of what the step ran with; another one makes it run again."
    )
    run: int | None = Field(default=None, description="How often it has been run, from 0.")
    phase: Literal["Pending", "Running", "Done", "Error", "Canceled"] | None = Field(
        default=None, description="Phase of its job."
    )
    reason: ReasonWord | None = Field(default=None, description="Reason of its job.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Why it waits or failed."
    )
    metric: Annotated[str, Field(max_length=170)] | None = Field(
        default=None, description="Its headline metric, as accuracy 0.97."
    )
    start_time: Timestamp | None = Field(default=None, description="When its job started.")
    completion_time: Timestamp | None = Field(default=None, description="When its job ended.")


class ExperimentProgress(ApiModel):
    """How far the whole is."""

    action: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="The step that is under way."
    )
    done: int = Field(default=0, description="Steps that are Done.")
    total: int = Field(default=0, description="Steps that there are.")
    summary: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Trials, or else steps, that have ended, of all: 12/20."
    )


class JobCounts(ApiModel):
    """TrainingJobs of the Experiment by phase."""

    total: int = Field(default=0, description="All of them.")
    pending: int = Field(default=0, description="Pending.")
    running: int = Field(default=0, description="Running.")
    done: int = Field(default=0, description="Done.")
    error: int = Field(default=0, description="Error.")
    canceled: int = Field(default=0, description="Canceled.")


class ExperimentStatus(CommonStatus):
    """What is."""

    retry_requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="The annotation trainyard.dev/retry-requested-at that was last acted upon.",
    )
    start_time: Timestamp | None = Field(default=None, description="When the first job started.")
    completion_time: Timestamp | None = Field(default=None, description="When all had ended.")
    progress: ExperimentProgress | None = Field(default=None, description="How far the whole is.")
    steps: Annotated[list[StepStatus], Field(max_length=32, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="How far each step is."
    )
    jobs: JobCounts | None = Field(default=None, description="Jobs of this Experiment by phase.")
    automl: AutoMLStatus | None = Field(default=None, description="How far the search is.")
    key_metric: KeyMetric | None = Field(default=None, description="Best value of the objective's metric.")
    last_report: LastReport | None = Field(default=None, description="The last status line of any job.")
    result: ResultFile | None = Field(
        default=None,
        description="The file of curves and tables of the last step whose job has one (its status.result, which "
        "nothing sets yet); of a tuned step of the best trial's.",
    )
    artifacts: Annotated[list[Artifact], Field(max_length=64)] = Field(
        default_factory=list,
        description="Artifacts of the last step that has left any; of a tuned step the best trial's.",
    )
    archive: Archive | None = Field(
        default=None,
        description="The artifacts as one tar.gz, where their job has that; nothing sets it yet.",
    )
    base_models: BaseModelStates = Field(
        default_factory=list, description="How far the fetching of the base models is."
    )
    callbacks: CallbackStates = Field(default_factory=list, description="Deliveries to spec.callbacks.")
