"""COCO: annotations/instances_<part>.json and images/<part>/, or annotations.json and images/ without parts.

Written while it is read: memory does not grow with the number of annotations.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from trainyard_data.actions.losses import Losses
from trainyard_data.formats.boxes import Box
from trainyard_data.formats.images import Picture
from trainyard_data.writers.annotated import Spot, Writer, figures_in_space, number

_TAKEN_OVER = ("segmentation", "keypoints", "num_keypoints")


class CocoWriter(Writer):
    """`categories` are those of the file as they shall stand in it, with id and name."""

    def __init__(self, root: Path, categories: Sequence[Mapping[str, Any]], losses: Losses) -> None:
        super().__init__(root, categories, losses)
        self._ids = {str(category["name"]): category["id"] for category in categories}
        self._files: dict[str | None, _File] = {}

    def folder(self, part: str | None) -> str:
        return f"images/{part}" if part else "images"

    def add(self, spot: Spot, picture: Picture, boxes: Sequence[Box]) -> None:
        file = self._files.get(spot.part)
        if file is None:
            name = f"annotations/instances_{spot.part}.json" if spot.part else "annotations.json"
            file = self._files[spot.part] = _File(self.root / name)
        image = file.image(
            {"file_name": spot.name, "width": picture.width, "height": picture.height},
        )
        for box in boxes:
            if figures_in_space(box):
                self.losses.add("The figures in space of {count} objects are left out.")
            file.annotation({"image_id": image, "category_id": self._ids[box.category], **annotation_of(box)})

    def close(self) -> None:
        for file in self._files.values():
            file.close(self.categories)


def annotation_of(box: Box) -> dict[str, Any]:
    """What coco says of a box besides the ids."""
    told = box.extra.get("attributes")
    attributes = dict(told) if isinstance(told, dict) else {}
    for name, value in (
        ("truncated", number(box.truncated)),
        ("occluded", box.occluded),
        ("difficult", box.difficult),
        ("pose", box.extra.get("pose")),
        ("score", box.extra.get("score")),
    ):
        if value:
            attributes[name] = value
        else:
            attributes.pop(name, None)
    area = box.extra.get("area")
    return {
        "bbox": [number(box.x), number(box.y), number(box.width), number(box.height)],
        # NB: tools that calculate it write NaN, too, which is no JSON.
        "area": area
        if isinstance(area, int | float) and math.isfinite(area)
        else number(box.width * box.height),
        "iscrowd": box.extra.get("iscrowd", 0),
        **{key: box.extra[key] for key in _TAKEN_OVER if key in box.extra},
        **({"attributes": attributes} if attributes else {}),
    }


class _File:
    """One annotation file; annotations are kept beside it until the images are all there."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rest = path.with_name(f".{path.name}.annotations")
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._annotations: IO[str] = self._rest.open("w+", encoding="utf-8")
        self._images = self._count = 0
        self._file.write('{"images": [')

    def image(self, entry: Mapping[str, Any]) -> int:
        self._images += 1
        self._file.write(f"{',' if self._images > 1 else ''}\n{_json({'id': self._images, **entry})}")
        return self._images

    def annotation(self, entry: Mapping[str, Any]) -> None:
        self._count += 1
        self._annotations.write(f"{',' if self._count > 1 else ''}\n{_json({'id': self._count, **entry})}")

    def close(self, categories: Sequence[Mapping[str, Any]]) -> None:
        self._file.write('\n], "annotations": [')
        self._annotations.seek(0)
        shutil.copyfileobj(self._annotations, self._file, 1 << 20)
        self._annotations.close()
        self._rest.unlink()
        listed = ",\n".join(_json(category) for category in categories)
        self._file.write(f'\n], "categories": [\n{listed}\n]}}\n')
        self._file.close()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
