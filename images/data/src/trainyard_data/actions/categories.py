"""The categories of annotated images, before the first image is written.

Separate because only coco lists them: of kitti and pascal_voc they are those that objects have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainyard_data.actions.source import Source, refuse_what_is_wrong
from trainyard_data.checks.labels import READERS
from trainyard_data.findings import Findings
from trainyard_data.formats import coco, kitti
from trainyard_data.formats.jsonstream import elements


def categories(source: Source, *, step: Callable[[], None]) -> list[dict[str, Any]]:
    """Each with id and name; of coco with what else is said of it, and its own id where no other file has given that
    away. `step` is called now and then. Raises BadData for a file that cannot be read.
    """
    if source.format == "coco":
        return _listed(source, step=step)
    # NB: what is wrong is told when the labels are read once more.
    names: set[str] = set()
    for one in READERS[source.format](source.tree, Findings()):
        step()
        names |= {box.category for box in one.boxes}
    return [
        {"id": number, "name": name} for number, name in enumerate(sorted(names - {kitti.NOT_CARED_FOR}), 1)
    ]


def _listed(source: Source, *, step: Callable[[], None]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in coco.annotation_files(source.tree):
        for element in elements(source.tree, path):
            if element.index is not None and not element.index % 1000:
                step()
            if element.key != "categories" or not isinstance(element.value, dict):
                continue
            name = element.value.get("name")
            identity = coco.whole(element.value.get("id"))
            if isinstance(name, str) and name and identity is not None:
                found.setdefault(name, {**element.value, "id": identity})
    refuse_what_is_wrong(source)
    taken: set[int] = set()
    most = max((category["id"] for category in found.values()), default=0)
    for category in found.values():
        if category["id"] in taken:
            most += 1
            category["id"] = most
        taken.add(category["id"])
    return list(found.values())
