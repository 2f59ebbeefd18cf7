"""Split: the rows or images divided by chance into train, val and test.

Separate because it is an action of its own; tables are in `splittables`. The new dataset has the format of the old one
and the parts where the readers of that format look for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainyard_data.actions import output
from trainyard_data.actions.categories import categories
from trainyard_data.actions.contract import Order
from trainyard_data.actions.convert import WRITERS
from trainyard_data.actions.losses import Losses
from trainyard_data.actions.parts import Codes, divided
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.report import finished
from trainyard_data.actions.reporting import Progress, Reporter, Verdict
from trainyard_data.actions.source import Source, classified, labelled, masked, opened, tell_unlabelled
from trainyard_data.actions.splittables import split_tables
from trainyard_data.actions.stopping import StopFlag
from trainyard_data.writers.placing import Names, place

PARTS = ("train", "val", "test")
_ROUNDING = 1e-6


def split(order: Order, given: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry out the order. Raises Refused, Stopped."""
    shares = {part: float(given[part]) for part in PARTS if given[part] > 0}
    if abs(sum(shares.values()) - 1) > _ROUNDING:
        raise Refused(f"train, val and test must add up to 1, but are {sum(shares.values()):g} together.")
    source = opened(order, works_on=("table", "boxes", "folders", "masks"))
    output.same_format(order, source.format)
    if source.kind != "table" and given["group"]:
        raise Refused("group is a column of a table; images are divided one by one.")
    if source.kind == "masks" and given["stratify"]:
        raise Refused("stratify is for classes; images with masks have none of their own.")
    losses = Losses()
    with output.new_dataset(order) as root:
        if source.kind == "table":
            progress = reporter.progress("rows", None, stopped=stop)
            counts = split_tables(source, root, given, shares, progress=progress)
            what = "rows"
        else:
            progress = reporter.progress("images", None, stopped=stop)
            write = {"boxes": _boxes, "folders": _folders, "masks": _masks}[source.kind]
            counts = write(source, root, given, shares, losses, progress)
            what = "images"
    said = ", ".join(f"{count:,} to {part}" for part, count in counts.items())
    return finished(
        order,
        reporter,
        done=f"split {source.name} ({said})",
        counts={what: sum(counts.values())},
        losses=losses,
        facts={"format": source.format, "seed": given["seed"], "stratify": given["stratify"]},
        tables={"parts": counts},
    )


def _chosen(
    labels: Sequence[str], given: Mapping[str, Any], shares: Mapping[str, float]
) -> tuple[list[str], dict[str, int]]:
    """The part of each image, and how many there are of each. Raises Refused where a part would be empty."""
    codes: Codes | None = None
    if given["stratify"]:
        known = {label: number for number, label in enumerate(sorted(set(labels)))}
        codes = np.array([known[label] for label in labels], dtype=np.int32)
    parts = list(shares)
    chosen = [
        parts[place] for place in divided(len(labels), shares, seed=given["seed"], classes=codes).tolist()
    ]
    counts = Counter(chosen)
    empty = [part for part in parts if not counts[part]]
    if empty:
        raise Refused(f"There are too few images for {' and '.join(empty)}: {len(labels)} in all.")
    return chosen, {part: counts[part] for part in parts}


def _folders(
    source: Source,
    root: Path,
    given: Mapping[str, Any],
    shares: Mapping[str, float],
    losses: Losses,
    progress: Progress,
) -> dict[str, int]:
    items = list(classified(source))
    if any(not item.category for item in items):
        raise Refused(
            "Some images are in no class's folder, such as those of a test set: they cannot be divided."
        )
    chosen, counts = _chosen([item.category for item in items], given, shares)
    names = Names()
    for item, part in zip(items, chosen, strict=True):
        folder = f"{part}/{item.category}"
        place(source.tree, item.path, root / folder / names.name(folder, item.path))
        progress.step()
    return counts


def _masks(
    source: Source,
    root: Path,
    given: Mapping[str, Any],
    shares: Mapping[str, float],
    losses: Losses,
    progress: Progress,
) -> dict[str, int]:
    items = list(masked(source))
    if any(item.mask is None for item in items):
        raise Refused("Some images have no mask, such as those of a test set: they cannot be divided.")
    chosen, counts = _chosen([""] * len(items), given, shares)
    names = Names()
    for item, part in zip(items, chosen, strict=True):
        assert item.mask is not None
        name = names.name(f"images/{part}", item.image)
        place(source.tree, item.image, root / "images" / part / name)
        place(source.tree, item.mask, root / "masks" / part / mask_name(name, item.mask))
        progress.step()
    return counts


def mask_name(image: str, mask: str) -> str:
    """The name of a mask: that of its image, with its own suffix."""
    return f"{image.rpartition('.')[0]}.{mask.rpartition('.')[2]}"


def _boxes(
    source: Source,
    root: Path,
    given: Mapping[str, Any],
    shares: Mapping[str, float],
    losses: Losses,
    progress: Progress,
) -> dict[str, int]:
    listed = categories(source, step=lambda: progress.step(0))
    # NB: by path, as two annotation files may speak of one image, which must not be in two parts.
    seen: dict[str, set[str]] = {}
    for one, _ in labelled(source):
        seen.setdefault(one.image.path, set()).update(box.category for box in one.boxes)
        progress.step(0)
    tell_unlabelled(source, seen.keys(), losses)
    how_many = Counter(name for found in seen.values() for name in found)
    # NB: by its rarest class, which is the one that a part could lack.
    rarest = [min(found, key=lambda name: (how_many[name], name), default="") for found in seen.values()]
    chosen, counts = _chosen(rarest, given, shares)
    part_of = dict(zip(seen, chosen, strict=True))
    writer = WRITERS[source.format](root, listed, losses)
    for one, picture in labelled(source):
        spot = writer.spot(part_of[one.image.path], one.image.path)
        place(source.tree, one.image.path, root / spot.path)
        writer.add(spot, picture, one.boxes)
        progress.step()
    writer.close()
    return counts
