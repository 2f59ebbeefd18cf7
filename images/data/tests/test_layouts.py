"""The other formats of the enum: what their documentation names must be there, and what their lists name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainyard_data.formats.layouts import LAYOUTS

IMAGE = object()
"""Stands for an image in the tables below."""
CORNERS = "377,117,463,117,465,130,378,130,Genaxis, Theatre\n"
PAIRS = "input_path,golden_path,label,object_name\ninput,golden,PASS,C1\n"
DATALIST = {
    "training": [{"image": "imagesTr/1.nii.gz", "label": "labelsTr/1.nii.gz"}],
    "test": ["imagesTs/2.nii.gz"],
}
MANIFEST = {"data": [{"image": {"path": ["a/1.dcm"], "id": "1"}, "label": {"path": ["b/1.dcm"], "id": "2"}}]}

Files = dict[str, Any]
GOOD: dict[tuple[str, str], list[Files]] = {
    ("lprnet", "character_recognition"): [
        {"image/1.jpg": IMAGE, "label/1.txt": "AB1\n", "characters.txt": "A\nB\n1\n"},
        {"d/images/1.jpg": IMAGE, "d/labels/1.txt": "京A1", "d/us_characters.txt": "京\nA\n1\n"},
    ],
    ("coco_raw", "object_detection"): [{"images/1.jpg": IMAGE, "label_map.txt": "cat\n"}],
    ("visual_changenet_segment", "visual_changenet"): [
        {
            "A/1.png": IMAGE,
            "B/1.png": IMAGE,
            "label/1.png": IMAGE,
            "list/train.txt": "1.png\n",
            "list/predict.txt": "1.png\n",
        },
    ],
    ("visual_changenet_classify", "visual_changenet"): [
        {"images/input/C1.jpg": IMAGE, "images/golden/C1.jpg": IMAGE, "dataset.csv": PAIRS},
        {"images/input/C1.jpg": IMAGE, "labels/train.csv": PAIRS, "labels/validation.csv": PAIRS},
    ],
    ("custom", "image_classification"): [{"images/1.jpg": IMAGE, "train.csv": "x", "val.csv": "x"}],
    ("custom", "multi_label_classification"): [{"images_train/1.jpg": IMAGE, "train.csv": "x"}],
    ("train", "ocdnet"): [{"train/img/1.jpg": IMAGE, "train/gt/gt_1.txt": CORNERS}],
    ("test", "ocdnet"): [{"test/img/1.jpg": IMAGE, "test/gt/gt_1.txt": "\ufeff" + CORNERS + "\n"}],
    ("train", "ocrnet"): [
        {"train/1.jpg": IMAGE, "train/gt_new.txt": "1.jpg\tHi", "character_list": "h\ni\n"}
    ],
    ("test", "ocrnet"): [{"mine/test/1.jpg": IMAGE, "mine/character_list": "h\ni\n"}],
    ("monai", "semantic_segmentation"): [
        {
            "dataset.json": json.dumps(DATALIST),
            "imagesTr/1.nii.gz": "x",
            "labelsTr/1.nii.gz": "x",
            "imagesTs/2.nii.gz": "x",
        },
        {"manifest.json": json.dumps(MANIFEST), "a/1.dcm": "x", "b/1.dcm": "x"},
    ],
    ("default", "ocdnet"): [{"test/img/1.jpg": IMAGE, "test/gt/gt_1.txt": CORNERS}],
    ("default", "ocrnet"): [{"train/1.jpg": IMAGE, "character_list": "a"}],
    ("default", "optical_inspection"): [{"images/input/C1.jpg": IMAGE, "dataset.csv": PAIRS}],
    ("default", "pointpillars"): [{"train/lidar/1.bin": "x", "train/label/1.txt": "x"}],
    ("default", "pose_classification"): [{"nvidia/train_data.npy": "x", "nvidia/train_label.pkl": "x"}],
    ("default", "re_identification"): [
        {"sample_train/1.jpg": IMAGE, "sample_test/1.jpg": IMAGE, "sample_query/1.jpg": IMAGE}
    ],
    ("default", "action_recognition"): [{"train/walk/1/rgb/0.png": IMAGE, "test/walk/2/rgb/0.png": IMAGE}],
    ("default", "centerpose"): [{"train/a/1.png": IMAGE, "train/a/1.json": "{}", "test/a/1.png": IMAGE}],
    ("default", "bpnet"): [{"annotations/person_keypoints_train2017.json": "{}", "train2017/1.jpg": IMAGE}],
    ("default", "fpenet"): [{"data/afw/1.png": IMAGE, "data/afw/afw.json": "[]", "data.json": "{}"}],
    ("default", "ml_recog"): [
        {"m/r/known_classes/train/1.png": IMAGE, "m/r/unknown_classes/test/1.png": IMAGE}
    ],
}

BROKEN: dict[str, tuple[tuple[str, str], Files, tuple[str, int | None, str]]] = {
    "a plate without a label": (
        ("lprnet", "character_recognition"),
        {"image/1.jpg": IMAGE, "image/2.jpg": IMAGE, "label/1.txt": "A", "characters.txt": "A"},
        ("image/2.jpg", None, "There is no label label/2.txt for this image."),
    ),
    "a plate in two lines": (
        ("lprnet", "character_recognition"),
        {"image/1.jpg": IMAGE, "label/1.txt": "A\nB\n", "characters.txt": "A\nB"},
        ("label/1.txt", 2, "A label has one line: the characters of the plate."),
    ),
    "a character that is not listed": (
        ("lprnet", "character_recognition"),
        {"image/1.jpg": IMAGE, "label/1.txt": "AZ", "characters.txt": "A"},
        ("label/1.txt", 1, "The character 'Z' is not among those listed."),
    ),
    "a changed image that is not in B": (
        ("visual_changenet_segment", "visual_changenet"),
        {
            "A/1.png": IMAGE,
            "A/2.png": IMAGE,
            "B/1.png": IMAGE,
            "label/1.png": IMAGE,
            "list/train.txt": "1.png\n2.png\n",
        },
        ("list/train.txt", 2, "2.png is not in B/."),
    ),
    "a changed image outside": (
        ("visual_changenet_segment", "visual_changenet"),
        {"A/1.png": IMAGE, "B/1.png": IMAGE, "label/1.png": IMAGE, "list/train.txt": "../../x.png\n"},
        ("list/train.txt", 1, "../../x.png is not in A/."),
    ),
    "pairs without a golden one": (
        ("visual_changenet_classify", "visual_changenet"),
        {"images/a/1.jpg": IMAGE, "dataset.csv": "input_path,label,object_name\na,b,c\n"},
        ("dataset.csv", 1, "There is no column golden_path."),
    ),
    "corners that are no numbers": (
        ("train", "ocdnet"),
        {"train/img/1.jpg": IMAGE, "train/gt/gt_1.txt": CORNERS + "1,2,3,4,x,6,7,8,text\n"},
        (
            "train/gt/gt_1.txt",
            2,
            "The line must be the eight numbers of four corners and a text, with commas.",
        ),
    ),
    "an image without corners": (
        ("train", "ocdnet"),
        {"train/img/1.jpg": IMAGE, "train/img/2.jpg": IMAGE, "train/gt/gt_1.txt": CORNERS},
        ("train/img/2.jpg", None, "There is no label train/gt/gt_2.txt for this image."),
    ),
    "a scan that is not there": (
        ("monai", "semantic_segmentation"),
        {"dataset.json": json.dumps(DATALIST), "imagesTr/1.nii.gz": "x"},
        ("dataset.json", None, "The file labelsTr/1.nii.gz is not there."),
    ),
    "a scan outside": (
        ("monai", "semantic_segmentation"),
        {"dataset.json": json.dumps({"training": [{"image": "/etc/x.nii"}]})},
        ("dataset.json", None, "/etc/x.nii is outside of the dataset's folder."),
    ),
    "a list that is no JSON": (
        ("monai", "semantic_segmentation"),
        {"dataset.json": '{"training":\n[}'},
        ("dataset.json", 2, "This is not valid JSON."),
    ),
    "a list without samples": (
        ("monai", "semantic_segmentation"),
        {"dataset.json": "{}"},
        ("dataset.json", None, 'There are no samples: expected lists of {"image": ..., "label": ...}.'),
    ),
    "a broken image": (
        ("coco_raw", "object_detection"),
        {"images/1.jpg": b"x", "label_map.txt": "cat"},
        ("images/1.jpg", None, "This is no image that can be read."),
    ),
}


def filled(files: Files, picture: Any) -> Files:
    return {path: picture(kind="JPEG") if content is IMAGE else content for path, content in files.items()}


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, number) for kind, all_of_it in GOOD.items() for number in range(len(all_of_it))],
)
def test_a_good_one(kind, number, checked, picture):
    format, type = kind
    run = checked(filled(GOOD[kind][number], picture), type, format)
    assert run.first is None, run.first


@pytest.mark.parametrize("kind", GOOD, ids=" ".join)
def test_each_part_that_is_needed_is_missed_by_its_name(kind, checked, picture):
    format, type = kind
    layout = LAYOUTS.get(kind) or LAYOUTS[format, ""]
    for need in layout.needs:
        run = checked({"readme.txt": "x"}, type, format)
        assert run.first is not None
        messages = [
            line for line in run.text.splitlines()[:-1] if f"There is no {need}, which a dataset of" in line
        ]
        assert len(messages) == 1


@pytest.mark.parametrize("name", BROKEN)
def test_tells_what_is_wrong(name, checked, picture):
    (format, type), files, expected = BROKEN[name]
    assert checked(filled(files, picture), type, format).first == expected


def test_every_layout_has_a_good_example():
    known = {(format, type) for format, type in GOOD} | {(format, "") for format, _ in GOOD}
    assert set(LAYOUTS) <= known
