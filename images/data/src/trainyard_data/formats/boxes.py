"""Images and the objects marked in them, the same for coco, kitti and pascal_voc.

Separate because a conversion reads one of them and writes another. Sizes and places are pixels; the upper left corner
of the image is (0, 0), and a box from x with a width covers x up to x + width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: How far a box may stick out: labels are rounded, and some count pixels from 1.
SLACK = 1.0


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its path inside the dataset's folder, and its size, which is None where the label does not say it."""

    path: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """One marked object. `truncated` is a share of 0 to 1; `occluded` is kitti's 0 to 3.

    `extra` is what only one format knows: kitti's figures in space (`alpha`, `dimensions`, `location`,
    `rotation_y`, `score`), coco's `segmentation`, `keypoints` and `iscrowd`, pascal_voc's `pose`.
    """

    category: str
    x: float
    y: float
    width: float
    height: float
    truncated: float = 0.0
    occluded: int = 0
    difficult: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What one label file (kitti, pascal_voc) or one entry of it (coco) says of one image.

    `lines` are those of the boxes, one each. `split` is train, val, ... where the layout tells.
    """

    file: str
    line: int | None
    image: Image
    boxes: tuple[Box, ...]
    lines: tuple[int | None, ...]
    split: str | None = None


def outside(box: Box, width: int, height: int) -> str | None:
    """What is wrong with the place of a box in an image of this size, as a sentence; None if nothing."""
    if box.width <= 0 or box.height <= 0:
        return f"The box of {box.category!r} has no area: it is {box.width:g} wide and {box.height:g} high."
    if (
        box.x < -SLACK
        or box.y < -SLACK
        or box.x + box.width > width + SLACK
        or box.y + box.height > height + SLACK
    ):
        return (
            f"The box of {box.category!r} ({box.x:g}, {box.y:g} to {box.x + box.width:g}, {box.y + box.height:g}) "
            f"is outside of its image, which is {width} x {height}."
        )
    return None
