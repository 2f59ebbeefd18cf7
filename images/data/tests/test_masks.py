"""unet: images and masks of the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Files = dict[str, Any]


@pytest.mark.parametrize(
    ("image", "mask_path", "split"),
    [
        ("images/1.jpg", "masks/1.png", None),
        ("images/train/1.png", "masks/train/1.png", "train"),
        ("val/images/1.png", "val/masks/1.png", "val"),
    ],
)
def test_finds_the_mask_of_an_image(image, mask_path, split, checked, picture, mask):
    kind = "JPEG" if image.endswith("jpg") else "PNG"
    run = checked({image: picture(kind=kind), mask_path: mask(8, 6, 0, 3)}, "semantic_segmentation", "unet")
    assert run.first is None
    assert run.profile["classes"] == [{"name": "0", "count": 1}, {"name": "3", "count": 1}]
    assert run.profile["images"] == 1
    assert run.profile.get("splits") == ([{"name": split, "count": 1}] if split else None)
    assert run.verdict["filesChecked"] == 2


def test_a_test_set_needs_no_masks(checked, picture, mask):
    files = {"images/train/1.png": picture(), "masks/train/1.png": mask(), "images/test/1.png": picture()}
    assert checked(files, "semantic_segmentation", "unet").first is None


BROKEN: dict[str, tuple[Callable[[Any, Any], Files], tuple[str, int | None, str]]] = {
    "no images": (
        lambda picture, mask: {"masks/1.png": mask()},
        (".", None, "There is no folder images/ with images: unet has images/ and masks/."),
    ),
    "no masks": (
        lambda picture, mask: {"images/1.png": picture()},
        ("images", None, "There is no folder masks/ that belongs to these images."),
    ),
    "an image without a mask": (
        lambda picture, mask: {"images/1.png": picture(), "images/2.png": picture(), "masks/1.png": mask()},
        ("images/2.png", None, "There is no mask for this image in masks/."),
    ),
    "a mask without an image": (
        lambda picture, mask: {"images/1.png": picture(), "masks/1.png": mask(), "masks/2.png": mask()},
        ("masks/2.png", None, "There is no image for this mask in images/."),
    ),
    "two masks for an image": (
        lambda picture, mask: {
            "images/1.png": picture(),
            "masks/1.png": mask(),
            "masks/1.tif": picture(mode="L", kind="TIFF"),
        },
        ("masks/1.tif", None, "1.png has the same name but for its suffix: rename or remove one."),
    ),
    "another size": (
        lambda picture, mask: {"images/1.png": picture(), "masks/1.png": mask(6, 8)},
        ("masks/1.png", None, "The mask is 6 x 8, but its image is 8 x 6."),
    ),
    "a broken mask": (
        lambda picture, mask: {"images/1.png": picture(), "masks/1.png": mask()[:50]},
        ("masks/1.png", None, "The image is broken"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_tells_what_is_wrong(name, checked, picture, mask):
    make, (path, line, message) = BROKEN[name]
    run = checked(make(picture, mask), "semantic_segmentation", "unet")
    assert run.first is not None
    assert (run.first[:2], run.first[2][: len(message)]) == ((path, line), message)


def test_masks_in_colours_are_taken_and_have_no_classes(checked, picture):
    run = checked({"images/1.png": picture(), "masks/1.png": picture()}, "semantic_segmentation", "unet")
    assert run.first is None
    assert "classes" not in run.profile
