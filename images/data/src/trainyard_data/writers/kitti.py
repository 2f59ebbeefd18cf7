"""KITTI: images/ and labels/, below a folder for each part; one line an object, of 15 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainyard_data.actions.losses import Losses
from trainyard_data.actions.problems import Refused
from trainyard_data.formats.boxes import Box
from trainyard_data.formats.images import Picture
from trainyard_data.writers.annotated import Spot, Writer, number

_LOST = (
    ("segmentation", "The outlines of {count} objects are left out."),
    ("keypoints", "The keypoints of {count} objects are left out."),
    ("iscrowd", "That {count} objects are crowds is left out."),
    ("pose", "The pose of {count} objects is left out."),
)


class KittiWriter(Writer):
    """Raises Refused for categories that would have the same name without their spaces."""

    def __init__(self, root: Path, categories: Sequence[Mapping[str, Any]], losses: Losses) -> None:
        super().__init__(root, categories, losses)
        self._called: dict[str, str] = {}
        for category in categories:
            name = str(category["name"])
            called = "_".join(name.split())
            if called in self._called.values():
                raise Refused(
                    f'In kitti a type is one word: "{name}" and another category would both be "{called}".'
                )
            if called != name:
                losses.add(f'The category "{name}" is called "{called}", as in kitti a type is one word.')
            self._called[name] = called
        self._used: set[str] = set()

    def folder(self, part: str | None) -> str:
        return f"{part}/images" if part else "images"

    def add(self, spot: Spot, picture: Picture, boxes: Sequence[Box]) -> None:
        path = self.root / (spot.part or "") / "labels" / f"{spot.stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{self._line(box)}\n" for box in boxes), encoding="utf-8")

    def close(self) -> None:
        unused = [str(c["name"]) for c in self.categories if str(c["name"]) not in self._used]
        if unused:
            self.losses.add(f"Categories without an object are left out: {', '.join(unused)}.")

    def _line(self, box: Box) -> str:
        self._used.add(box.category)
        extra = box.extra
        for key, sentence in _LOST:
            if extra.get(key):
                self.losses.add(sentence)
        if box.difficult:
            self.losses.add("That {count} objects are difficult is left out.")
        figures = (
            *(box.x, box.y, box.x + box.width, box.y + box.height),
            *extra.get("dimensions", (0, 0, 0)),
            *extra.get("location", (0, 0, 0)),
            extra.get("rotation_y", 0),
            *((extra["score"],) if isinstance(extra.get("score"), int | float) else ()),
        )
        words = (
            self._called.get(box.category, box.category),
            _text(box.truncated),
            str(box.occluded),
            _text(extra.get("alpha", 0)),
            *map(_text, figures),
        )
        return " ".join(words)


def _text(value: float) -> str:
    """With two decimals, as the devkit has them, and more only where there are more."""
    return f"{value:.2f}" if round(value, 2) == round(value, 6) else str(number(value))
