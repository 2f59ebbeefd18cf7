"""Semantic segmentation by masks: images/ and, with the same names, masks/ whose pixels are the classes.

With parts of the data as images/train and masks/train, or as train/images and train/masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainyard_data.findings import Findings
from trainyard_data.formats.images import is_image
from trainyard_data.tree import Tree, by_stem, split_of, stem

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "gt")


@dataclass(frozen=True, slots=True)
class Masked:
    """An image and its mask; `mask` is None in a test set without masks."""

    image: str
    mask: str | None
    split: str | None


def read(tree: Tree, findings: Findings) -> Iterator[Masked]:
    """Every image with its mask. An image without a mask and a mask without an image are findings."""
    folders = [folder for folder in sorted(tree.folders) if _replaced(folder, IMAGE_FOLDERS, "") is not None]
    folders = [folder for folder in folders if any(is_image(name) for name in tree.folders[folder])]
    if not folders:
        findings.add(".", None, "There is no folder images/ with images: unet has images/ and masks/.")
    for folder in folders:
        split = split_of(folder + "/x")
        names = [name for name in tree.folders[folder] if is_image(name)]
        masks_folder = next(
            (
                found
                for word in MASK_FOLDERS
                if (found := _replaced(folder, IMAGE_FOLDERS, word)) and found in tree.folders
            ),
            None,
        )
        is_test = (split or "").lower() in ("test", "testing")
        if masks_folder is None:
            if not is_test:
                findings.add(folder, None, "There is no folder masks/ that belongs to these images.")
            for name in names:
                yield Masked(f"{folder}/{name}", None, split)
            continue
        masks = by_stem(masks_folder, filter(is_image, tree.folders[masks_folder]), findings)
        for name in names:
            mask = masks.pop(stem(name), None)
            if mask is None:
                findings.add(f"{folder}/{name}", None, f"There is no mask for this image in {masks_folder}/.")
                continue
            yield Masked(f"{folder}/{name}", f"{masks_folder}/{mask}", split)
        for name in masks.values():
            findings.add(f"{masks_folder}/{name}", None, f"There is no image for this mask in {folder}/.")


def _replaced(folder: str, names: tuple[str, ...], word: str) -> str | None:
    """The folder with the part that is one of `names` replaced by `word`; None where there is no such part."""
    parts = folder.split("/")
    for place in range(len(parts) - 1, -1, -1):
        if parts[place].lower() in names:
            return "/".join([*parts[:place], word, *parts[place + 1 :]])
    return None
