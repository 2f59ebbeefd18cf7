"""augment: what is drawn by chance, where boxes and outlines go, and the files that come of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainyard_data.actions.changing import Change, changed, drawn, moved
from trainyard_data.formats.boxes import Box

NO_COLOUR = {"brightness": 0, "contrast": 0, "saturation": 0}


@st.composite
def changes(draw: st.DrawFn) -> Change:
    width, height = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    quarters = draw(st.integers(0, 3))
    across, down = (height, width) if quarters % 2 else (width, height)
    left, top = draw(st.integers(0, across - 1)), draw(st.integers(0, down - 1))
    return Change(
        width=width,
        height=height,
        mirrored=draw(st.booleans()),
        upside_down=draw(st.booleans()),
        quarters=quarters,
        crop=(left, top, draw(st.integers(left + 1, across)), draw(st.integers(top + 1, down))),
    )


@given(changes(), st.data())
def test_a_box_is_where_its_pixels_are(change: Change, data: st.DataObject) -> None:
    x0, y0 = data.draw(st.integers(0, change.width - 1)), data.draw(st.integers(0, change.height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, change.width)), data.draw(st.integers(y0 + 1, change.height))
    pixels = np.zeros((change.height, change.width), dtype=np.uint8)
    pixels[y0:y1, x0:x1] = 255
    outline = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    box = Box("a", x0, y0, x1 - x0, y1 - y0, extra={"segmentation": outline, "area": (x1 - x0) * (y1 - y0)})
    after = np.asarray(changed(Image.fromarray(pixels), change))
    rows, columns = np.nonzero(after)
    found = moved(box, change, min_visibility=0)
    if not len(rows):
        assert found is None
        return
    assert found is not None
    place = (found.x, found.y, found.x + found.width, found.y + found.height)
    assert place == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    if change.moves:
        (flat,) = found.extra["segmentation"]
        assert (min(flat[::2]), min(flat[1::2]), max(flat[::2]), max(flat[1::2])) == place
        assert found.extra["area"] == pytest.approx(len(rows))


def test_too_little_of_a_box_is_no_box() -> None:
    half = Change(width=10, height=10, crop=(5, 0, 10, 10))
    box = Box("a", 4, 0, 4, 4)
    found = moved(box, half, min_visibility=0.75)
    assert found is not None
    assert (found.x, found.width, found.truncated) == (0, 3, 0.25)
    assert moved(box, half, min_visibility=0.76) is None


def test_one_parameter_does_not_change_what_the_others_come_to() -> None:
    parameters = {
        "seed": 1,
        "horizontal_flip": 0.5,
        "vertical_flip": 0.5,
        "rotate_90": 0,
        "crop": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue": 0.0,
    }
    first = drawn(parameters, 40, 30, path="a.png", copy=1)
    bluer = drawn({**parameters, "hue": 0.5, "vertical_flip": 0.0}, 40, 30, path="a.png", copy=1)
    assert (first.mirrored, first.crop, first.brightness) == (bluer.mirrored, bluer.crop, bluer.brightness)
    assert drawn(parameters, 40, 30, path="a.png", copy=2) != first
    assert drawn({**parameters, "seed": 2}, 40, 30, path="a.png", copy=1) != first


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
def test_any_colours_are_changed_or_left_alone(mode: str) -> None:
    pixels = np.arange(48, dtype=np.uint16 if mode == "I;16" else np.uint8).reshape(6, 8)
    image = Image.fromarray(pixels)
    image = image if mode == "I;16" else image.convert(mode)
    change = Change(
        width=8,
        height=6,
        mirrored=True,
        quarters=1,
        crop=(0, 1, 6, 7),
        brightness=1.3,
        contrast=0.7,
        saturation=1.4,
        hue=0.2,
    )
    assert changed(image, change).size == (6, 6)


@pytest.fixture(scope="module")
def cats(picture: Callable[..., bytes]) -> dict[str, str | bytes]:
    line = "cat 0.00 0 0.00 {} 0 0 0 0 0 0 0\n"
    return {
        "train/images/a.png": picture(32, 24, seed=1),
        "train/labels/a.txt": line.format("2 3 12 13"),
        "train/images/b.jpg": picture(32, 24, seed=2, kind="JPEG"),
        "train/labels/b.txt": line.format("0 0 32 24") + line.format("20 10 30 20"),
        "val/images/a.png": picture(32, 24, seed=3),
        "val/labels/a.txt": "",
    }


def test_copies_come_beside_the_images_and_val_stays_as_it_is(
    cats: dict[str, str | bytes], act: Any, valid: Any
) -> None:
    done = act(
        *("augment", cats, "object_detection", "kitti"),
        to="kitti",
        copies=2,
        rotate_90="0.5",
        crop=0.3,
        hue=0.1,
    )
    assert done.code == 0, done.text
    assert [path for path in done.files() if path.endswith((".png", ".jpg"))] == [
        *("train/images/a.png", "train/images/a_aug1.png", "train/images/a_aug2.png"),
        *("train/images/b.jpg", "train/images/b_aug1.jpg", "train/images/b_aug2.jpg"),
        "val/images/a.png",
    ]
    subject = valid(done.dataset, "object_detection", "kitti")
    assert done.report["counts"]["changed"] == 4
    assert done.report["counts"]["boxes"] == subject.profile.boxes
    assert (done.dataset / "train/images/a.png").read_bytes() == cats["train/images/a.png"]
    assert (done.dataset / "train/images/a_aug1.png").read_bytes() != cats["train/images/a.png"]


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_gives_the_same_bytes(cats: dict[str, str | bytes], act: Any) -> None:
    how = {"copies": 3, "crop": 0.5, "rotate_90": 0.5, "keep_originals": False}
    first, second, other = (
        tree_of(act("augment", cats, "object_detection", "kitti", seed=seed, **how).dataset)
        for seed in (7, 7, 8)
    )
    assert first == second
    assert first.keys() == other.keys()
    assert first != other


@pytest.mark.parametrize("format", ["coco", "pascal_voc"])
def test_other_annotations_are_augmented_as_well(
    format: str, cats: dict[str, str | bytes], act: Any, valid: Any
) -> None:
    there = act("convert", cats, "object_detection", "kitti", to=format).dataset
    done = act("augment", there, "object_detection", format, vertical_flip=1, all_splits=True)
    assert done.code == 0, done.text
    profile = valid(done.dataset, "object_detection", format).profile
    assert (profile.images, profile.boxes) == (6, 6)
    assert dict(profile.splits) == {"train": 4, "val": 2}


def test_coco_keeps_its_categories_as_they_are(picture: Callable[..., bytes], act: Any) -> None:
    category = {"id": 7, "name": "person", "supercategory": "animal", "keypoints": ["nose"]}
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 7,
        "bbox": [1, 1, 4, 4],
        "keypoints": [2, 2, 2],
        "segmentation": {"size": [8, 8], "counts": [0, 64]},
        "area": 64,
        "iscrowd": 1,
    }
    images = [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}]
    files = {
        "a.png": picture(8, 8),
        "annotations.json": json.dumps(
            {"images": images, "annotations": [annotation], "categories": [category]}
        ),
    }
    done = act("augment", files, "object_detection", "coco", horizontal_flip=1)
    found = json.loads((done.dataset / "annotations.json").read_text())
    assert found["categories"] == [category]
    whole, changed_one = found["annotations"]
    assert {key: whole[key] for key in annotation} == annotation
    assert "keypoints" not in changed_one
    assert changed_one["bbox"] == [3, 1, 4, 4]
    assert done.report["losses"] == [
        "The keypoints of 1 objects of changed copies are left out.",
        "The masks (RLE) of 1 objects of changed copies are left out.",
    ]


def test_masks_move_with_their_images_and_keep_their_classes(
    picture: Callable[..., bytes], mask: Callable[..., bytes], act: Any, valid: Any
) -> None:
    files = {"images/a.png": picture(8, 6, mode="L"), "masks/a.png": mask(8, 6, 0, 1, 2)}
    done = act("augment", files, "semantic_segmentation", "unet", rotate_90=1, horizontal_flip=1, **NO_COLOUR)
    assert done.code == 0, done.text
    valid(done.dataset, "semantic_segmentation", "unet")
    turned = np.asarray(Image.open(done.dataset / "masks/a_aug1.png"))
    whole = np.asarray(Image.open(io.BytesIO(files["masks/a.png"])))
    assert sorted(turned.flatten()) == sorted(whole.flatten())
    assert not np.array_equal(turned, whole)


def test_classes_are_augmented_in_their_folders(picture: Callable[..., bytes], act: Any, valid: Any) -> None:
    files = {
        "train/cat/1.png": picture(seed=1),
        "train/dog/1.jpg": picture(seed=2, kind="JPEG"),
        "val/cat/1.png": picture(seed=3),
        "val/dog/1.png": picture(seed=4),
    }
    done = act("augment", files, "image_classification", "classification_pyt", copies=2)
    assert done.code == 0, done.text
    profile = valid(done.dataset, "image_classification", "classification_pyt").profile
    assert dict(profile.classes) == {"cat": 4, "dog": 4}


REFUSED: list[Any] = [
    pytest.param("tabular", "csv", {"a.csv": "a\n1\n"}, {}, "works on annotated images", id="a table"),
    pytest.param(
        "object_detection",
        "kitti",
        None,
        {"horizontal_flip": 0, **NO_COLOUR},
        "Nothing would change",
        id="no change",
    ),
    pytest.param("object_detection", "kitti", None, {"crop": 0.95}, "at most 0.9", id="a crop of nearly all"),
    pytest.param("object_detection", "kitti", None, {"to": "coco"}, "keeps the format", id="another format"),
]


@pytest.mark.parametrize(("type", "format", "files", "how", "says"), REFUSED)
def test_it_is_refused(
    type: str, format: str, files: Any, how: Any, says: str, cats: dict[str, str | bytes], act: Any
) -> None:
    done = act("augment", files or cats, type, format, **how)
    assert (done.code, says in done.message) == (2, True), done.message


def test_masks_that_every_change_would_blur_are_refused(picture: Callable[..., bytes], act: Any) -> None:
    files = {"images/a.png": picture(8, 6), "masks/a.jpg": picture(8, 6, mode="L", kind="JPEG")}
    done = act("augment", files, "semantic_segmentation", "unet", horizontal_flip=1)
    assert done.code == 2
    assert "save masks as PNG" in done.message
    assert not done.dataset.exists()
