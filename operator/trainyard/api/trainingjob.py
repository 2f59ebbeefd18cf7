"""TrainingJob: one run of one action of one runtime."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.actions import Action
from trainyard.api.basemodels import BaseModels
from trainyard.api.callbacks import Callbacks
from trainyard.api.dataformats import DatasetFormat, DatasetType, format_rules
from trainyard.api.immutability import fixed_after_creation
from trainyard.api.pods import (
    Accelerator,
    Affinity,
    Argument,
    ImageName,
    LabelValue,
    ResourceClaim,
    Resources,
    Template,
    Toleration,
)
from trainyard.api.schema import (
    WITHOUT_DOUBLES,
    ApiModel,
    JobName,
    KindName,
    LabelName,
    ModelName,
    Opaque,
    Quantity,
    ResourceName,
    Seconds,
    Text,
    Title,
    keyed_by,
    rules,
    spelt,
)
from trainyard.api.shared import (
    CheckpointChoice,
    EnvVars,
    Output,
    SecretKeyReference,
)

ArchitectureName = Annotated[
    str,
    spelt(
        r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        "a name of lower-case letters, digits, '-' and '_', such as detectnet_v2",
        max_length=63,
    ),
]


class JobDatasets(ApiModel):
    """Datasets by the part they play; each is a folder under TRAINYARD_DATA_DIR named as the Dataset."""

    # NB: no list of type set, of which Kubernetes would not tell that its order has changed.
    train: Annotated[
        list[KindName],
        Field(
            max_length=64,
            json_schema_extra=rules(
                ("self.all(d, self.exists_one(e, e == d))", "datasets.train: name each dataset once")
            ),
        ),
    ] = Field(default_factory=list, description="Datasets to train on, in this order.")
    eval: KindName | None = Field(
        default=None, description="Dataset to evaluate on; without it the trainer splits."
    )
    inference: KindName | None = Field(default=None, description="Dataset to predict on.")
    calibration: KindName | None = Field(
        default=None, description="Dataset that quantization is calibrated on."
    )
    input: KindName | None = Field(
        default=None, description="Dataset that a dataset action (convert, augment, validate, ...) works on."
    )


class OutputDataset(ApiModel):
    """The Dataset that a dataset action makes."""

    model_config = ConfigDict(json_schema_extra=rules(*format_rules("outputDataset.format")))

    name: KindName = Field(
        description="Name of the Dataset that is created when the job is Done; one of that name that is there already "
        "is not overwritten."
    )
    type: DatasetType = Field(description="What its data is for.")
    format: DatasetFormat = Field(default="default", description="How its data is laid out.")


class ExitCodes(ApiModel):
    """A set of exit codes, as onExitCodes in the podFailurePolicy of a Kubernetes Job."""

    operator: Literal["In", "NotIn"] = Field(
        description="In: these codes are tried again. NotIn: all but these."
    )
    values: Annotated[
        list[Annotated[int, Field(ge=1, le=255)]],
        Field(min_length=1, max_length=255, json_schema_extra=WITHOUT_DOUBLES),
    ] = Field(description="Exit codes, 1 to 255; 128 + n is the signal n (137: killed).")


class RestartOn(ApiModel):
    """Which failures are worth another attempt."""

    exit_codes: ExitCodes = Field(
        description="Exit codes of the training container that are tried again, and count against backoffLimit. Any "
        "other code ends the job at once, however much of backoffLimit is left."
    )


class TrainingJobSpec(ApiModel):
    """What to run, where, with what, and where to.

    What, where and with what cannot change once an attempt exists; the run policy (suspend, cancel, limits, times,
    callbacks) can at any time.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.image) || [has(self.runtime), has(self.architecture), has(self.type)].exists_one(x, x)",
                "spec: say what to run: exactly one of runtime, architecture or type, or an image of your own",
            ),
            (
                "[has(self.runtime), has(self.architecture), has(self.type)].filter(x, x).size() <= 1",
                "spec: at most one of runtime, architecture and type",
            ),
            (
                "!has(self.outputDataset) || !has(self.datasets) || !has(self.datasets.input) || "
                "self.datasets.input != self.outputDataset.name",
                "spec.outputDataset.name: a dataset cannot be made from itself; give the new one another name",
            ),
            (
                "!has(self.outputDataset) || has(self.output)",
                "spec.output: say where the data of outputDataset is kept, as claimName or as uri",
            ),
            *fixed_after_creation("experiment"),
        )
    )

    display_name: Title | None = Field(default=None, description="Free-text name.")
    description: Text | None = Field(default=None, description="Free text for people.")
    action: Action = Field(
        default="train",
        description="What the runtime shall do; which actions it has is in the runtime catalogue.",
    )
    runtime: ResourceName | None = Field(
        default=None, description="Name of an entry of the runtime catalogue."
    )
    architecture: ArchitectureName | None = Field(
        default=None, description="Network architecture; the catalogue finds the runtime that serves it."
    )
    type: ArchitectureName | None = Field(
        default=None,
        description="Model type (neural_network, random_forest, ...); the catalogue finds the runtime that serves it.",
    )
    image: ImageName | None = Field(
        default=None, description="A container of your own instead of one of the catalogue, or in its place."
    )
    command: Annotated[list[Argument], Field(max_length=256)] | None = Field(
        default=None, description="Entry point; `$(NAME)` is expanded from the environment, as in a pod."
    )
    args: Annotated[list[Argument], Field(max_length=256)] | None = Field(
        default=None,
        description="Arguments of the entry point; `$(NAME)` is expanded from the environment, as in a pod.",
    )
    parameters: Opaque = Field(
        default_factory=dict,
        description="Parameters of the action, handed to the trainer as JSON (at most 96 KiB). Decimals may be "
        'written as strings ("0.01").',
    )
    env: EnvVars = Field(
        default_factory=list, description="Environment of the training container, besides TRAINYARD_*."
    )
    resources: Resources = Field(
        default_factory=Resources,
        description='CPU, memory and other resources of each pod. Quote decimals: cpu: "0.5".',
    )
    shm_size: Quantity | None = Field(
        default=None,
        description="Size of a memory-backed /dev/shm; it counts against the memory limit.",
    )
    template: Template | None = Field(
        default=None,
        description="A PodTemplateSpec merged over the pod that is built; what it says wins. Lists with names "
        "(containers, volumes, env) are merged by name; the training container is `trainer`.",
    )
    accelerator: Accelerator | None = Field(default=None, description="GPUs or other devices of each pod.")
    resource_claims: Annotated[
        list[ResourceClaim], Field(max_length=16, json_schema_extra=keyed_by("name"))
    ] = Field(
        default_factory=list,
        description="Devices by dynamic resource allocation (Kubernetes 1.34), for the training container.",
    )
    tolerations: Annotated[list[Toleration], Field(max_length=64)] = Field(
        default_factory=list, description="Taints to tolerate, besides those that come with the accelerator."
    )
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels that a node must have."
    )
    affinity: Affinity | None = Field(default=None, description="A pod's affinity (core/v1).")
    priority_class_name: ResourceName | None = Field(default=None, description="PriorityClass of the pods.")
    scheduler_name: ResourceName | None = Field(
        default=None, description="Scheduler that shall place the pods."
    )
    queue_name: LabelName | None = Field(
        default=None, description="Kueue's LocalQueue to wait in (the label kueue.x-k8s.io/queue-name)."
    )
    nodes: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1,
        description="How many pods train together, on as many nodes as there is room on; they find each other by "
        "torchrun's and jax.distributed's variables, and all start again together.",
    )
    processes_per_node: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Processes that the launcher (torchrun) starts in each pod."
    )
    datasets: JobDatasets = Field(default_factory=JobDatasets, description="Datasets to work on.")
    base_models: BaseModels = Field(
        default_factory=list,
        description="Models to start from: at most two, each an MLModel's version or a URI.",
    )
    parent_job: JobName | None = Field(
        default=None,
        description="A TrainingJob whose artifacts this one needs. It waits until that one is Done and fails with it.",
    )
    checkpoint: CheckpointChoice | None = Field(
        default=None, description="Which checkpoint of the parent is worked on; absent: the best."
    )
    encryption_key_secret_ref: SecretKeyReference | None = Field(
        default=None,
        description="The key with which a trainer encrypts and decrypts models; it is never shown.",
    )
    experiment: KindName | None = Field(
        default=None,
        description="The Experiment that this job belongs to: it waits for it, and is paused, cancelled and deleted "
        "with it. It cannot change.",
    )
    output: Output | None = Field(
        default=None,
        description="Where artifacts and checkpoints are kept. Absent: nowhere, unless the operator's settings name a "
        "place.",
    )
    output_dataset: OutputDataset | None = Field(
        default=None,
        description="The Dataset that a dataset action (convert, augment, split, ...) makes; its data is the folder "
        "dataset/ of the artifacts in spec.output.",
    )
    model: ModelName | None = Field(
        default=None, description="The MLModel under which what was trained is registered as a new version."
    )
    suspend: bool = Field(
        default=False,
        description="Pause: the trainer saves a checkpoint and its pods go. Back to false, the job goes on from there.",
    )
    cancel: bool = Field(
        default=False,
        description="Stop and keep the record. It wins over suspend; where the action can resume, a checkpoint is "
        "saved, and false goes on from it.",
    )
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3,
        description="How many failed attempts are followed by another one. A pod lost to a disruption does not count.",
    )
    restart_on: RestartOn | None = Field(
        default=None,
        description="Which failures are worth another attempt. Absent: every exit code but 2, by which a trainer says "
        "that its parameters or data are bad.",
    )
    active_deadline_seconds: Seconds | None = Field(
        default=None,
        description="How long the job may run, all attempts together and pauses left out, before it is stopped with "
        "DeadlineExceeded.",
    )
    startup_timeout_seconds: Seconds = Field(
        default=1800,
        description="Time a pod may take from its node to its first running container (image, volumes, Secrets) "
        "before the job fails with StartupTimeout; also how long a quota or a policy may refuse it. Waiting for a "
        "node, in a queue, for data or for a parent does not count.",
    )
    progress_timeout_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = Field(
        default=3600,
        description="How long a trainer may be silent, once it has reported for the first time, before it is stopped "
        "with NoProgress. Any output is a sign of life. 0: for ever.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=315_360_000)] | None = Field(
        default=None,
        description="When the pods of an ended job are removed; the job itself and its record stay. Absent: never.",
    )
    grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = Field(
        default=30,
        description="Seconds from SIGTERM to SIGKILL: the time to save a checkpoint. 0 is taken as 1.",
    )
    upload_seconds: Annotated[int, Field(ge=0, le=86400)] = Field(
        default=300,
        description="Seconds that a pod is given beyond gracePeriodSeconds to bring checkpoints and artifacts to the "
        "output.",
    )
    callbacks: Callbacks = Field(default_factory=list, description="URLs that are told what happens.")
