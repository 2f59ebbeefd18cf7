"""Pascal VOC: one XML file an image in Annotations/, images in JPEGImages/, parts of the data in ImageSets/Main/.

VOC counts pixels from 1 and both corners belong to the box: xmin 1 to xmax 10 is ten pixels wide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from trainyard_data.findings import BadData, Findings
from trainyard_data.formats.boxes import Box, Image, Labelled
from trainyard_data.formats.images import SUFFIXES
from trainyard_data.formats.lines import lines
from trainyard_data.tree import Tree, inside, split_of, stem

IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "")
LARGEST = 1 << 20
_OBJECT = re.compile(rb"<object[\s>]")
_SPLITS = ("train", "val", "test", "trainval")


def read(tree: Tree, findings: Findings) -> Iterator[Labelled]:
    """Every annotation file with its boxes."""
    files = tree.with_suffix(".xml")
    if not files:
        findings.add(".", None, "There is no .xml file: pascal_voc has one an image, in Annotations/.")
    splits = _splits(tree, findings)
    for entry in files:
        try:
            root, lines_of = parsed(tree, entry.path)
        except BadData as error:
            findings.bad(error)
            continue
        if root.tag != "annotation":
            findings.add(entry.path, None, f"The file is about <{root.tag[:40]}>, not <annotation>.")
            continue
        yield _labelled(tree, entry.path, root, lines_of, splits, findings)


def parsed(tree: Tree, path: str) -> tuple[Any, Sequence[int | None]]:
    """The root element, and the line on which each object begins.

    Raises BadData for what is no XML, and for XML with entities of its own (bombs).
    """
    if tree.size(path) > LARGEST:
        raise BadData(path, None, f"The file is larger than {LARGEST >> 20} MiB: is this the right file?")
    with tree.open(path) as file:
        text = file.read(LARGEST)
    try:
        root = ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException:
        raise BadData(
            path, None, "The file defines entities or a document type, which is not read."
        ) from None
    except ElementTree.ParseError as error:
        line, _ = error.position
        raise BadData(path, line, f"This is not valid XML: {str(error).split(':')[0]}.") from None
    except (ValueError, LookupError, RecursionError):
        raise BadData(path, None, "This is not valid XML: its encoding or its nesting is wrong.") from None
    objects = root.findall("object")
    lines_of = [text.count(b"\n", 0, found.start()) + 1 for found in _OBJECT.finditer(text)]
    # NB: the parser does not tell lines; where a comment has objects, too, they are not known.
    return root, lines_of if len(lines_of) == len(objects) else [None] * len(objects)


def _labelled(
    tree: Tree,
    path: str,
    root: Any,
    lines_of: Sequence[int | None],
    splits: dict[str, str],
    findings: Findings,
) -> Labelled:
    width, height = _size(root)
    if width is None or height is None:
        findings.add(path, None, "There is no <size> with <width> and <height> above 0.")
    name = (root.findtext("filename") or "").strip()
    image = _image_of(tree, path, name)
    if image is None:
        findings.add(path, None, f"The image {name or stem(path)} is not there.")
    boxes: list[Box] = []
    where: list[int | None] = []
    for place, (one, line) in enumerate(zip(root.findall("object"), lines_of, strict=True), 1):
        if (box := _box(path, place, line, one, findings)) is not None:
            boxes.append(box)
            where.append(line)
    return Labelled(
        file=path,
        line=None,
        image=Image(image or "", width, height),
        boxes=tuple(boxes),
        lines=tuple(where),
        split=splits.get(stem(path)) or split_of(path),
    )


def _box(path: str, place: int, line: int | None, one: Any, findings: Findings) -> Box | None:
    category = (one.findtext("name") or "").strip()
    if not category:
        findings.add(path, line, f"Object {place} has no <name>.")
        return None
    corners: dict[str, float] = {}
    for key in ("xmin", "ymin", "xmax", "ymax"):
        text = (one.findtext(f"bndbox/{key}") or "").strip()
        try:
            corners[key] = float(text)
        except ValueError:
            corners[key] = math.nan
        if not math.isfinite(corners[key]):
            findings.add(
                path, line, f"<{key}> of object {place} ({category}) is {text[:40]!r}, which is no number."
            )
            return None
    return Box(
        category=category,
        x=corners["xmin"] - 1,
        y=corners["ymin"] - 1,
        width=corners["xmax"] - corners["xmin"] + 1,
        height=corners["ymax"] - corners["ymin"] + 1,
        truncated=1.0 if _is_set(one, "truncated") else 0.0,
        occluded=1 if _is_set(one, "occluded") else 0,
        difficult=_is_set(one, "difficult"),
        extra={"pose": pose} if (pose := (one.findtext("pose") or "").strip()) else {},
    )


def _is_set(one: Any, key: str) -> bool:
    return (one.findtext(key) or "0").strip() not in ("0", "")


def _size(root: Any) -> tuple[int | None, int | None]:
    found: list[int | None] = []
    for key in ("width", "height"):
        text = (root.findtext(f"size/{key}") or "").strip()
        found.append(int(text) if text.isdecimal() and len(text) < 10 and int(text) > 0 else None)
    return found[0], found[1]


def _image_of(tree: Tree, path: str, name: str) -> str | None:
    """By the <filename> that the annotation says, or by its own name; beside it or in the folder of the images."""
    folder = path.rpartition("/")[0]
    above = folder.rpartition("/")[0]
    names = ([name] if name else []) + [
        stem(path) + suffix for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES))
    ]
    for candidate in names:
        for base in dict.fromkeys(
            f"{root}/{part}".strip("/") for root in (above, folder) for part in IMAGE_FOLDERS
        ):
            found = inside(base, candidate)
            if found is not None and found in tree:
                return found
    return None


def _splits(tree: Tree, findings: Findings) -> dict[str, str]:
    """By the name of an image: the part of ImageSets/Main that it is in."""
    found: dict[str, str] = {}
    for entry in tree.with_suffix(".txt"):
        folder, _, name = entry.path.rpartition("/")
        if folder.split("/")[-2:] != ["ImageSets", "Main"] or stem(name) not in _SPLITS:
            continue
        try:
            for _, text in lines(tree, entry.path):
                # NB: trainval is the other two together, and counts where an image is in neither.
                for word in text.split()[:1]:
                    if stem(name) != "trainval" or word not in found:
                        found[word] = stem(name)
        except BadData as error:
            findings.bad(error)
    return found
