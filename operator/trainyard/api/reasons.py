"""Phases, reasons and condition types: what status may say.

Separate so that a reason is spelt once. `phase` is an output; nothing is ever decided from it.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """The five values of `status.phase`, on every kind: those of a job in the TAO API."""

    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    ERROR = "Error"
    CANCELED = "Canceled"


class Reason(StrEnum):
    """`status.reason`. A reason belongs to exactly one phase on each kind."""

    # Pending
    DRAFT = "Draft"
    ACCEPTED = "Accepted"
    WAITING_FOR_DATASET = "WaitingForDataset"
    WAITING_FOR_PARENT = "WaitingForParent"
    WAITING_FOR_EXPERIMENT = "WaitingForExperiment"
    WAITING_FOR_MODEL = "WaitingForModel"
    WAITING_FOR_UPLOAD = "WaitingForUpload"
    WAITING_FOR_CLEANUP = "WaitingForCleanup"
    QUEUED = "Queued"
    UNSCHEDULABLE = "Unschedulable"
    PULLING_IMAGE = "PullingImage"
    STARTING = "Starting"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_INVALID = "ContainerConfigInvalid"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    POLICY_REFUSED = "PolicyRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_NAME_TAKEN = "PodNameTaken"
    JOB_NAME_TAKEN = "JobNameTaken"
    DATASET_EXISTS = "DatasetExists"
    SECRET_NOT_FOUND = "SecretNotFound"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    SERVICE_ACCOUNT_NOT_FOUND = "ServiceAccountNotFound"
    VOLUME_MOUNT_FAILED = "VolumeMountFailed"
    PAUSED = "Paused"
    RESUMING = "Resuming"
    BACKING_OFF = "BackingOff"
    SPEC_CHANGED = "SpecChanged"
    NOT_YET_SUPPORTED = "NotYetSupported"
    # Running
    TRAINING = "Training"
    SEARCHING = "Searching"
    PROPOSING = "Proposing"
    RECOMMENDING = "Recommending"
    PULLING = "Pulling"
    VALIDATING = "Validating"
    UPLOADING = "Uploading"
    PAUSING = "Pausing"
    CANCELING = "Canceling"
    STOPPING = "Stopping"
    RESTARTING = "Restarting"
    NODE_LOST = "NodeLost"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    # Done
    COMPLETED = "Completed"
    REFRESH_FAILED = "RefreshFailed"
    DEGRADED = "Degraded"
    DEPRECATED = "Deprecated"
    ARCHIVED = "Archived"
    # Error
    INVALID_SPEC = "InvalidSpec"
    STARTUP_TIMEOUT = "StartupTimeout"
    DATASET_FAILED = "DatasetFailed"
    PULL_FAILED = "PullFailed"
    ACCESS_DENIED = "AccessDenied"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_CHANGED = "SourceChanged"
    VOLUME_FULL = "VolumeFull"
    DIGEST_MISMATCH = "DigestMismatch"
    INVALID_DATA = "InvalidData"
    PARENT_FAILED = "ParentFailed"
    STEP_FAILED = "StepFailed"
    TRIALS_FAILED = "TrialsFailed"
    MODEL_FAILED = "ModelFailed"
    TRAINING_FAILED = "TrainingFailed"
    RECOMMENDATION_FAILED = "RecommendationFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    TRAINER_FAILED = "TrainerFailed"
    POD_FAILED = "PodFailed"
    COMMAND_NOT_FOUND = "CommandNotFound"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    NO_PROGRESS = "NoProgress"
    FETCH_FAILED = "FetchFailed"
    UPLOAD_FAILED = "UploadFailed"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    # Canceled
    CANCELED_BY_USER = "CanceledByUser"
    PARENT_CANCELED = "ParentCanceled"


#: Phases that nothing but a new request leaves.
FINAL = frozenset({Phase.DONE, Phase.ERROR, Phase.CANCELED})


class ConditionType(StrEnum):
    """`status.conditions[].type`; kstatus reads Ready, Reconciling and Stalled."""

    READY = "Ready"
    AVAILABLE = "Available"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"
    SUSPENDED = "Suspended"
    SPEC_CHANGED = "SpecChanged"
