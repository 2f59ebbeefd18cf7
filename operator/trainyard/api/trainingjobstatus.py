"""The status of a TrainingJob: what the operator has observed, and what it must not forget.

Separate from its spec because people write the one and the operator the other.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainyard.api.basemodels import BaseModelStates
from trainyard.api.callbacks import CallbackStates
from trainyard.api.schema import (
    ApiModel,
    CommonStatus,
    Digest,
    JobName,
    KindName,
    Message,
    ReasonWord,
    Timestamp,
    keyed_by,
)
from trainyard.api.shared import (
    Archive,
    Artifact,
    KeyMetric,
    LastReport,
    Location,
    Metrics,
    ResultFile,
)

Duration = Annotated[str, Field(max_length=64)]


class Attempt(ApiModel):
    """One go at the job: its pods, when, and how it ended."""

    number: Annotated[int, Field(ge=0)] = Field(
        description="Counts from 0; pods carry it as trainyard.dev/attempt."
    )
    start_time: Timestamp | None = Field(default=None, description="When its training container started.")
    completion_time: Timestamp | None = Field(default=None, description="When it ended.")
    node: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Node of its first pod."
    )
    reason: ReasonWord | None = Field(default=None, description="How it ended; Restarting: it was lost.")
    message: Message | None = Field(default=None, description="How it ended, as a sentence.")
    exit_code: int | None = Field(
        default=None, description="Exit code of the training container that decided."
    )
    rank: int | None = Field(
        default=None, description="Rank of the pod that decided, where there are several."
    )
    counted: bool | None = Field(default=None, description="Whether it counts against spec.backoffLimit.")
    parameters_digest: Digest | None = Field(
        default=None, description="Digest of the parameters that it ran with."
    )
    image_digest: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Image of the training container with its digest, as the node tells it."
    )
    parent_job: JobName | None = Field(
        default=None, description="The job whose artifacts it was given, as spec.parentJob was then."
    )
    resumed_from: Location | None = Field(
        default=None, description="The checkpoint that it went on from; absent: it started afresh."
    )


class Progress(ApiModel):
    """How far the trainer says it is."""

    epoch: float | None = Field(default=None, description="Epochs done; -1: not known.")
    max_epoch: float | None = Field(default=None, description="Epochs in all.")
    step: int | None = Field(default=None, description="Steps (iterations) done.")
    max_step: int | None = Field(default=None, description="Steps in all.")
    percent: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Of the epochs, or of the steps where there are no epochs."
    )
    eta: Duration | None = Field(default=None, description="Time left, h:mm:ss.")
    time_per_epoch: Duration | None = Field(default=None, description="Time that an epoch takes, h:mm:ss.")
    time_per_iter: Duration | None = Field(default=None, description="Time that a step takes, h:mm:ss.")
    summary: Duration | None = Field(default=None, description="For printing, as 12/40.")


class Checkpoint(ApiModel):
    """The last checkpoint that the trainer has closed."""

    epoch: float | None = Field(default=None, description="Whole epochs in it.")
    step: int | None = Field(default=None, description="Steps in it.")
    uri: Location | None = Field(default=None, description="Where it lies.")
    time: Timestamp = Field(description="When it was reported.")


class Best(ApiModel):
    """The best value that the key metric has had."""

    name: Annotated[str, Field(max_length=100)] = Field(description="Name of the metric.")
    value: Annotated[str, Field(max_length=64)] = Field(description="Its value, as a decimal string.")
    epoch: float | None = Field(default=None, description="The epoch that it is of.")
    uri: Location | None = Field(default=None, description="The checkpoint of that epoch, if there is one.")
    time: Timestamp | None = Field(default=None, description="When it was reported.")


DecimalText = Annotated[str, Field(max_length=64)]


class LearningCurve(ApiModel):
    """Values of a metric by epoch, in order: all of them, or of many some that lie evenly, the first and the last."""

    epochs: Annotated[list[float], Field(max_length=64)] = Field(
        default_factory=list, description="The epochs."
    )
    values: Annotated[list[DecimalText], Field(max_length=64)] = Field(
        default_factory=list, description="The value of each, as a decimal string."
    )


class ReportedObjective(ApiModel):
    """The metric that decides in an Experiment, as this job has reported it. NaN counts as not reported."""

    metric: Annotated[str, Field(max_length=100)] = Field(description="Name of the metric.")
    goal: Literal["Minimize", "Maximize"] = Field(description="Which values are better.")
    value: DecimalText = Field(
        description="Its best value of any epoch, as a decimal string; its latest where the trainer tells no epochs."
    )
    epoch: float | None = Field(default=None, description="The epoch of the best value.")
    last: DecimalText = Field(description="Its value in the last epoch, as a decimal string.")
    last_epoch: float | None = Field(default=None, description="The last epoch that has told it.")
    curve: LearningCurve | None = Field(default=None, description="Its values over the epochs.")


class PodsSummary(ApiModel):
    """Pods of the current attempt by phase."""

    total: int = Field(default=0, description="Pods that there are.")
    pending: int = Field(default=0, description="Pods that have not started.")
    running: int = Field(default=0, description="Pods that run.")
    succeeded: int = Field(default=0, description="Pods that ended with exit code 0.")
    failed: int = Field(default=0, description="Pods that failed or were lost.")


class UsedDataset(ApiModel):
    """A dataset as it was when the job began to use it."""

    name: Annotated[str, Field(max_length=35)] = Field(description="Name of the Dataset.")
    uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of the Dataset, which a new one of the same name does not have."
    )
    uri: Location | None = Field(default=None, description="Where the data lay.")
    revision: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Revision of the data."
    )
    sha256: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of the data."
    )
    listing: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Digest of what its source listed, where each job pulls it for itself."
    )


class MadeDataset(ApiModel):
    """The Dataset that this job has made, or is to make."""

    name: Annotated[str, Field(max_length=35)] = Field(description="Name of the Dataset.")
    uri: Location = Field(description="Where its data lies.")
    state: Literal["Pending", "Created", "NameTaken"] = Field(
        description="Pending: it is still to be created. Created. NameTaken: there was another Dataset of that name, "
        "which was left as it is; none is created."
    )
    uid: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="UID of the Dataset.")
    message: Message | None = Field(default=None, description="Why it is not there.")


class RegisteredVersion(ApiModel):
    """The version of the MLModel that this job became."""

    name: Annotated[str, Field(max_length=35)] = Field(description="Name of the MLModel.")
    number: int = Field(description="Number of the version.")


class Stop(ApiModel):
    """A stop that has been decided; written before any pod is told, so that it outlives the operator."""

    cause: Literal["Suspend", "Cancel", "DeadlineExceeded", "NoProgress"] = Field(
        description="Why the pods are stopped."
    )
    time: Timestamp = Field(description="When it was decided.")
    end_time: Timestamp | None = Field(
        default=None, description="When nothing of the job ran any longer; absent: pods are still ending."
    )
    checkpoint: bool | None = Field(
        default=None,
        description="Whether the trainer saved a checkpoint on its way out; absent: not known yet, or nothing ran.",
    )
    experiment: KindName | None = Field(
        default=None, description="The Experiment that asks for it; absent: the job alone."
    )


class TrainingJobStatus(CommonStatus):
    """What the operator has observed of the job."""

    attempts: Annotated[list[Attempt], Field(max_length=32, json_schema_extra=keyed_by("number"))] = Field(
        default_factory=list, description="The attempts, the newest last; the oldest go past 32."
    )
    failures: int | None = Field(
        default=None, description="Attempts that failed and count against spec.backoffLimit."
    )
    retry_requested_at: Annotated[str, Field(max_length=64)] | None = Field(
        default=None,
        description="The annotation trainyard.dev/retry-requested-at that was last acted upon.",
    )
    spec_hash: Digest | None = Field(
        default=None,
        description="Digest of what the attempts run, where and with what; from then on these cannot change.",
    )
    start_time: Timestamp | None = Field(
        default=None, description="When the first training container started."
    )
    completion_time: Timestamp | None = Field(default=None, description="When the job ended.")
    run_seconds: int | None = Field(
        default=None,
        description="Seconds that ended attempts have run, together, since the last retry; those count that are no "
        "longer listed.",
    )
    stop: Stop | None = Field(
        default=None, description="The stop that is under way or in force; it goes when the job goes on."
    )
    progress: Progress | None = Field(default=None, description="How far the trainer says it is.")
    metrics: Metrics = Field(default_factory=list, description="Latest value of each metric.")
    key_metric: KeyMetric | None = Field(default=None, description="The headline metric.")
    best: Best | None = Field(default=None, description="The best value that the key metric has had.")
    objective: ReportedObjective | None = Field(
        default=None, description="What the job has made of the objective of its Experiment."
    )
    last_report: LastReport | None = Field(default=None, description="The trainer's last status line.")
    last_checkpoint: Checkpoint | None = Field(
        default=None, description="The last checkpoint that the trainer has closed."
    )
    artifacts: Annotated[list[Artifact], Field(max_length=64)] = Field(
        default_factory=list, description="What was made, and where it lies."
    )
    archive: Archive | None = Field(
        default=None,
        description="The artifacts as one tar.gz. Nothing sets it yet: they are stored and downloaded as single files.",
    )
    result: ResultFile | None = Field(
        default=None,
        description="Curves and tables of the whole run, too large for status. Nothing sets it yet: what a trainer "
        "writes of them is among the artifacts.",
    )
    logs: Location | None = Field(default=None, description="Folder of the stored logs.")
    pods: PodsSummary | None = Field(default=None, description="Pods of the current attempt by phase.")
    datasets: Annotated[list[UsedDataset], Field(max_length=72, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="The datasets as they were when the job began to use them."
    )
    output_dataset: MadeDataset | None = Field(
        default=None, description="What has become of spec.outputDataset."
    )
    base_models: BaseModelStates = Field(
        default_factory=list, description="How far the fetching of each base model is."
    )
    model_version: RegisteredVersion | None = Field(
        default=None, description="The version of spec.model that this job became."
    )
    callbacks: CallbackStates = Field(default_factory=list, description="Deliveries to spec.callbacks.")
