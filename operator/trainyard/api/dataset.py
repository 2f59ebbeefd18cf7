"""Dataset: data that jobs share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.actions import ActionParameters
from trainyard.api.dataformats import DatasetFormat, DatasetType, format_rules
from trainyard.api.immutability import fixed_after_creation
from trainyard.api.schema import (
    WITHOUT_DOUBLES,
    ApiModel,
    CronSchedule,
    Quantity,
    ResourceName,
    Text,
    TimeZone,
    Title,
    rules,
    spelt,
)
from trainyard.api.shared import AUTHORITY, STORE_IS_SAID, EnvVars, Sha256, Store

SourceUri = Annotated[
    str,
    spelt(
        rf"^((pvc|s3|gs|abfs|hf)://{AUTHORITY}(/[^\s]*)?|https://[^\s/?#@]+([/?][^\s]*)?|ngc:[^\s@]+)$",
        "a pvc://, s3://, gs://, abfs://, hf:// or https:// address (user and password belong into a Secret), or "
        "ngc:<name>:<version>; a DICOMweb server is not read: copy its studies to one of these",
        max_length=2048,
    ),
]
#: pvc://<claim>/<folder>; the folder may be empty and never climbs.
_PVC_URI = r"^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\s]*)?$"


class SourceFile(ApiModel):
    """One file to fetch."""

    url: Annotated[
        str,
        spelt(
            r"^https://[^\s/?#@]+([/?][^\s#]*)?$",
            "an https:// address without user and password (those belong into a Secret)",
            max_length=2048,
        ),
    ] = Field(description="https:// address of the file.")
    path: (
        Annotated[
            str,
            spelt(
                r"^[^/\s][^\r\n\t]*$",
                "a path inside the dataset's folder, such as images/0001.png",
                max_length=1024,
            ),
        ]
        | None
    ) = Field(default=None, description="Where it goes inside the dataset's folder; absent: its own name.")
    sha256: Sha256 | None = Field(default=None, description="Digest that it must have.")


class Upload(ApiModel):
    """The data is brought by `trainyard push dataset`."""

    max_size: Quantity | None = Field(
        default=None, description="The most that is taken; absent: what the operator's settings allow."
    )


class DatasetSource(Store):
    """Where the data is: exactly one of uri, files and upload."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.uri), has(self.files), has(self.upload)].exists_one(x, x)",
                "source: give exactly one of uri, files and upload",
            ),
            (
                f"!has(self.uri) || !self.uri.startsWith('pvc://') || self.uri.matches(r'{_PVC_URI}')",
                "source.uri: pvc://<claim>/<folder>, where <claim> is a PersistentVolumeClaim of this namespace",
            ),
            (
                "!has(self.uri) || !self.uri.split('/').exists(s, s == '..')",
                "source.uri: a folder cannot climb out with '..'",
            ),
            (
                "!has(self.files) || self.files.all(f, !has(f.path) || !f.path.split('/').exists(s, s == '..'))",
                "source.files: a path cannot climb out with '..'",
            ),
            (
                f"(has(self.uri) && !self.uri.startsWith('pvc://')) || has(self.files) || !{STORE_IS_SAID}",
                "source: secretRef, endpoint, region and account go with a uri outside the cluster or with files",
            ),
            (
                "has(self.uri) || !(has(self.revision) || has(self.sha256) || has(self.filters))",
                "source: revision, sha256 and filters go with uri (each of files has its own sha256)",
            ),
        )
    )

    uri: SourceUri | None = Field(
        default=None,
        description="pvc://<claim>/<folder> (a folder of a PersistentVolumeClaim of this namespace), "
        "s3://<bucket>/<prefix>, gs://<bucket>/<prefix>, abfs://<container>/<prefix>, hf://datasets/<name>, "
        "https://<file> or ngc:<name>:<version>.",
    )
    files: Annotated[list[SourceFile], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Files to fetch over https instead of one uri."
    )
    upload: Upload | None = Field(
        default=None, description="The data is brought by `trainyard push dataset`; {} will do."
    )
    service_account_name: ResourceName | None = Field(
        default=None,
        description="ServiceAccount whose workload identity may read the source, instead of a Secret.",
    )
    revision: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None,
        description="Branch, tag or commit (hf), or the version of an object. Absent: the newest.",
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="Digest that the one file must have, or the whole dataset as status.sha256 tells it.",
    )
    file_type: Literal["file", "folder"] | None = Field(
        default=None,
        description="Whether the uri is one file (an archive is unpacked) or a folder. Absent: found out.",
    )
    filters: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=2048)]], Field(max_length=64)] | None
    ) = Field(
        default=None,
        description="Patterns of the paths to take, such as images/**; one that begins with '!' leaves out.",
    )


class Cache(ApiModel):
    """Where what was pulled is kept for the jobs that use it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.mode == 'Volume' || !(has(self.size) || has(self.storageClassName) || has(self.accessMode))",
                "cache: size, storageClassName and accessMode go with mode Volume",
            )
        )
    )

    mode: Literal["Volume", "None"] = Field(
        default="Volume",
        description="Volume: pulled once onto a volume that all jobs mount. None: every job pulls for itself.",
    )
    size: Quantity | None = Field(
        default=None, description="Size of the volume; absent: from the size of the data."
    )
    storage_class_name: ResourceName | None = Field(
        default=None, description="StorageClass of the volume; absent: the operator's setting."
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] | None = Field(
        default=None,
        description="Access mode of the volume; absent: the operator's setting. With ReadWriteOnce all jobs that "
        "use the dataset run on one node.",
    )


class Refresh(ApiModel):
    """When the source is looked at again."""

    schedule: CronSchedule = Field(
        description="When to look, in cron syntax. What has changed becomes a new revision; running jobs keep the old "
        "one."
    )
    time_zone: TimeZone | None = Field(
        default=None, description="Time zone of the schedule, such as Europe/Berlin; default: UTC."
    )


class Validation(ApiModel):
    """How what was pulled is checked against its format."""

    mode: Literal["Full", "None"] = Field(
        default="Full", description="Full: every file is looked at. None: nothing is."
    )
    target: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="Column of a table that must be there, because it is to be predicted."
    )


class DatasetSpec(ApiModel):
    """What the data is and where. Its type and format cannot change after creation."""

    model_config = ConfigDict(
        json_schema_extra=rules(*format_rules("spec.format"), *fixed_after_creation("type", "format"))
    )

    display_name: Title | None = Field(default=None, description="Free-text name.")
    description: Text | None = Field(default=None, description="Free text for people.")
    version: Annotated[str, Field(min_length=1, max_length=10)] = Field(
        default="1.0.0", description="Version of the data, in your own counting; default 1.0.0."
    )
    logo: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="Address of a picture."
    )
    type: DatasetType = Field(description="What the data is for.")
    format: DatasetFormat = Field(default="default", description="How it is laid out.")
    usage: Annotated[
        list[Literal["training", "evaluation", "inference", "calibration"]],
        Field(max_length=4, json_schema_extra=WITHOUT_DOUBLES),
    ] = Field(
        default_factory=list, description="What it is meant to be used for; for people, nothing is refused."
    )
    source: DatasetSource | None = Field(
        default=None, description="Where it is. Absent: a draft, whose source is still to be said."
    )
    env: EnvVars = Field(
        default_factory=list, description="Environment of the pods that pull and check it, such as a proxy."
    )
    cache: Cache | None = Field(
        default=None, description="Where what was pulled is kept; absent: on a volume."
    )
    refresh: Refresh | None = Field(
        default=None,
        description="When the source is looked at again. Absent: only on request, by the annotation "
        "trainyard.dev/refresh-requested-at.",
    )
    validation: Validation | None = Field(
        default=None, description="How what was pulled is checked; absent: in full."
    )
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="How many failed pulls are followed by another one."
    )
    action_parameters: ActionParameters = Field(
        default_factory=dict,
        description="By action: the default parameters of jobs that work on this dataset.",
    )
