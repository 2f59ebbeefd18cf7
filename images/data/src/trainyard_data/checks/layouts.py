"""The layouts of which only the files and folders are known, and what can be told of their lists and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trainyard_data.checks.classes import check_images
from trainyard_data.checks.subject import Subject
from trainyard_data.findings import BadData
from trainyard_data.formats.images import is_image
from trainyard_data.formats.layouts import base_of, layout_of, missing
from trainyard_data.formats.lines import lines
from trainyard_data.formats.tables import header
from trainyard_data.tree import inside, split_of, stem

_LARGEST_LIST = 32 << 20
_PAIR_COLUMNS = ("input_path", "golden_path", "label", "object_name")
_CORNERS = 8


def check(subject: Subject) -> None:
    """What the layout names is there, its images open, and its lists name files that exist."""
    layout = layout_of(subject.format, subject.type)
    if layout is None:
        check_images(subject)
        return
    base = base_of(subject.tree, layout)
    lacking = list(missing(subject.tree, layout, base))
    for need in lacking:
        subject.findings.add(
            base or ".",
            None,
            f"There is no {need}, which a dataset of {layout.about} has. If yours is laid out in another way, say"
            " format raw.",
        )
    check_images(subject)
    for entry in subject.tree.files:
        if is_image(entry.path):
            subject.profile.add_split(split_of(entry.path))
    if lacking:
        return
    closer = {
        "lprnet": _plates,
        "visual_changenet_segment": _changes,
        "visual_changenet_classify": _pairs,
        "monai": _manifest,
    }.get(subject.format)
    if subject.type == "optical_inspection" and subject.format == "default":
        closer = _pairs
    if subject.type == "ocdnet" and subject.format in ("default", "train", "test"):
        closer = _texts
    if closer is not None:
        try:
            closer(subject, base)
        except BadData as error:
            subject.findings.bad(error)


def _plates(subject: Subject, base: str) -> None:
    """lprnet: a label for each image, of one line, of characters that are listed."""
    known: set[str] = set()
    for entry in subject.tree.with_suffix("characters.txt", "characters_list.txt"):
        known.update(text.strip() for _, text in lines(subject.tree, entry.path))
    for images, labels in _folders(subject, ("image", "images"), ("label", "labels")):
        for name in subject.tree.folders[images]:
            if not is_image(name):
                continue
            path = f"{labels}/{stem(name)}.txt"
            if path not in subject.tree:
                subject.findings.add(f"{images}/{name}", None, f"There is no label {path} for this image.")
                continue
            texts = [(number, text.strip()) for number, text in lines(subject.tree, path) if text.strip()]
            if len(texts) != 1:
                subject.findings.add(
                    path, len(texts) or None, "A label has one line: the characters of the plate."
                )
            elif strange := sorted(set(texts[0][1]) - known):
                subject.findings.add(
                    path, texts[0][0], f"The character {strange[0]!r} is not among those listed."
                )


def _texts(subject: Subject, base: str) -> None:
    """ocdnet: for each image gt_<name>.txt, each line of which has four corners and a text."""
    for images, labels in _folders(subject, ("img",), ("gt",)):
        for name in subject.tree.folders[images]:
            if not is_image(name):
                continue
            path = f"{labels}/gt_{stem(name)}.txt"
            if path not in subject.tree:
                subject.findings.add(f"{images}/{name}", None, f"There is no label {path} for this image.")
                continue
            for number, text in lines(subject.tree, path):
                words = text.split(",")
                if text.strip() and (len(words) <= _CORNERS or not all(map(_is_number, words[:_CORNERS]))):
                    subject.findings.add(
                        path,
                        number,
                        "The line must be the eight numbers of four corners and a text, with commas.",
                    )
                    break


def _changes(subject: Subject, base: str) -> None:
    """visual_changenet_segment: the images that the lists name are in A, B and label."""
    prefix = f"{base}/" if base else ""
    for name in subject.tree.folders.get(f"{prefix}list", ()):
        path = f"{prefix}list/{name}"
        if not name.endswith(".txt"):
            continue
        folders = ("A", "B") if stem(name) == "predict" else ("A", "B", "label")
        count = 0
        for number, text in lines(subject.tree, path):
            if not text.strip():
                continue
            count += 1
            for folder in folders:
                image = inside(f"{prefix}{folder}", text.strip())
                if image is None or image not in subject.tree:
                    subject.findings.add(path, number, f"{text.strip()} is not in {prefix}{folder}/.")
                    break
        if stem(name) not in subject.profile.splits:
            subject.profile.add_split(stem(name), count)


def _pairs(subject: Subject, base: str) -> None:
    """visual_changenet_classify and optical_inspection: tables of pairs of images, with the columns that they need."""
    for entry in subject.tree.with_suffix(".csv"):
        names = header(subject.tree, entry.path)
        for name in _PAIR_COLUMNS:
            if name not in names:
                subject.findings.add(entry.path, 1, f"There is no column {name}.")
                break


def _manifest(subject: Subject, base: str) -> None:
    """monai: the files that a manifest or a datalist names are there."""
    for entry in subject.tree.with_suffix(".json"):
        if entry.path.count("/") > base.count("/") + bool(base):
            continue
        if entry.size > _LARGEST_LIST:
            subject.findings.add(entry.path, None, f"The file is larger than {_LARGEST_LIST >> 20} MiB.")
            continue
        folder = entry.path.rpartition("/")[0]
        try:
            with subject.tree.open(entry.path) as file:
                found = json.load(file)
        except (ValueError, RecursionError) as error:
            line = error.lineno if isinstance(error, json.JSONDecodeError) else None
            subject.findings.add(entry.path, line, "This is not valid JSON.")
            continue
        count = 0
        for name in _named(found):
            count += 1
            path = inside(folder, name)
            if path is None:
                subject.findings.add(entry.path, None, f"{name} is outside of the dataset's folder.")
            elif path not in subject.tree and path not in subject.tree.folders:
                subject.findings.add(entry.path, None, f"The file {name} is not there.")
        if not count:
            subject.findings.add(
                entry.path, None, 'There are no samples: expected lists of {"image": ..., "label": ...}.'
            )


def _named(found: Any) -> Iterator[str]:
    """The paths of images and labels in a manifest (`data`) or a datalist (`training`, `validation`, `test`)."""
    lists = found.values() if isinstance(found, dict) else [found]
    for one in lists:
        for sample in one if isinstance(one, list) else ():
            values = [sample.get("image"), sample.get("label")] if isinstance(sample, dict) else [sample]
            for value in values:
                value = value.get("path") if isinstance(value, dict) else value
                for name in value if isinstance(value, list) else [value]:
                    if isinstance(name, str) and "." in name:
                        yield name


def _folders(subject: Subject, images: tuple[str, ...], labels: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Folders of images and those of their labels beside them."""
    for folder in sorted(subject.tree.folders):
        above, _, name = folder.rpartition("/")
        if name in images:
            beside = [f"{above}/{label}".strip("/") for label in labels]
            yield folder, next((one for one in beside if one in subject.tree.folders), beside[0])


def _is_number(text: str) -> bool:
    try:
        float(text.strip().lstrip("\ufeff"))
    except ValueError:
        return False
    return True
