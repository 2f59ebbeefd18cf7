"""The dataset that an action works on: its layout, and what it holds in one shape for all layouts that are alike.

Separate because every action asks the same: what kind of data is it, and can this action work on it. Called by all
actions but `validate`, which has the check for it. Data with something wrong is refused at the first finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from trainyard_data.actions.contract import Order
from trainyard_data.actions.losses import Losses
from trainyard_data.actions.problems import Refused
from trainyard_data.checks.labels import READERS
from trainyard_data.findings import BadData, Findings
from trainyard_data.formats import folders, kitti, tables, unet
from trainyard_data.formats.boxes import Box, Image, Labelled, outside
from trainyard_data.formats.images import SUFFIXES, Picture, is_image, with_pictures
from trainyard_data.tree import Tree, listed

Kind = Literal["table", "boxes", "folders", "masks"]

_KINDS: dict[str, Kind] = {
    "csv": "table",
    "parquet": "table",
    "coco": "boxes",
    "coco_raw": "boxes",
    "kitti": "boxes",
    "pascal_voc": "boxes",
    "classification_pyt": "folders",
    "classification_tf2": "folders",
    "unet": "masks",
}
_BY_TYPE: dict[str, Kind] = {"tabular": "table", "image_classification": "folders"}
_WORDS: dict[Kind, str] = {
    "table": "tables (csv, parquet)",
    "boxes": "annotated images (coco, kitti, pascal_voc)",
    "folders": "images in one folder a class (classification_pyt, classification_tf2)",
    "masks": "images with masks (unet)",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A dataset to read. `format` is the reader's: coco for coco_raw, csv or parquet for a table of either."""

    name: str
    kind: Kind
    format: str
    tree: Tree
    findings: Findings


def opened(order: Order, *, works_on: tuple[Kind, ...]) -> Source:
    """The order's dataset. Raises Refused for one on which the action cannot work."""
    kind = _KINDS.get(order.format) or _BY_TYPE.get(order.type)
    if kind is None or kind not in works_on:
        what = f"of type {order.type or 'unknown'} and format {order.format or 'unknown'}"
        able = " and ".join(_WORDS[one] for one in works_on)
        raise Refused(f"{order.action} works on {able}; dataset {order.dataset} is {what}.")
    findings = Findings()
    tree = listed(order.folder, findings)
    source = Source(
        name=order.dataset, kind=kind, format=_reader(order, kind, tree), tree=tree, findings=findings
    )
    refuse_what_is_wrong(source)
    return source


def refuse_what_is_wrong(source: Source) -> None:
    """Raises Refused at the first finding."""
    if source.findings.first is not None:
        raise Refused(
            f"Dataset {source.name} is not valid: {source.findings.first} Mend it; the action validate tells all."
        )


def tell_unlabelled(source: Source, used: Set[str], losses: Losses) -> None:
    """Images that no label speaks of, such as those of a test set, are not in what is made of the labels."""
    left = sum(is_image(entry.path) and entry.path not in used for entry in source.tree.files)
    losses.add("{count} images that no label speaks of are left out.", left)


def labelled(source: Source) -> Iterator[tuple[Labelled, Picture]]:
    """Annotated images in the order of the reader, with what they are, each box cut to its image.

    Raises Refused at the first that is wrong.
    """
    read = READERS[source.format](source.tree, source.findings)
    for one, picture in with_pictures(source.tree, read, lambda item: item.image.path):
        refuse_what_is_wrong(source)
        if isinstance(picture, BadData):
            raise Refused(f"Dataset {source.name} is not valid: {picture}")
        assert picture is not None  # an image that is not there is a finding
        if not is_image(one.image.path):
            raise Refused(
                f"{one.image.path}: its name does not say that it is an image; it must end in {', '.join(SUFFIXES)}."
            )
        image = Image(one.image.path, picture.width, picture.height)
        kept = [(cut(_told(box), image), line) for box, line in zip(one.boxes, one.lines, strict=True)]
        for box, line in kept:
            wrong = outside(box, picture.width, picture.height)
            if wrong is not None and box.category != kitti.NOT_CARED_FOR:
                where = f"{one.file}{f', line {line}' if line else ''}"
                raise Refused(f"Dataset {source.name} is not valid: {where}: {wrong}")
        yield replace(one, image=image, boxes=tuple(box for box, _ in kept)), picture
    refuse_what_is_wrong(source)


def classified(source: Source) -> Iterator[folders.Classified]:
    """Images with the class that their folder says. Raises Refused at the first that is wrong."""
    for one in folders.read(source.tree, source.findings):
        refuse_what_is_wrong(source)
        yield one
    refuse_what_is_wrong(source)


def masked(source: Source) -> Iterator[unet.Masked]:
    """Images with their masks. Raises Refused at the first that is wrong."""
    for one in unet.read(source.tree, source.findings):
        refuse_what_is_wrong(source)
        yield one
    refuse_what_is_wrong(source)


def table_files(source: Source) -> list[str]:
    """The files of a table. Raises Refused where there is none."""
    found = tables.table_files(source.tree, source.format)
    if not found:
        raise Refused(f"Dataset {source.name} has no .csv or .parquet file.")
    return found


def table_batches(source: Source, path: str) -> Iterator[pa.RecordBatch]:
    """The rows of one file, in batches; those of a csv file are text. Raises Refused at the first that is wrong."""
    given = 0
    try:
        for batch in tables.batches(source.tree, path):
            yield batch
            given += batch.num_rows
    except tables.Inexact:
        # NB: row by row it is told what is wrong; or nothing is, and what was given already is left out.
        for batch in tables.exact_batches(source.tree, path, source.findings):
            refuse_what_is_wrong(source)
            if given >= batch.num_rows:
                given -= batch.num_rows
                continue
            yield batch.slice(given)
            given = 0
        refuse_what_is_wrong(source)


def cut(box: Box, image: Image) -> Box:
    """The box without what sticks out of its image by rounding; one that lies elsewhere stays as it is."""
    assert image.width is not None
    assert image.height is not None
    if outside(box, image.width, image.height) is not None:
        return box
    left, top = max(0.0, box.x), max(0.0, box.y)
    right, bottom = min(image.width, box.x + box.width), min(image.height, box.y + box.height)
    if (left, top, right - left, bottom - top) == (box.x, box.y, box.width, box.height):
        return box
    return replace(box, x=left, y=top, width=right - left, height=bottom - top)


def _told(box: Box) -> Box:
    """What our writer of coco says of a box in `attributes`, back in its fields."""
    told = box.extra.get("attributes")
    if not isinstance(told, dict):
        return box
    truncated, occluded, score = told.get("truncated"), told.get("occluded"), told.get("score")
    return replace(
        box,
        truncated=float(truncated) if isinstance(truncated, int | float) else box.truncated,
        occluded=int(occluded) if isinstance(occluded, int | float) and 0 <= occluded <= 3 else box.occluded,
        difficult=bool(told.get("difficult", box.difficult)),
        extra={**box.extra, "score": score} if isinstance(score, int | float) else box.extra,
    )


def _reader(order: Order, kind: Kind, tree: Tree) -> str:
    if order.format == "coco_raw":
        return "coco"
    if kind == "table" and order.format not in tables.SUFFIXES:
        csv, parquet = (tree.with_suffix(*tables.SUFFIXES[name]) for name in ("csv", "parquet"))
        if csv and parquet:
            raise Refused(f"Dataset {order.dataset} has csv and parquet files: say which in its spec.format.")
        return "parquet" if parquet else "csv"
    return order.format
