"""The lists of the APIs that Trainyard follows are all there, spelt as they are on the wire."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from trainyard.api.actions import Action
from trainyard.api.dataformats import DatasetFormat, DatasetType, format_rules
from trainyard.api.shared import CheckpointMethod, PullState

TAO_5_0_TYPES = """object_detection semantic_segmentation image_classification instance_segmentation
character_recognition bpnet fpenet action_recognition pointpillars pose_classification ml_recog ocdnet ocrnet
optical_inspection re_identification"""
TAO_5_3_TYPES = """object_detection semantic_segmentation image_classification instance_segmentation
character_recognition action_recognition pointpillars pose_classification ml_recog ocdnet ocrnet optical_inspection
re_identification visual_changenet centerpose not_restricted user_custom"""
TAO_5_3_FORMATS = """kitti pascal_voc raw coco_raw unet coco lprnet train test default custom classification_pyt
classification_tf2 visual_changenet_segment visual_changenet_classify monai"""
TAO_5_3_ACTIONS = """dataset_convert convert convert_efficientdet_tf2 train evaluate prune retrain export gen_trt_engine
trtexec inference batchinfer augment annotation_format_convert analyze validate generate calibration_tensorfile
annotation nextimage cacheimage notify auto3dseg"""


@pytest.mark.parametrize(
    ("ours", "theirs", "besides"),
    [
        (DatasetType, f"{TAO_5_0_TYPES} {TAO_5_3_TYPES}", "tabular multi_label_classification"),
        (DatasetFormat, TAO_5_3_FORMATS, "csv parquet"),
        (Action, f"{TAO_5_3_ACTIONS} kmeans", "split recommend distill quantize publish unpublish custom"),
        (PullState, "starting in_progress pull_complete invalid_pull", ""),
        (CheckpointMethod, "latest_model best_model from_epoch_number", ""),
    ],
    ids=["dataset types", "dataset formats", "actions", "pull states", "checkpoint methods"],
)
def test_the_union_is_complete(ours: object, theirs: str, besides: str) -> None:
    values = get_args(ours)
    assert set(values) == set(theirs.split()) | set(besides.split())
    assert len(values) == len(set(values))


def test_rules_on_formats_speak_of_formats_and_types_that_there_are() -> None:
    known = set(get_args(DatasetType)) | set(get_args(DatasetFormat))
    for rule, message in format_rules("spec.format"):
        assert set(re.findall(r"'(\w+)'", rule)) <= known
        assert message.startswith("spec.format: ")
