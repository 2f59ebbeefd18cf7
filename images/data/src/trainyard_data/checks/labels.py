"""Marked objects: coco, kitti and pascal_voc. The images are there and open, sizes agree, boxes are inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainyard_data.checks.pictures import Gallery
from trainyard_data.checks.subject import Subject
from trainyard_data.findings import Findings
from trainyard_data.formats import coco, kitti, pascal_voc
from trainyard_data.formats.boxes import Labelled, outside
from trainyard_data.tree import Tree

READERS: dict[str, Callable[[Tree, Findings], Iterator[Labelled]]] = {
    "coco": coco.read,
    "kitti": kitti.read,
    "pascal_voc": pascal_voc.read,
}


def check(subject: Subject) -> None:
    """Every label of the dataset with its image."""
    profile = subject.profile
    profile.images = profile.boxes = 0
    gallery = Gallery(subject)
    labelled = READERS[subject.format](subject.tree, subject.findings)
    for one, picture in gallery.look(labelled, lambda item: item.image.path):
        subject.checked.add(one.file)
        profile.add_split(one.split)
        width, height = one.image.width, one.image.height
        if picture is not None:
            if width is not None and (width, height) != (picture.width, picture.height):
                subject.findings.add(
                    one.file,
                    one.line,
                    f"{one.image.path} is {picture.width} x {picture.height}, but the label says {width} x {height}.",
                )
            width, height = picture.width, picture.height
        for box, line in zip(one.boxes, one.lines, strict=True):
            if box.category == kitti.NOT_CARED_FOR and subject.format == "kitti":
                continue
            profile.boxes += 1
            profile.add_class(box.category)
            if (
                width is not None
                and height is not None
                and (wrong := outside(box, width, height)) is not None
            ):
                subject.findings.add(one.file, line, wrong)
    gallery.tell_modes()
    if not profile.boxes and not len(subject.findings) and subject.format == "coco":
        subject.note("There are no annotations.")
