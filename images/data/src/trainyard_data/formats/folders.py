"""Images in one folder a class, such as train/cat/0001.jpg: classification.

Separate from `layouts`, which checks only that files are there: here the folders are the annotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainyard_data.findings import Findings
from trainyard_data.formats.images import UNREAD_SUFFIXES, is_image
from trainyard_data.tree import Tree, split_of

#: Folders that hold the classes and are none.
_HOLDERS = ("images", "images_train", "images_val", "images_test", "data", "dataset")


@dataclass(frozen=True, slots=True)
class Classified:
    """An image and its class; `category` is empty for images of a test set that are in no class's folder."""

    path: str
    category: str
    split: str | None


def read(tree: Tree, findings: Findings) -> Iterator[Classified]:
    """Every image with its class. Images in no class's folder are findings, but for those to be predicted."""
    count = 0
    for entry in tree.files:
        if entry.path.lower().endswith(UNREAD_SUFFIXES):
            findings.add(entry.path, None, "Pictures of this kind are not read: save it as JPEG or PNG.")
        if not is_image(entry.path):
            continue
        count += 1
        split, category = class_of(entry.path)
        if not category and (split or "").lower() not in ("test", "testing"):
            findings.add(entry.path, None, "The image is in no class's folder, such as train/cat/0001.jpg.")
            continue
        yield Classified(entry.path, category, split)
    if not count:
        findings.add(
            ".", None, "There are no images: expected one folder a class, such as train/cat/0001.jpg."
        )


def class_of(path: str) -> tuple[str | None, str]:
    """Split and class of an image by its folders: the innermost is its class, if it is no split and no holder."""
    folders = path.split("/")[:-1]
    split = split_of(path) or next(
        (part.removeprefix("images_") for part in folders if part.lower() in _HOLDERS and "_" in part), None
    )
    if not folders or folders[-1].lower() in _HOLDERS or folders[-1] == split:
        return split, ""
    return split, folders[-1]
