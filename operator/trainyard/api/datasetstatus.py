"""The status of a Dataset: how far the pull is, what was found, what jobs use.

Separate from its spec because people write the one and the operator the other.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainyard.api.schema import ApiModel, CommonStatus, Digest, Timestamp, keyed_by
from trainyard.api.shared import Location, PullState

Word = Annotated[str, Field(max_length=253)]
Figure = Annotated[str, Field(max_length=64)]
Note = Annotated[str, Field(max_length=1024)]


class Pull(ApiModel):
    """How far the last pull is, or what the last look at data that lies in a volume has come to."""

    of: Figure | None = Field(
        default=None, description="Digest of what the spec said of the source and of the check when it began."
    )
    number: int | None = Field(default=None, description="Number of the newest pod that works on it.")
    listing: Figure | None = Field(
        default=None, description="Digest of what the source lists: by it what is pulled is pinned."
    )
    revision: Word | None = Field(default=None, description="The revision that is pulled.")
    claim: Word | None = Field(default=None, description="PersistentVolumeClaim that it is pulled onto.")
    unpacked_bytes: int | None = Field(
        default=None, description="Bytes of what is in an archive, where it tells."
    )
    reason: Figure | None = Field(default=None, description="Why the last try failed.")
    state: PullState = Field(description="starting, in_progress, pull_complete or invalid_pull.")
    bytes: int | None = Field(default=None, description="Bytes pulled.")
    total_bytes: int | None = Field(default=None, description="Bytes in all, where the source tells.")
    files: int | None = Field(default=None, description="Files pulled.")
    total_files: int | None = Field(default=None, description="Files in all, where the source tells.")
    percent: Annotated[int, Field(ge=0, le=100)] | None = Field(default=None, description="Of the bytes.")
    eta: Figure | None = Field(default=None, description="Time left, h:mm:ss.")
    summary: Figure | None = Field(default=None, description="For printing, as 1.2/4.8 GB.")
    failures: int | None = Field(
        default=None, description="Pulls that failed and count against backoffLimit."
    )
    retry_time: Timestamp | None = Field(default=None, description="When the next try begins.")
    start_time: Timestamp | None = Field(default=None, description="When it began.")
    completion_time: Timestamp | None = Field(default=None, description="When it ended.")
    message: Note | None = Field(default=None, description="What went wrong, or what is being done.")


class ColumnProfile(ApiModel):
    """One column of a table."""

    name: Word = Field(description="Its name.")
    type: Figure = Field(description="number, text, boolean, time, ...")
    missing: int | None = Field(default=None, description="Rows without a value.")
    distinct: int | None = Field(default=None, description="Different values.")
    min: Figure | None = Field(default=None, description="Smallest value, as a decimal string.")
    max: Figure | None = Field(default=None, description="Largest value, as a decimal string.")


class ClassCount(ApiModel):
    """How often a class occurs."""

    name: Word = Field(description="Its name.")
    count: int = Field(description="Rows, images or boxes of it.")


class SplitCount(ApiModel):
    """A part of the data, such as train, val or test."""

    name: Word = Field(description="Its name.")
    count: int = Field(description="Rows or images in it.")


class ImageSizes(ApiModel):
    """The sizes of the images, in pixels."""

    min_width: int | None = Field(default=None, description="Narrowest.")
    max_width: int | None = Field(default=None, description="Widest.")
    min_height: int | None = Field(default=None, description="Lowest.")
    max_height: int | None = Field(default=None, description="Highest.")


class Profile(ApiModel):
    """What is in the data: what one wants to know before a training."""

    summary: Word | None = Field(default=None, description="For printing, as 1797 rows, 10 classes.")
    files: int | None = Field(default=None, description="Files.")
    bytes: int | None = Field(default=None, description="Bytes of all files.")
    rows: int | None = Field(default=None, description="Rows of the tables.")
    columns: int | None = Field(default=None, description="Columns of the tables.")
    images: int | None = Field(default=None, description="Images.")
    boxes: int | None = Field(default=None, description="Annotated objects.")
    target: Word | None = Field(default=None, description="The column that is to be predicted.")
    column_profiles: Annotated[list[ColumnProfile], Field(max_length=128)] = Field(
        default_factory=list, description="The columns one by one; the first 128."
    )
    classes: Annotated[list[ClassCount], Field(max_length=128)] = Field(
        default_factory=list, description="The classes by their frequency; the first 128."
    )
    splits: Annotated[list[SplitCount], Field(max_length=16)] = Field(
        default_factory=list, description="The parts that the data comes in."
    )
    image_sizes: ImageSizes | None = Field(default=None, description="The sizes of the images.")


class Finding(ApiModel):
    """Something wrong that the check has found."""

    path: Location = Field(description="File, inside the dataset's folder.")
    line: int | None = Field(default=None, description="Line in the file, from 1.")
    message: Note = Field(description="What is wrong with it.")


class ValidationStatus(ApiModel):
    """How the check went."""

    state: Literal["InProgress", "Valid", "Invalid", "Skipped"] = Field(description="How it stands.")
    files_checked: int | None = Field(default=None, description="Files looked at.")
    problems: int | None = Field(default=None, description="Files with something wrong.")
    first: Finding | None = Field(default=None, description="The first of them.")
    time: Timestamp | None = Field(default=None, description="When it ended.")


class LineageInput(ApiModel):
    """A dataset that this one was made from."""

    name: Annotated[str, Field(max_length=35)] = Field(description="Name of the Dataset.")
    uid: Figure | None = Field(default=None, description="Its UID.")
    revision: Word | None = Field(default=None, description="Its revision then.")
    sha256: Figure | None = Field(default=None, description="Its digest then.")


class DatasetLineage(ApiModel):
    """How this dataset came to be, where a job made it."""

    job: Annotated[str, Field(max_length=50)] = Field(description="Name of the TrainingJob.")
    job_uid: Figure | None = Field(default=None, description="Its UID.")
    action: Figure | None = Field(default=None, description="Its action, such as convert.")
    parameters_digest: Digest | None = Field(default=None, description="Digest of its parameters.")
    inputs: Annotated[list[LineageInput], Field(max_length=64, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list, description="The datasets that it worked on."
    )


class HeldVolume(ApiModel):
    """A volume with an earlier revision, which goes when no unfinished job uses it."""

    claim: Word = Field(description="Its PersistentVolumeClaim.")
    revision: Word | None = Field(default=None, description="The revision that it holds.")


class DatasetStatus(CommonStatus):
    """What the operator has observed of the dataset."""

    pull: Pull | None = Field(default=None, description="How far the pull is.")
    revision: Word | None = Field(default=None, description="The revision that jobs get now.")
    sha256: Figure | None = Field(
        default=None,
        description="Digest of the data: of the one file, or of the sorted list of paths and digests.",
    )
    uri: Location | None = Field(default=None, description="Where jobs find it inside the cluster.")
    profile: Profile | None = Field(default=None, description="What is in the data.")
    validation: ValidationStatus | None = Field(default=None, description="How the check went.")
    lineage: DatasetLineage | None = Field(
        default=None, description="How it came to be, where a job made it."
    )
    of: Figure | None = Field(
        default=None, description="Digest of what the spec said when the data that jobs get now was checked."
    )
    listing: Figure | None = Field(default=None, description="Digest of what the source listed for it.")
    held: Annotated[list[HeldVolume], Field(max_length=64, json_schema_extra=keyed_by("claim"))] = Field(
        default_factory=list, description="Volumes with earlier revisions that unfinished jobs use."
    )
    refresh_requested_at: Figure | None = Field(
        default=None,
        description="The annotation trainyard.dev/refresh-requested-at that was last acted upon.",
    )
    last_refresh_time: Timestamp | None = Field(
        default=None, description="When the source was last looked at."
    )
    next_refresh_time: Timestamp | None = Field(
        default=None, description="When it is looked at next, by the schedule."
    )
