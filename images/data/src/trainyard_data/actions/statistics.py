"""Figures of a dataset beyond its profile: how values and sizes are spread.

Separate from the profile, which every check makes: these are for a report, and take another reading of the data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainyard_data.actions.reporting import Progress
from trainyard_data.actions.source import Source, classified, labelled, masked, table_batches, table_files
from trainyard_data.columns import Column
from trainyard_data.findings import BadData
from trainyard_data.formats import kitti
from trainyard_data.formats.images import with_pictures

#: COCO's own limits of small and large objects, in pixels (32 x 32 and 96 x 96).
_SMALL, _LARGE = 32**2, 96**2
_MOST_VALUES = 50
_MOST_KEPT = 20_000
_PLOTTED_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars: how often what."""

    title: str
    bars: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Statistics:
    """`figures` are for programs, `charts` for people."""

    figures: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)


def of_table(source: Source, columns: Mapping[str, Column], *, bins: int, progress: Progress) -> Statistics:
    """Mean, deviation and histogram of columns of numbers, the frequent values of others."""
    watched = [_Watched(column, bins) for column in list(columns.values())[:_PLOTTED_COLUMNS]]
    for path in table_files(source):
        for batch in table_batches(source, path):
            for one in watched:
                if one.column.name in batch.schema.names:
                    one.add(batch.column(one.column.name))
            progress.step(batch.num_rows)
    found = Statistics()
    for one in watched:
        figures, chart = one.told()
        if figures:
            found.figures[one.column.name] = figures
        if chart is not None:
            found.charts.append(chart)
    return found


def of_boxes(source: Source, *, bins: int, progress: Progress) -> Statistics:
    """Sizes of images and objects, and how many objects an image has."""
    sizes = _Sizes()
    per_image: Counter[int] = Counter()
    scales: Counter[str] = Counter(small=0, medium=0, large=0)
    images_with: Counter[str] = Counter()
    area: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for one, picture in labelled(source):
        sizes.add(picture.width, picture.height)
        boxes = [box for box in one.boxes if box.category != kitti.NOT_CARED_FOR or source.format != "kitti"]
        per_image[len(boxes)] += 1
        images_with.update({box.category for box in boxes})
        for box in boxes:
            pixels = box.width * box.height
            scales["small" if pixels < _SMALL else "large" if pixels > _LARGE else "medium"] += 1
            count[box.category] += 1
            # NB: in millionths, as counters are whole.
            area[box.category] += round(1e6 * pixels / (picture.width * picture.height))
        progress.step()
    classes = {
        name: {
            "objects": count[name],
            "images": images_with[name],
            "meanShareOfImage": area[name] / 1e6 / count[name],
        }
        for name, _ in count.most_common(_MOST_VALUES)
    }
    return Statistics(
        {
            "imagesWithoutObjects": per_image[0],
            "objectsPerImage": sum(k * n for k, n in per_image.items()) / max(1, sum(per_image.values())),
            "objectSizes": dict(scales),
            "classes": classes,
            "imageSizes": sizes.figures(),
        },
        [
            Chart("Objects per image", _spread(per_image, bins)),
            Chart("Objects by size", tuple(scales.items())),
            *sizes.charts(bins),
        ],
    )


def of_images(source: Source, *, bins: int, progress: Progress) -> Statistics:
    """Sizes of the images of classes or masks, and classes by part."""
    sizes = _Sizes()
    parts: dict[str, Counter[str]] = {}
    items = (
        ((one.path, one.split, one.category) for one in classified(source))
        if source.kind == "folders"
        else ((one.image, one.split, "") for one in masked(source))
    )
    for (_, split, category), picture in with_pictures(source.tree, items, lambda item: item[0]):
        if picture is None or isinstance(picture, BadData):
            continue
        sizes.add(picture.width, picture.height)
        if category:
            parts.setdefault(split or "all", Counter())[category] += 1
        progress.step()
    classes = {part: dict(found.most_common(_MOST_VALUES)) for part, found in parts.items()}
    return Statistics({"imageSizes": sizes.figures(), "classesByPart": classes}, sizes.charts(bins))


class _Watched:
    """One column on its second reading."""

    def __init__(self, column: Column, bins: int) -> None:
        self.column = column
        spread = math.isfinite(column.least) and math.isfinite(column.most) and column.least < column.most
        self._numeric = column.type == "number"
        self._edges = np.linspace(column.least, column.most, bins + 1) if self._numeric and spread else None
        self._bars = np.zeros(bins, dtype=np.int64)
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._values: Counter[str] | None = Counter()
        self._few = column.distinct is not None and len(column.distinct) <= _MOST_VALUES

    def add(self, values: pa.Array) -> None:
        if isinstance(values.type, pa.DictionaryType):
            values = values.dictionary_decode()
        if self._numeric:
            self._add_numbers(values)
        elif self._few and not pa.types.is_nested(values.type):
            text = pc.cast(values, pa.string()) if not pa.types.is_string(values.type) else values
            for one in pc.value_counts(text).to_pylist():
                if one["values"] not in (None, ""):
                    assert self._values is not None
                    self._values[str(one["values"])] += one["counts"]

    def told(self) -> tuple[dict[str, Any], Chart | None]:
        name = self.column.name
        if self._numeric and self._count:
            mean = self._sum / self._count
            deviation = math.sqrt(max(0.0, self._squares / self._count - mean * mean))
            figures: dict[str, Any] = {
                "mean": mean,
                "standardDeviation": deviation,
                "missing": self.column.missing,
            }
            if self._edges is None:
                return figures, None
            figures |= {"edges": self._edges.tolist(), "counts": self._bars.tolist()}
            bars = tuple((f"{edge:.4g}", int(n)) for edge, n in zip(self._edges, self._bars, strict=False))
            return figures, Chart(f"{name} (from ... on)", bars)
        if self._values:
            frequent = tuple(self._values.most_common(_MOST_VALUES))
            return {"values": dict(frequent), "missing": self.column.missing}, Chart(name, frequent)
        return {}, None

    def _add_numbers(self, values: pa.Array) -> None:
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            trimmed = pc.utf8_ltrim(pc.utf8_trim_whitespace(values), characters="+")
            is_number = pc.match_substring_regex(trimmed, r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
            values = trimmed.filter(is_number)
        numbers = pc.cast(values.drop_null(), pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        numbers = numbers[np.isfinite(numbers)]
        self._count += len(numbers)
        self._sum += float(numbers.sum())
        self._squares += float((numbers**2).sum())
        if self._edges is not None and len(numbers):
            self._bars += np.histogram(numbers, bins=self._edges)[0]


class _Sizes:
    """Sizes of images; how many there are of each, up to a bound."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._others = 0

    def add(self, width: int, height: int) -> None:
        if (width, height) in self._sizes or len(self._sizes) < _MOST_KEPT:
            self._sizes[width, height] += 1
        else:
            self._others += 1

    def figures(self) -> dict[str, Any]:
        frequent = [
            {"width": width, "height": height, "images": count}
            for (width, height), count in self._sizes.most_common(10)
        ]
        return {"different": len(self._sizes), "mostFrequent": frequent}

    def charts(self, bins: int) -> list[Chart]:
        widths: Counter[int] = Counter()
        heights: Counter[int] = Counter()
        for (width, height), count in self._sizes.items():
            widths[width] += count
            heights[height] += count
        return [
            Chart("Width of the images", _spread(widths, bins)),
            Chart("Height of the images", _spread(heights, bins)),
        ]


def _spread(counts: Counter[int], bins: int) -> tuple[tuple[str, int], ...]:
    """Bars of whole numbers: one each where they are few, else ranges of equal width."""
    values = [value for value, count in counts.items() if count]
    if not values:
        return ()
    least, most = min(values), max(values)
    if most - least < bins:
        return tuple((str(value), counts[value]) for value in range(least, most + 1))
    width = math.ceil((most - least + 1) / bins)
    bars: list[tuple[str, int]] = []
    for begin in range(least, most + 1, width):
        end = min(begin + width - 1, most)
        bars.append((f"{begin}-{end}", sum(n for value, n in counts.items() if begin <= value <= end)))
    return tuple(bars)
