"""TrainingJob: one run of one action of one runtime."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.schema import (
    ApiModel,
    CommonStatus,
    JobName,
    KindName,
    Opaque,
    Quantity,
    ResourceName,
    Seconds,
    Text,
    Timestamp,
    rules,
)

# The union of the TAO API's two lists (24) and ours.
Action = Literal[
    "dataset_convert",
    "convert",
    "convert_efficientdet_tf2",
    "kmeans",
    "train",
    "evaluate",
    "prune",
    "retrain",
    "export",
    "gen_trt_engine",
    "trtexec",
    "inference",
    "batchinfer",
    "augment",
    "annotation_format_convert",
    "analyze",
    "validate",
    "generate",
    "calibration_tensorfile",
    "annotation",
    "nextimage",
    "cacheimage",
    "notify",
    "auto3dseg",
    "split",
    "recommend",
    "distill",
    "quantize",
    "custom",
]

ArchitectureName = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")
]
Argument = Annotated[str, Field(max_length=8192)]


class Resources(ApiModel):
    """Requests and limits of the training container, as in a pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=32)] = Field(default_factory=dict)
    limits: Annotated[dict[str, Quantity], Field(max_length=32)] = Field(default_factory=dict)


class Accelerator(ApiModel):
    """GPUs of one pod. The matching toleration and node labels come with it."""

    count: Annotated[int, Field(ge=1, le=1024)] = Field(default=1, description="Devices for each pod.")
    type: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9][-_.a-z0-9]*$")] | None = (
        Field(
            default=None,
            description="Kind of device: t4, l4, l40, a10, a30, a40, a100, v100, h100, h200 or what the operator's "
            "settings add. It becomes a node affinity. Absent: any.",
        )
    )
    resource_name: (
        Annotated[str, Field(min_length=3, max_length=253, pattern=r"^[^/\s]+/[^/\s]+$")] | None
    ) = Field(
        default=None,
        description="Extended resource to ask for; the operator's setting (nvidia.com/gpu) if absent.",
    )


class Toleration(ApiModel):
    """A pod's toleration (core/v1)."""

    key: Annotated[str, Field(max_length=316)] | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Affinity(ApiModel):
    """A pod's affinity (core/v1)."""

    node_affinity: Opaque | None = None
    pod_affinity: Opaque | None = None
    pod_anti_affinity: Opaque | None = None


class TemplateMetadata(ApiModel):
    """Labels and annotations for the pods."""

    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)] | None = None
    annotations: Annotated[dict[str, str], Field(max_length=64)] | None = None


class Template(ApiModel):
    """A PodTemplateSpec (core/v1)."""

    metadata: TemplateMetadata | None = None
    spec: Opaque | None = None


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

    name: Annotated[str, Field(min_length=1, max_length=253)]
    value: Annotated[str, Field(max_length=32768)] | None = None
    value_from: Opaque | None = None


class JobDatasets(ApiModel):
    """Datasets by the part they play; each is a folder under TRAINYARD_DATA_DIR named as the Dataset."""

    train: Annotated[
        list[KindName],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=list, description="Datasets to train on, in this order.")
    eval: KindName | None = Field(
        default=None, description="Dataset to evaluate on; without it the trainer splits."
    )


class Output(ApiModel):
    """Where artifacts and checkpoints go."""

    claim_name: ResourceName = Field(
        description="A PersistentVolumeClaim of this namespace. The trainer writes under <uid>/attempt-<n>/ in it."
    )


class TrainingJobSpec(ApiModel):
    """What to run, where, with what, and where to."""

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
        )
    )

    display_name: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Free-text name."
    )
    description: Text | None = Field(default=None, description="Free text for people.")
    action: Action = Field(
        default="train",
        description="What the runtime shall do; the reference runtime has train and evaluate.",
    )
    runtime: ResourceName | None = Field(
        default=None, description="Name of an entry of the runtime catalogue."
    )
    architecture: ArchitectureName | None = Field(
        default=None, description="Network architecture; the catalogue finds the runtime that serves it."
    )
    type: ArchitectureName | None = Field(
        default=None,
        description="Model type (neural_network, random_forest); the catalogue finds the runtime that serves it.",
    )
    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^\S+$")] | None = Field(
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
        description="Parameters of the action, handed to the trainer as JSON (at most 96 KiB).",
    )
    env: Annotated[
        list[EnvVar],
        Field(
            max_length=256,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list, description="Environment of the training container, besides TRAINYARD_*.")
    resources: Resources = Field(
        default_factory=Resources, description="CPU, memory and other resources of a pod."
    )
    shm_size: Quantity | None = Field(
        default=None, description="Size of a memory-backed /dev/shm; it counts against the memory limit."
    )
    template: Template | None = Field(
        default=None,
        description="A PodTemplateSpec merged over the pod that is built; what it says wins. Lists with names "
        "(containers, volumes, env) are merged by name; the training container is `trainer`.",
    )
    accelerator: Accelerator | None = Field(default=None, description="GPUs or other devices of each pod.")
    tolerations: Annotated[list[Toleration], Field(max_length=64)] = Field(
        default_factory=list, description="Taints to tolerate, besides those that come with the accelerator."
    )
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels that a node must have."
    )
    affinity: Affinity | None = Field(default=None, description="A pod's affinity (core/v1).")
    priority_class_name: ResourceName | None = Field(default=None, description="PriorityClass of the pods.")
    scheduler_name: ResourceName | None = Field(
        default=None, description="Scheduler that shall place the pods."
    )
    queue_name: (
        Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None
    ) = Field(
        default=None, description="Kueue's LocalQueue to wait in (the label kueue.x-k8s.io/queue-name)."
    )
    datasets: JobDatasets = Field(default_factory=JobDatasets, description="Datasets to work on.")
    parent_job: JobName | None = Field(
        default=None,
        description="A TrainingJob whose artifacts this one needs. It waits until that one is Done and fails with it.",
    )
    output: Output | None = Field(default=None, description="Where artifacts and checkpoints are kept.")
    startup_timeout_seconds: Seconds = Field(
        default=1800,
        description="Time a pod may take from its node to its first running container (image, volumes, Secrets) "
        "before the job fails with StartupTimeout; also how long a quota or a policy may refuse it. Waiting for a "
        "node, in a queue, for data or for a parent does not count.",
    )
    grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = Field(
        default=30, description="Seconds from SIGTERM to SIGKILL: the time to save a checkpoint."
    )


class Attempt(ApiModel):
    """One go at the job: its pods, when, and how it ended."""

    number: Annotated[int, Field(ge=0)]
    start_time: Timestamp | None = None
    completion_time: Timestamp | None = None
    node: Annotated[str, Field(max_length=253)] | None = None
    reason: Annotated[str, Field(max_length=64)] | None = None
    message: Annotated[str, Field(max_length=4096)] | None = None
    exit_code: int | None = None


class Progress(ApiModel):
    """How far the trainer says it is."""

    epoch: float | None = None
    max_epoch: float | None = None
    step: int | None = None
    max_step: int | None = None
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    eta: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="Time left, h:mm:ss.")
    time_per_epoch: Annotated[str, Field(max_length=64)] | None = None
    time_per_iter: Annotated[str, Field(max_length=64)] | None = None
    summary: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="As 12/40.")


class Metric(ApiModel):
    """The latest value of a metric; decimals are strings, as the API conventions ask."""

    name: Annotated[str, Field(max_length=100)]
    value: Annotated[str, Field(max_length=64)]
    epoch: float | None = None


class KeyMetric(ApiModel):
    """The headline metric."""

    name: Annotated[str, Field(max_length=100)]
    value: Annotated[str, Field(max_length=64)]
    display: Annotated[str, Field(max_length=170)]


class LastReport(ApiModel):
    """The trainer's last status line."""

    time: Timestamp
    status: Annotated[str, Field(max_length=100)] | None = None
    message: Annotated[str, Field(max_length=6400)] | None = None


class Checkpoint(ApiModel):
    """The last checkpoint that the trainer has closed."""

    epoch: float | None = None
    uri: Annotated[str, Field(max_length=2048)] | None = None
    time: Timestamp


class Artifact(ApiModel):
    """Where what was made lies."""

    uri: Annotated[str, Field(max_length=2048)]


class PodsSummary(ApiModel):
    """Pods of the current attempt by phase."""

    total: int = 0
    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0


class TrainingJobStatus(CommonStatus):
    """What is."""

    attempts: Annotated[
        list[Attempt],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"]},
        ),
    ] = Field(default_factory=list)
    start_time: Timestamp | None = Field(
        default=None, description="When the first training container started."
    )
    completion_time: Timestamp | None = Field(default=None, description="When the job ended.")
    progress: Progress | None = None
    metrics: Annotated[
        list[Metric],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list)
    key_metric: KeyMetric | None = None
    last_report: LastReport | None = None
    last_checkpoint: Checkpoint | None = None
    artifacts: Annotated[list[Artifact], Field(max_length=64)] = Field(default_factory=list)
    logs: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="Folder of the stored logs."
    )
    pods: PodsSummary | None = None
