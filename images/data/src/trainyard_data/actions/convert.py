"""Convert: the same data in another format.

Separate because it is an action of its own; the tables are in `converttables`. What the new format cannot say is told
in the report, the status line and the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainyard_data.actions import output
from trainyard_data.actions.categories import categories
from trainyard_data.actions.contract import Order
from trainyard_data.actions.converttables import convert_tables
from trainyard_data.actions.losses import Losses
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.report import finished
from trainyard_data.actions.reporting import Progress, Reporter, Verdict
from trainyard_data.actions.source import Source, labelled, opened, tell_unlabelled
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.formats import kitti
from trainyard_data.writers.annotated import Writer
from trainyard_data.writers.coco import CocoWriter
from trainyard_data.writers.kitti import KittiWriter
from trainyard_data.writers.pascal_voc import PascalVocWriter
from trainyard_data.writers.placing import place

WRITERS: Mapping[str, type[Writer]] = {
    "coco": CocoWriter,
    "kitti": KittiWriter,
    "pascal_voc": PascalVocWriter,
}
_TABLES = ("csv", "parquet")


def convert(order: Order, checked: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry out the order. Raises Refused, Stopped."""
    only_annotations = order.action == "annotation_format_convert"
    source = opened(order, works_on=("boxes",) if only_annotations else ("table", "boxes"))
    wanted = _wanted(order, checked, source)
    losses = Losses()
    with output.new_dataset(order) as root:
        if source.kind == "table":
            progress = reporter.progress("rows", None, stopped=stop)
            counts = convert_tables(source, wanted, root, checked, losses=losses, progress=progress)
        else:
            progress = reporter.progress("images", None, stopped=stop)
            counts = _convert_boxes(source, wanted, root, losses=losses, progress=progress)
    return finished(
        order,
        reporter,
        done=f"converted {source.format} to {wanted}",
        counts=counts,
        losses=losses,
        facts={"from": source.format, "to": wanted},
    )


def _wanted(order: Order, checked: Mapping[str, Any], source: Source) -> str:
    said = order.output_format if order.output_format != "default" else ""
    wanted = checked["format"] or said
    if not wanted:
        raise Refused("Say which format is wanted: in outputDataset.format, or as the parameter format.")
    if said and said != wanted:
        raise Refused(f"The parameter format is {wanted}, but outputDataset.format is {said}: make them one.")
    able = _TABLES if source.kind == "table" else tuple(WRITERS)
    if wanted not in able:
        others = " and ".join(name for name in able if name != source.format)
        raise Refused(f"{source.format} cannot be converted to {wanted}; it can to {others}.")
    if wanted == source.format:
        raise Refused(f"Dataset {source.name} is {wanted} already: there is nothing to convert.")
    return wanted


def _convert_boxes(
    source: Source, wanted: str, root: Path, *, losses: Losses, progress: Progress
) -> dict[str, int]:
    listed = categories(source, step=lambda: progress.step(0))
    writer = WRITERS[wanted](root, listed, losses)
    boxes = 0
    used: set[str] = set()
    for one, picture in labelled(source):
        kept = tuple(
            box for box in one.boxes if box.category != kitti.NOT_CARED_FOR or source.format != "kitti"
        )
        losses.add("{count} regions of kitti's DontCare are left out.", len(one.boxes) - len(kept))
        spot = writer.spot(one.split, one.image.path)
        place(source.tree, one.image.path, root / spot.path)
        writer.add(spot, picture, kept)
        used.add(one.image.path)
        boxes += len(kept)
        progress.step()
    writer.close()
    tell_unlabelled(source, used, losses)
    return {"images": len(used), "boxes": boxes, "classes": len(listed)}
