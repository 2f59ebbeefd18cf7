"""Augment: more images from images, with their boxes, masks and classes.

Separate because it is an action of its own; the changes themselves are in `changing`. Images are changed side by side
and labels written meanwhile, in the order of the dataset, so that the same seed gives the same files.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from trainyard_data.actions import output
from trainyard_data.actions.categories import categories
from trainyard_data.actions.changing import Change, changed, drawn, moved
from trainyard_data.actions.contract import Order
from trainyard_data.actions.convert import WRITERS
from trainyard_data.actions.losses import Losses
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.report import finished
from trainyard_data.actions.reporting import Progress, Reporter, Verdict
from trainyard_data.actions.source import Source, classified, labelled, masked, opened, tell_unlabelled
from trainyard_data.actions.split import mask_name
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.formats import kitti
from trainyard_data.formats.boxes import Box
from trainyard_data.formats.images import Picture, decoded, look
from trainyard_data.tree import Tree
from trainyard_data.writers.annotated import canonical, figures_in_space
from trainyard_data.writers.placing import Names, place

_CHANGES = (
    *("horizontal_flip", "vertical_flip", "rotate_90", "crop"),
    *("brightness", "contrast", "saturation", "hue"),
)
_LOSSY = ("JPEG", "WEBP")
_MOST_WORKERS = 4


def augment(order: Order, given: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry out the order. Raises Refused, Stopped."""
    if not any(given[name] for name in _CHANGES):
        raise Refused(f"Nothing would change: one of {', '.join(_CHANGES)} must be above 0.")
    source = opened(order, works_on=("boxes", "folders", "masks"))
    output.same_format(order, source.format)
    losses = Losses()
    counts: Counter[str] = Counter(images=0, changed=0)
    with output.new_dataset(order) as root, _Studio(source.tree, given["quality"]) as studio:
        progress = reporter.progress("images", None, stopped=stop)
        write = {"boxes": _boxes, "folders": _folders, "masks": _masks}[source.kind]
        write(source, root, given, studio, counts, losses, progress)
    if not counts["changed"]:
        raise Refused("There is no image to change: val and test are only changed with all_splits.")
    return finished(
        order,
        reporter,
        done=f"augmented {source.name}",
        counts=dict(counts),
        losses=losses,
        facts={"format": source.format, "seed": given["seed"]},
    )


class _Studio:
    """Changes image files on a few cores; what goes wrong with one is raised at a later call, or at the end."""

    def __init__(self, tree: Tree, quality: int) -> None:
        self._tree, self._quality = tree, quality
        workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
        self._pool = ThreadPoolExecutor(workers)
        self._ahead = 2 * workers
        self._waiting: deque[Future[None]] = deque()

    def change(self, path: str, target: Path, change: Change, *, coloured: bool = True) -> None:
        """Write the changed image soon."""
        while len(self._waiting) >= self._ahead:
            self._waiting.popleft().result()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._waiting.append(self._pool.submit(self._write, path, target, change, coloured))

    def __enter__(self) -> _Studio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _write(self, path: str, target: Path, change: Change, coloured: bool) -> None:
        image = decoded(self._tree, path)
        # NB: to Pillow an image that was turned has no format any longer; some JPEGs are MPO to it.
        format = {"MPO": "JPEG"}.get(image.format or "", image.format)
        if format in _LOSSY and not coloured:
            raise Refused(
                f"{path}: the mask is {format}, which would blur its classes at every change: save masks as PNG."
            )
        options = {"quality": self._quality} if format in _LOSSY else {}
        # NB: without Exif: a turn that it asks viewers for would not be that of the boxes.
        changed(image, change, coloured=coloured).save(
            target, format=format, icc_profile=image.info.get("icc_profile"), **options
        )


def _boxes(
    source: Source,
    root: Path,
    given: Mapping[str, Any],
    studio: _Studio,
    counts: Counter[str],
    losses: Losses,
    progress: Progress,
) -> None:
    writer = WRITERS[source.format](root, categories(source, step=lambda: progress.step(0)), losses)
    used: set[str] = set()
    for one, picture in labelled(source):
        used.add(one.image.path)
        path, copies = one.image.path, _copies(given, one.split)
        if given["keep_originals"] or not copies:
            spot = writer.spot(one.split, path)
            place(source.tree, path, root / spot.path)
            writer.add(spot, picture, one.boxes)
            counts["images"] += 1
            counts["boxes"] += _objects(one.boxes, source)
        for copy in range(1, copies + 1):
            change = drawn(given, picture.width, picture.height, path=path, copy=copy)
            spot = writer.spot(one.split, path, mark=f"_aug{copy}")
            boxes = _moved(one.boxes, change, given, losses)
            studio.change(path, root / spot.path, change)
            writer.add(spot, Picture(*change.size, picture.mode), boxes)
            counts["images"] += 1
            counts["changed"] += 1
            counts["boxes"] += _objects(boxes, source)
        progress.step()
    writer.close()
    tell_unlabelled(source, used, losses)


def _objects(boxes: tuple[Box, ...], source: Source) -> int:
    return sum(box.category != kitti.NOT_CARED_FOR or source.format != "kitti" for box in boxes)


def _moved(
    boxes: tuple[Box, ...], change: Change, given: Mapping[str, Any], losses: Losses
) -> tuple[Box, ...]:
    kept: list[Box] = []
    for box in boxes:
        found = moved(box, change, min_visibility=given["min_visibility"])
        if found is None:
            losses.add(
                "{count} boxes of changed copies are left out, as less than min_visibility is left of them."
            )
            continue
        kept.append(found)
        if not change.moves:
            continue
        if box.extra.get("keypoints"):
            losses.add("The keypoints of {count} objects of changed copies are left out.")
        if isinstance(box.extra.get("segmentation"), dict):
            losses.add("The masks (RLE) of {count} objects of changed copies are left out.")
        if figures_in_space(box):
            losses.add("The figures in space of {count} objects of changed copies are left out.")
    return tuple(kept)


def _folders(
    source: Source,
    root: Path,
    given: Mapping[str, Any],
    studio: _Studio,
    counts: Counter[str],
    losses: Losses,
    progress: Progress,
) -> None:
    names = Names()
    for one in classified(source):
        folder = "/".join(filter(None, (canonical(one.split), one.category)))
        copies = _copies(given, one.split)
        if given["keep_originals"] or not copies:
            place(source.tree, one.path, root / folder / names.name(folder, one.path))
            counts["images"] += 1
        if copies:
            picture = look(source.tree, one.path)
        for copy in range(1, copies + 1):
            change = drawn(given, picture.width, picture.height, path=one.path, copy=copy)
            studio.change(one.path, root / folder / names.name(folder, one.path, mark=f"_aug{copy}"), change)
            counts["images"] += 1
            counts["changed"] += 1
        progress.step()


def _masks(
    source: Source,
    root: Path,
    given: Mapping[str, Any],
    studio: _Studio,
    counts: Counter[str],
    losses: Losses,
    progress: Progress,
) -> None:
    names = Names()
    for one in masked(source):
        part = canonical(one.split) or ""
        copies = _copies(given, one.split)
        if given["keep_originals"] or not copies:
            name = names.name(part, one.image)
            place(source.tree, one.image, root / "images" / part / name)
            if one.mask is not None:
                place(source.tree, one.mask, root / "masks" / part / mask_name(name, one.mask))
            counts["images"] += 1
        if copies:
            picture = look(source.tree, one.image)
        for copy in range(1, copies + 1):
            change = drawn(given, picture.width, picture.height, path=one.image, copy=copy)
            name = names.name(part, one.image, mark=f"_aug{copy}")
            studio.change(one.image, root / "images" / part / name, change)
            if one.mask is not None:
                mask = root / "masks" / part / mask_name(name, one.mask)
                studio.change(one.mask, mask, change, coloured=False)
            counts["images"] += 1
            counts["changed"] += 1
        progress.step()


def _copies(given: Mapping[str, Any], split: str | None) -> int:
    """How many changed copies an image of this part gets."""
    changes = given["all_splits"] or canonical(split) in (None, "train")
    return int(given["copies"]) if changes else 0
