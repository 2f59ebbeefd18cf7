"""COCO: JSON files with images, annotations and categories; the images beside them.

Read twice: first the images and categories, and where each annotation is, then the annotations image by image. Memory
grows with the number of images and, by 24 bytes each, of annotations, not with what they say.
https://cocodataset.org/#format-data is the format.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainyard_data.findings import BadData, Findings
from trainyard_data.formats.boxes import Box, Image, Labelled
from trainyard_data.formats.jsonstream import element_at, elements
from trainyard_data.tree import Tree, inside, split_of, stem

#: What an annotation may say besides the box; a conversion into coco keeps it.
_EXTRA = ("area", "segmentation", "keypoints", "num_keypoints", "iscrowd", "attributes")
#: What COCO's own archives have beside `instances_*.json`, about the same images.
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_SPLIT_WORDS = ("train", "val", "test")


@dataclass(slots=True)
class CocoFile:
    """One annotation file: images by their id, categories by theirs, and where the annotations of each image are."""

    path: str
    images: dict[int, Image] = field(default_factory=dict)
    image_lines: dict[int, int] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    split: str | None = None
    #: Of each annotation that names a known image: that image, its place and its line.
    owners: array[int] = field(default_factory=lambda: array("q"))
    places: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("i"))


def annotation_files(tree: Tree) -> list[str]:
    """The JSON files that are annotations; beside `instances_*.json`, those of COCO's other tasks are not."""
    found = [entry.path for entry in tree.with_suffix(".json")]
    if any(stem(path).startswith("instances_") for path in found):
        found = [path for path in found if not stem(path).startswith(_OTHER_TASKS)]
    return [path for path in found if not stem(path).lower().startswith(("label_map", "classes", "nvdinov2"))]


def read(tree: Tree, findings: Findings) -> Iterator[Labelled]:
    """Every image of every annotation file with its boxes; images without a box too."""
    paths = annotation_files(tree)
    if not paths:
        findings.add(
            ".", None, "There is no .json file: coco has its annotations in one, such as annotations.json."
        )
    for path in paths:
        try:
            coco = read_file(tree, path, findings)
            yield from labelled(tree, coco, findings)
        except BadData as error:
            findings.bad(error)


def read_file(tree: Tree, path: str, findings: Findings) -> CocoFile:
    """The first reading. Raises BadData where the file is no JSON or no COCO."""
    coco = CocoFile(path, split=_split(path))
    ids, seen = array("q"), set[str]()
    finder = _Finder(tree, path)
    for element in elements(tree, path):
        seen.add(element.key)
        if element.key in ("images", "annotations", "categories") and element.index is None:
            if element.value != []:
                raise BadData(path, element.line, f"{element.key} must be a list.")
            continue
        if element.key == "images":
            _add_image(coco, element.value, element.line, finder, findings)
        elif element.key == "categories":
            _add_category(coco, element.value, element.line, findings)
        elif element.key == "annotations":
            value = element.value
            owner = whole(value.get("image_id")) if isinstance(value, dict) else None
            if owner is None:
                findings.add(
                    path, element.line, f"annotations[{element.index}] has no whole number image_id."
                )
                continue
            identity = whole(value.get("id"))
            if identity is None:
                findings.add(path, element.line, f"annotations[{element.index}] has no whole number id.")
            ids.append(-1 if identity is None else identity)
            coco.owners.append(owner)
            coco.places.extend((element.offset, element.length))
            coco.lines.append(element.line)
    for key in ("images", "annotations", "categories"):
        if key not in seen:
            raise BadData(
                path, None, f'There is no list "{key}": coco has images, annotations and categories.'
            )
    _check_ids(coco, ids, findings)
    return coco


def labelled(tree: Tree, coco: CocoFile, findings: Findings) -> Iterator[Labelled]:
    """The second reading: image by image, in the order of their ids."""
    owners = np.frombuffer(coco.owners, dtype=np.int64) if coco.owners else np.zeros(0, dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    ordered = owners[order]
    known = np.fromiter(sorted(coco.images), dtype=np.int64, count=len(coco.images))
    strangers = np.flatnonzero(~np.isin(owners, known))
    for place in strangers[:1000].tolist():
        findings.add(
            coco.path, coco.lines[place], f"There is no image with the id {owners[place]} among images."
        )
    first, last = np.searchsorted(ordered, known, side="left"), np.searchsorted(ordered, known, side="right")
    with tree.open(coco.path) as file:
        for identity, begin, end in zip(known.tolist(), first.tolist(), last.tolist(), strict=True):
            boxes: list[Box] = []
            lines: list[int | None] = []
            for place in order[begin:end].tolist():
                value = element_at(file, coco.places[2 * place], coco.places[2 * place + 1])
                line = coco.lines[place]
                box = _box(coco, value, line, findings)
                if box is not None:
                    boxes.append(box)
                    lines.append(line)
            yield Labelled(
                file=coco.path,
                line=coco.image_lines[identity],
                image=coco.images[identity],
                boxes=tuple(boxes),
                lines=tuple(lines),
                split=coco.split or split_of(coco.images[identity].path),
            )


class _Finder:
    """Where an image that an annotation file names is: beside it, in images/, or in the folder named like a split."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        folder = path.rpartition("/")[0]
        above = folder.rpartition("/")[0]
        self._bases = list(dict.fromkeys(_bases(folder, above, stem(path))))

    def find(self, name: str) -> str | None:
        """Its path in the tree; None where it is not there. An empty string: the name leaves the folder."""
        for base in self._bases:
            path = inside(base, name)
            if path is not None and path in self._tree:
                return path
        return "" if inside(self._bases[-1], name) is None else None


def _bases(folder: str, above: str, name: str) -> Iterator[str]:
    """`instances_train2017.json` has its images in `train2017`."""
    tail = name.rpartition("_")[2]
    for root in (folder, above):
        yield root
        for part in (
            "images",
            f"images/{tail}",
            tail,
            f"images/{name}",
            name,
            "data",
            f"images/{_split(name) or ''}",
        ):
            yield f"{root}/{part}".strip("/")
    yield ""
    yield "images"


def _split(path: str) -> str | None:
    """train, val or test, where the file's name or a folder says it."""
    for word in _SPLIT_WORDS:
        if word in stem(path).lower():
            return word
    return split_of(path)


def _add_image(coco: CocoFile, value: Any, line: int, finder: _Finder, findings: Findings) -> None:
    identity = whole(value.get("id")) if isinstance(value, dict) else None
    if identity is None:
        findings.add(coco.path, line, "An image has no whole number id.")
        return
    if identity in coco.images:
        findings.add(coco.path, line, f"The id {identity} is that of another image, too.")
        return
    name = value.get("file_name")
    if not isinstance(name, str) or not name:
        findings.add(coco.path, line, f"Image {identity} has no file_name.")
        return
    path = finder.find(name)
    if path is None:
        findings.add(coco.path, line, f"The image {name} of id {identity} is not there.")
    elif path == "":
        findings.add(
            coco.path, line, f"The image {name} of id {identity} is outside of the dataset's folder."
        )
    width, height = whole(value.get("width")), whole(value.get("height"))
    if width is None or height is None or width <= 0 or height <= 0:
        findings.add(coco.path, line, f"Image {identity} ({name}) has no width and height above 0.")
        width = height = None
    # NB: kept without a path too, so that its annotations are not told to be without an image.
    coco.images[identity] = Image(path or "", width, height)
    coco.image_lines[identity] = line


def _add_category(coco: CocoFile, value: Any, line: int, findings: Findings) -> None:
    identity = whole(value.get("id")) if isinstance(value, dict) else None
    name = value.get("name") if isinstance(value, dict) else None
    if identity is None or not isinstance(name, str) or not name:
        findings.add(coco.path, line, "A category needs a whole number id and a name.")
    elif identity in coco.categories:
        findings.add(coco.path, line, f"The id {identity} is that of another category, too.")
    elif name in coco.categories.values():
        findings.add(coco.path, line, f"The name {name!r} is that of another category, too.")
    else:
        coco.categories[identity] = name


def _box(coco: CocoFile, value: dict[str, Any], line: int, findings: Findings) -> Box | None:
    category = whole(value.get("category_id"))
    if category not in coco.categories:
        findings.add(coco.path, line, f"There is no category with the id {value.get('category_id')!r}.")
        return None
    numbers = value.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(_is_number(one) for one in numbers):
        findings.add(coco.path, line, f"The bbox of annotation {value.get('id')} must be four numbers.")
        return None
    x, y, width, height = (float(one) for one in numbers)
    return Box(
        category=coco.categories[category],
        x=x,
        y=y,
        width=width,
        height=height,
        extra={key: value[key] for key in _EXTRA if key in value},
    )


def _check_ids(coco: CocoFile, ids: array[int], findings: Findings) -> None:
    if not ids:
        return
    values = np.frombuffer(ids, dtype=np.int64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    doubled = order[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != -1)]
    for place in np.sort(doubled)[:1000].tolist():
        findings.add(
            coco.path, coco.lines[place], f"The id {values[place]} is that of another annotation, too."
        )


def whole(value: Any) -> int | None:
    """An id: some tools write whole numbers with a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
