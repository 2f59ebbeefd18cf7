"""What data is for and how it is laid out, and which of the two go together.

Separate because a Dataset and a job that makes one say the same.
"""

from __future__ import annotations

from typing import Literal

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

_BOXES = ("object_detection", "instance_segmentation", "semantic_segmentation")
_LABELS = ("image_classification", "multi_label_classification")
_ANYTHING = ("not_restricted", "user_custom")
#: Formats that are made for some types; any other format fits every type. `_ANYTHING` takes every format.
_MADE_FOR: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("csv", "parquet"), ("tabular", *_LABELS)),
    (("kitti",), (*_BOXES, "pointpillars", "character_recognition", "centerpose")),
    (("pascal_voc",), (*_BOXES, *_LABELS, "action_recognition")),
    (
        ("coco", "coco_raw"),
        (
            *_BOXES,
            *_LABELS,
            "bpnet",
            "fpenet",
            "pose_classification",
            "centerpose",
            "visual_changenet",
            "ocdnet",
        ),
    ),
    (("unet",), ("semantic_segmentation", "instance_segmentation", "visual_changenet")),
    (("lprnet",), ("character_recognition", "ocdnet", "ocrnet")),
    (("classification_pyt", "classification_tf2"), _LABELS),
    (
        ("visual_changenet_segment", "visual_changenet_classify"),
        ("visual_changenet", "optical_inspection", "semantic_segmentation", "image_classification"),
    ),
)
#: Types that are no pictures, sounds or points: formats of such do not fit them.
_TABLE_FORMATS = ("csv", "parquet", "default", "raw", "custom", "train", "test")


def format_rules(field: str) -> tuple[tuple[str, str], ...]:
    """CEL rules of an object with `type` and `format`; `field` is the path of its format."""
    return (
        *(
            (
                f"!(self.format in {_listed(formats)}) || self.type in {_listed((*types, *_ANYTHING))}",
                f"{field}: {' and '.join(formats)} {'go' if len(formats) > 1 else 'goes'} with type "
                f"{', '.join(types)}, {' or '.join(_ANYTHING)}",
            )
            for formats, types in _MADE_FOR
        ),
        (
            f"self.type != 'tabular' || self.format in {_listed(_TABLE_FORMATS)}",
            f"{field}: with type tabular it is one of {', '.join(_TABLE_FORMATS)}",
        ),
    )


def _listed(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"
