"""The other layouts: which files and folders the documentation of their makers names.

Separate from the formats that are read in full: here it is known only what must be there. They are those of the TAO
toolkit (its pages "Data Annotation Format" and "Dataset Info") and of its API's check after an upload.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trainyard_data.tree import Tree


@dataclass(frozen=True, slots=True)
class Need:
    """Something that must be there: one of some patterns. One that ends in `/` is a folder with a file in it.

    `*` stands for any part of one name.
    """

    patterns: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.patterns)


@dataclass(frozen=True, slots=True)
class Layout:
    """What one kind of dataset consists of. `about` names it in a message."""

    about: str
    needs: tuple[Need, ...]


def _layout(about: str, *needs: str) -> Layout:
    """Alternatives of one need are separated by `|`."""
    return Layout(about, tuple(Need(tuple(need.split("|"))) for need in needs))


#: By format and type; a type that is not named has the entry of an empty type, if there is one.
LAYOUTS: dict[tuple[str, str], Layout] = {
    ("lprnet", ""): _layout(
        "lprnet", "image/|images/", "label/|labels/", "characters.txt|characters_list.txt|*_characters.txt"
    ),
    ("coco_raw", ""): _layout("coco_raw", "images/", "label_map.txt"),
    ("visual_changenet_segment", ""): _layout("visual_changenet_segment", "A/", "B/", "label/", "list/"),
    ("visual_changenet_classify", ""): _layout(
        "visual_changenet_classify", "images/", "dataset.csv|labels/*.csv|*.csv"
    ),
    ("custom", "image_classification"): _layout(
        "custom image_classification", "images*/", "train.csv|val.csv"
    ),
    ("custom", "multi_label_classification"): _layout(
        "custom multi_label_classification", "images*/", "train.csv|val.csv"
    ),
    ("train", "ocdnet"): _layout("ocdnet train", "train/img/|img/", "train/gt/|gt/"),
    ("test", "ocdnet"): _layout("ocdnet test", "test/img/|img/", "test/gt/|gt/"),
    ("train", "ocrnet"): _layout("ocrnet train", "train/", "character_list"),
    ("test", "ocrnet"): _layout("ocrnet test", "test/", "character_list"),
    ("monai", ""): _layout("monai", "manifest.json|dataset.json|*.json"),
    ("default", "ocdnet"): _layout("ocdnet", "train/img/|test/img/|img/", "train/gt/|test/gt/|gt/"),
    ("default", "ocrnet"): _layout("ocrnet", "train/|test/", "character_list"),
    ("default", "optical_inspection"): _layout("optical_inspection", "images/", "dataset.csv|labels/*.csv"),
    ("default", "pointpillars"): _layout(
        "pointpillars", "train/label/|val/label/|label/", "train/lidar/|val/lidar/|lidar/"
    ),
    ("default", "pose_classification"): _layout(
        "pose_classification", "train_data.npy|*/train_data.npy", "train_label.pkl|*/train_label.pkl"
    ),
    ("default", "re_identification"): _layout(
        "re_identification",
        "sample_train/|bounding_box_train/",
        "sample_test/|bounding_box_test/",
        "sample_query/|query/",
    ),
    ("default", "action_recognition"): _layout("action_recognition", "train/|test/"),
    ("default", "centerpose"): _layout("centerpose", "train/|val/|test/"),
    ("default", "bpnet"): _layout(
        "bpnet", "annotations/person_keypoints_*.json", "train2017/|val2017/|images/"
    ),
    ("default", "fpenet"): _layout("fpenet", "data/|afw/", "data.json|data/*.json|data/*/*.json|*.json"),
    ("default", "ml_recog"): _layout(
        "ml_recog",
        "known_classes/|*/known_classes/|*/*/known_classes/|train/",
        "unknown_classes/|*/unknown_classes/|*/*/unknown_classes/|val/|test/|reference/",
    ),
}


def layout_of(format: str, type: str) -> Layout | None:
    return LAYOUTS.get((format, type)) or LAYOUTS.get((format, ""))


def base_of(tree: Tree, layout: Layout) -> str:
    """The folder in which the layout begins: the root, or the one folder that everything is in."""
    top = tree.top()
    if (
        len(top) == 1
        and not tree.folders.get("")
        and len(list(missing(tree, layout, top[0]))) < len(layout.needs)
    ):
        inner = len(list(missing(tree, layout, top[0])))
        return top[0] if inner < len(list(missing(tree, layout, ""))) else ""
    return ""


def missing(tree: Tree, layout: Layout, base: str) -> Iterator[Need]:
    """What is needed and not there."""
    for need in layout.needs:
        if not any(_matches(tree, f"{base}/{pattern}" if base else pattern) for pattern in need.patterns):
            yield need


def _matches(tree: Tree, pattern: str) -> bool:
    if "*" not in pattern and not pattern.endswith("/"):
        return pattern in tree
    expression = re.compile(
        re.escape(pattern).replace(r"\*", "[^/]*") + ("" if pattern.endswith("/") else "$")
    )
    if pattern.endswith("/"):
        return any(expression.match(folder + "/") for folder in tree.folders)
    return any(expression.match(entry.path) for entry in tree.files)
