"""What the writers of coco, kitti and pascal_voc have in common: where an image goes, and what they are asked.

Separate because a conversion, an augmentation and a split write through the same few calls.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_data.actions.losses import Losses
from trainyard_data.formats.boxes import Box
from trainyard_data.formats.images import Picture
from trainyard_data.writers.placing import Names

#: Other words for the parts that the data comes in.
_PARTS = {"training": "train", "valid": "val", "validation": "val", "eval": "val", "testing": "test"}
#: What only some formats know of an object, and the word for it in a report.
_FIGURES = ("alpha", "dimensions", "location", "rotation_y")
#: How kitti says that a figure in space is not known.
_UNKNOWN = frozenset({0.0, -1.0, -10.0, -1000.0})


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an image of the new dataset is: part, folder and file name."""

    part: str | None
    folder: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name


class Writer(abc.ABC):
    """Writes one dataset of annotated images to `root`; the image files themselves are for the caller to write."""

    def __init__(self, root: Path, categories: Sequence[Mapping[str, Any]], losses: Losses) -> None:
        self.root = root
        self.categories = categories
        self.losses = losses
        self._names = Names()

    @abc.abstractmethod
    def folder(self, part: str | None) -> str:
        """The folder of the images of a part."""

    def spot(self, part: str | None, path: str, *, mark: str = "") -> Spot:
        """Where the image that is at `path` of the old dataset goes."""
        part = canonical(part)
        folder = self.folder(part)
        return Spot(part, folder, self._names.name(folder, path, mark=mark))

    @abc.abstractmethod
    def add(self, spot: Spot, picture: Picture, boxes: Sequence[Box]) -> None:
        """The label of an image."""

    @abc.abstractmethod
    def close(self) -> None:
        """Write what comes at the end."""


def canonical(part: str | None) -> str | None:
    """train, val or test for its other names."""
    return _PARTS.get(part.lower(), part.lower()) if part else None


def figures_in_space(box: Box) -> bool:
    """Whether something is known of the object in space."""
    for name in _FIGURES:
        value = box.extra.get(name)
        values = value if isinstance(value, tuple | list) else () if value is None else (value,)
        if any(float(one) not in _UNKNOWN for one in values):
            return True
    return False


def number(value: float) -> int | float:
    """Whole numbers without a point, others to the millionth of a pixel."""
    rounded = round(value, 6)
    return int(rounded) if rounded.is_integer() else rounded
