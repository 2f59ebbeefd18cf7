"""What is in the data, as the operator's API tells it (Dataset, status.profile).

Separate because every check adds to it, and the limits of the API are kept here: the first 128 columns and classes,
16 splits, names of 253 characters.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from trainyard_data.columns import COUNTED_COLUMNS, Column
from trainyard_data.findings import printable

MOST_CLASSES = 128
MOST_SPLITS = 16
#: The JSON of a profile, in bytes, so that the whole verdict stays below what is read of a log line.
LARGEST = 190 * 1024
_LONGEST_NAME = 253
_COUNTED_CLASSES = 20_000


@dataclass(slots=True)
class Profile:
    """Collected while the data is read. Counts that do not apply to a layout stay None."""

    files: int = 0
    bytes: int = 0
    rows: int | None = None
    columns: int | None = None
    images: int | None = None
    boxes: int | None = None
    target: str | None = None
    column_profiles: list[Column] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    more_classes: bool = False
    _least: tuple[int, int] | None = None
    _most: tuple[int, int] | None = None

    def add_class(self, name: str, count: int = 1) -> None:
        """NB: names are bounded, or a dataset with a class per image would fill the memory."""
        if name in self.classes or len(self.classes) < _COUNTED_CLASSES:
            self.classes[name] += count
        else:
            self.more_classes = True

    def add_split(self, name: str | None, count: int = 1) -> None:
        if name and (name in self.splits or len(self.splits) < MOST_SPLITS):
            self.splits[name] += count

    def add_image(self, width: int, height: int) -> None:
        self.images = (self.images or 0) + 1
        if self._least is None or self._most is None:
            self._least = self._most = (width, height)
        self._least = (min(self._least[0], width), min(self._least[1], height))
        self._most = (max(self._most[0], width), max(self._most[1], height))

    def summary(self) -> str:
        """One line for printing: `1797 rows, 65 columns, 10 classes`."""
        classes = f"more than {len(self.classes)}" if self.more_classes else str(len(self.classes))
        parts = [
            _counted(self.rows, "row"),
            _counted(self.columns, "column"),
            _counted(self.images, "image"),
            _counted(self.boxes, "box", "boxes"),
            _counted(len(self.classes), "class", "classes", classes) if self.classes else "",
            f"{len(self.splits)} parts" if len(self.splits) > 1 else "",
        ]
        return ", ".join(filter(None, parts)) or _counted(self.files, "file") or "no files"

    def as_api(self) -> dict[str, Any]:
        """The object of the API, its names in camelCase; absent figures are left out."""
        found: dict[str, Any] = {
            "summary": self.summary(),
            "files": self.files,
            "bytes": self.bytes,
            "rows": self.rows,
            "columns": self.columns,
            "images": self.images,
            "boxes": self.boxes,
            "target": named(self.target) if self.target else None,
            "columnProfiles": [_column(column) for column in self.column_profiles[:COUNTED_COLUMNS]],
            "classes": [
                {"name": named(name), "count": count}
                for name, count in self.classes.most_common(MOST_CLASSES)
            ],
            "splits": [{"name": named(name), "count": count} for name, count in self.splits.items()],
        }
        if self._least is not None and self._most is not None:
            found["imageSizes"] = {
                "minWidth": self._least[0],
                "maxWidth": self._most[0],
                "minHeight": self._least[1],
                "maxHeight": self._most[1],
            }
        found = {key: value for key, value in found.items() if value is not None and value != []}
        # NB: names in other scripts take up to four bytes a letter.
        while _size(found) > LARGEST:
            longest = max(("columnProfiles", "classes"), key=lambda key: _size(found.get(key, [])))
            found[longest] = found[longest][: len(found[longest]) * 3 // 4]
        return found


def named(name: str) -> str:
    """A name as the API takes it: not empty, not too long."""
    name = printable(name)
    return (name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…") or "(empty)"


def _column(column: Column) -> dict[str, Any]:
    least, most = column.extremes()
    found = {
        "name": named(column.name),
        "type": column.type,
        "missing": column.missing,
        "distinct": len(column.distinct) if column.distinct is not None and column.counts_distinct else None,
        "min": least,
        "max": most,
    }
    return {key: value for key, value in found.items() if value is not None}


def _counted(count: int | None, one: str, many: str = "", said: str = "") -> str:
    if not count:
        return ""
    return f"{said or count} {one if count == 1 else many or one + 's'}"


def _size(found: Any) -> int:
    return len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode())
