"""KITTI: one text file an image, one object a line, of 15 columns (16 with a score).

type truncated occluded alpha left top right bottom height width length x y z rotation_y, as the devkit's readme of
the KITTI object benchmark tells. Labels are in labels/ (or label_2/), images in images/ (or image_2/) beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trainyard_data.findings import BadData, Findings
from trainyard_data.formats.boxes import Box, Image, Labelled
from trainyard_data.formats.images import is_image
from trainyard_data.formats.lines import lines
from trainyard_data.tree import Tree, by_stem, split_of, stem

LABEL_FOLDERS = ("labels", "label_2", "label", "labels_2")
IMAGE_FOLDERS = ("images", "image_2", "image", "images_2", "imgs")
COLUMNS = 15
_WITH_SCORE = 16
#: Types of which nothing is marked: the regions that are not to be counted.
NOT_CARED_FOR = "DontCare"
_NAMES = [
    "truncated",
    "occluded",
    "alpha",
    "left",
    "top",
    "right",
    "bottom",
    "height",
    "width",
    "length",
    "x",
    "y",
    "z",
    "rotation_y",
    "score",
]


@dataclass(frozen=True, slots=True)
class Pair:
    """A folder of labels and the one of their images; `labels` is None for images without labels (a test set)."""

    labels: str | None
    images: str
    split: str | None


def pairs(tree: Tree) -> list[Pair]:
    """The folders, in the order of their paths."""
    found: list[Pair] = []
    for folder in sorted(tree.folders):
        name = folder.rpartition("/")[2]
        if name.lower() not in IMAGE_FOLDERS and not _is_split_inside(folder, IMAGE_FOLDERS):
            continue
        if not any(is_image(one) for one in tree.folders[folder]):
            continue
        found.append(Pair(_labels_of(tree, folder), folder, split_of(folder + "/x")))
    return found


def read(tree: Tree, findings: Findings) -> Iterator[Labelled]:
    """Every image that has labels, with its boxes. A label without image and an image without label are findings."""
    found = pairs(tree)
    if not found:
        findings.add(
            ".", None, "There is no folder images/ with images: kitti has images/ and labels/ beside it."
        )
    for pair in found:
        yield from _read_pair(tree, pair, findings)


def _read_pair(tree: Tree, pair: Pair, findings: Findings) -> Iterator[Labelled]:
    names = by_stem(pair.images, filter(is_image, tree.folders[pair.images]), findings)
    images = {name: f"{pair.images}/{file}" for name, file in names.items()}
    if pair.labels is None:
        if (pair.split or "").lower() not in ("test", "testing"):
            findings.add(pair.images, None, "There is no folder labels/ beside these images.")
        return
    unlabelled = dict(images)
    for name in tree.folders[pair.labels]:
        if not name.lower().endswith(".txt"):
            continue
        path = f"{pair.labels}/{name}"
        image = unlabelled.pop(stem(name), None)
        if image is None:
            findings.add(path, None, f"There is no image {stem(name)} in {pair.images}/.")
            continue
        boxes: list[Box] = []
        where: list[int | None] = []
        try:
            for number, text in lines(tree, path):
                if not text.strip():
                    continue
                try:
                    boxes.append(parsed(text))
                    where.append(number)
                except ValueError as error:
                    findings.add(path, number, str(error))
        except BadData as error:
            findings.bad(error)
        yield Labelled(
            file=path, line=None, image=Image(image), boxes=tuple(boxes), lines=tuple(where), split=pair.split
        )
    for image in unlabelled.values():
        findings.add(image, None, f"There is no label for this image in {pair.labels}/.")


def parsed(text: str) -> Box:
    """The object that a line tells. Raises ValueError, a sentence."""
    words = text.split()
    if len(words) not in (COLUMNS, _WITH_SCORE):
        raise ValueError(f"The line has {len(words)} columns, not {COLUMNS}.")
    values: dict[str, float] = {}
    for name, word in zip(_NAMES, words[1:], strict=False):
        try:
            values[name] = float(word)
        except ValueError:
            raise ValueError(f"Column {name} is {word[:40]!r}, which is no number.") from None
        if not math.isfinite(values[name]):
            raise ValueError(f"Column {name} is {word[:40]!r}, which is no finite number.")
    return Box(
        category=words[0],
        x=values["left"],
        y=values["top"],
        width=values["right"] - values["left"],
        height=values["bottom"] - values["top"],
        truncated=max(0.0, values["truncated"]),
        occluded=int(values["occluded"]),
        extra={
            "alpha": values["alpha"],
            "dimensions": (values["height"], values["width"], values["length"]),
            "location": (values["x"], values["y"], values["z"]),
            "rotation_y": values["rotation_y"],
            **({"score": values["score"]} if "score" in values else {}),
        },
    )


def _labels_of(tree: Tree, images: str) -> str | None:
    """The folder of labels that belongs to a folder of images: the same path with another name in it."""
    parts = images.split("/")
    for place in range(len(parts) - 1, -1, -1):
        if parts[place].lower() in IMAGE_FOLDERS:
            for name in LABEL_FOLDERS:
                folder = "/".join([*parts[:place], name, *parts[place + 1 :]])
                if folder in tree.folders:
                    return folder
    return None


def _is_split_inside(folder: str, names: tuple[str, ...]) -> bool:
    """Whether it is images/train and the like."""
    above, _, name = folder.rpartition("/")
    return above.rpartition("/")[2].lower() in names and split_of(name + "/x") is not None
