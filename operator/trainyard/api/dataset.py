"""Dataset: data that jobs share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.schema import ApiModel, CommonStatus, Text, rules

# The 19 of the TAO APIs and ours.
DatasetType = Literal[
    "object_detection",
    "semantic_segmentation",
    "image_classification",
    "instance_segmentation",
    "character_recognition",
    "bpnet",
    "fpenet",
    "action_recognition",
    "pointpillars",
    "pose_classification",
    "ml_recog",
    "ocdnet",
    "ocrnet",
    "optical_inspection",
    "re_identification",
    "visual_changenet",
    "centerpose",
    "not_restricted",
    "user_custom",
    "tabular",
    "multi_label_classification",
]
# The 16 of the TAO API and ours.
DatasetFormat = Literal[
    "kitti",
    "pascal_voc",
    "raw",
    "coco_raw",
    "unet",
    "coco",
    "lprnet",
    "train",
    "test",
    "default",
    "custom",
    "classification_pyt",
    "classification_tf2",
    "visual_changenet_segment",
    "visual_changenet_classify",
    "monai",
    "csv",
    "parquet",
]

#: pvc://<claim>/<folder>; the folder may be empty and never climbs.
PVC_URI = r"^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\s]*)?$"


class DatasetSource(ApiModel):
    """Where the data is."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!self.uri.split('/').exists(s, s == '..')", "source.uri: a folder cannot climb out with '..'")
        )
    )

    uri: Annotated[str, Field(min_length=7, max_length=2048, pattern=PVC_URI)] = Field(
        description="pvc://<claim>/<folder>: a folder of a PersistentVolumeClaim of this namespace."
    )


class DatasetSpec(ApiModel):
    """What the data is and where."""

    display_name: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Free-text name."
    )
    description: Text | None = Field(default=None, description="Free text for people.")
    type: DatasetType = Field(description="What the data is for.")
    format: DatasetFormat = Field(default="default", description="How it is laid out.")
    source: DatasetSource = Field(description="Where it is.")


class DatasetStatus(CommonStatus):
    """What is."""
