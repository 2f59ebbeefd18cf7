"""Pascal VOC: Annotations/, JPEGImages/, and the parts in ImageSets/Main/. Pixels count from 1, corners are whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from trainyard_data.actions.losses import Losses
from trainyard_data.actions.problems import Refused
from trainyard_data.formats.boxes import Box
from trainyard_data.formats.images import Picture
from trainyard_data.writers.annotated import Spot, Writer, figures_in_space

_DEPTHS = {"1": 1, "L": 1, "I": 1, "F": 1, "I;16": 1, "LA": 2, "RGBA": 4, "CMYK": 4}
_LOST = (
    ("segmentation", "The outlines of {count} objects are left out."),
    ("keypoints", "The keypoints of {count} objects are left out."),
    ("iscrowd", "That {count} objects are crowds is left out."),
    ("score", "The score of {count} objects is left out."),
)


class PascalVocWriter(Writer):
    """Raises Refused for a category whose name XML cannot hold."""

    def __init__(self, root: Path, categories: Sequence[Mapping[str, Any]], losses: Losses) -> None:
        super().__init__(root, categories, losses)
        for category in categories:
            if any(ord(letter) < 32 for letter in str(category["name"])):
                raise Refused(f"The category {category['name']!r} has letters that pascal_voc cannot hold.")
        self._used: set[str] = set()
        self._parts: dict[str, list[str]] = {}

    def folder(self, part: str | None) -> str:
        return "JPEGImages"

    def spot(self, part: str | None, path: str, *, mark: str = "") -> Spot:
        # NB: in ImageSets a name is one word, and XML takes no control characters.
        path = "".join(letter if ord(letter) >= 32 else "_" for letter in path)
        return super().spot(part, "_".join(path.split()), mark=mark)

    def add(self, spot: Spot, picture: Picture, boxes: Sequence[Box]) -> None:
        if spot.part:
            self._parts.setdefault(spot.part, []).append(spot.stem)
        path = self.root / "Annotations" / f"{spot.stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            "<annotation>",
            "  <folder>JPEGImages</folder>",
            f"  <filename>{escape(spot.name)}</filename>",
            f"  <size><width>{picture.width}</width><height>{picture.height}</height>"
            f"<depth>{_DEPTHS.get(picture.mode, 3)}</depth></size>",
            "  <segmented>0</segmented>",
            *(self._object(box, picture) for box in boxes),
            "</annotation>",
            "",
        ]
        path.write_text("\n".join(lines), encoding="utf-8")

    def close(self) -> None:
        for part, names in self._parts.items():
            path = self.root / "ImageSets" / "Main" / f"{part}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        unused = [str(c["name"]) for c in self.categories if str(c["name"]) not in self._used]
        if unused:
            self.losses.add(f"Categories without an object are left out: {', '.join(unused)}.")

    def _object(self, box: Box, picture: Picture) -> str:
        self._used.add(box.category)
        for key, sentence in _LOST:
            if box.extra.get(key):
                self.losses.add(sentence)
        if figures_in_space(box):
            self.losses.add("The figures in space of {count} objects are left out.")
        if box.truncated not in (0.0, 1.0) or box.occluded > 1:
            self.losses.add("How much of {count} objects is hidden is only kept as yes or no.")
        left, top, right, bottom = corners(box, picture)
        if (left - 1, top - 1, right, bottom) != (box.x, box.y, box.x + box.width, box.y + box.height):
            self.losses.add("The corners of {count} boxes are rounded to whole pixels.")
        pose = box.extra.get("pose") or (box.extra.get("attributes") or {}).get("pose") or "Unspecified"
        return (
            f"  <object><name>{escape(box.category)}</name><pose>{escape(str(pose))}</pose>"
            f"<truncated>{int(box.truncated > 0)}</truncated><occluded>{int(box.occluded > 0)}</occluded>"
            f"<difficult>{int(box.difficult)}</difficult>"
            f"<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        )


def corners(box: Box, picture: Picture) -> tuple[int, int, int, int]:
    """First and last pixel of each direction, counted from 1, inside the image and never none."""
    left = min(max(1, round(box.x) + 1), picture.width)
    top = min(max(1, round(box.y) + 1), picture.height)
    right = min(max(left, round(box.x + box.width)), picture.width)
    bottom = min(max(top, round(box.y + box.height)), picture.height)
    return left, top, right, bottom
