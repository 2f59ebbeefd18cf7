"""Images in folders of classes, and images of which nothing else is known."""

from __future__ import annotations

from typing import Any

import pytest

CLASS_TYPES = [
    ("image_classification", "default"),
    ("image_classification", "classification_pyt"),
    ("multi_label_classification", "classification_tf2"),
]


@pytest.mark.parametrize(("type", "format"), CLASS_TYPES)
def test_counts_classes_splits_and_sizes(type, format, checked, picture):
    files = {
        "train/cat/1.png": picture(8, 6),
        "train/cat/2.JPG": picture(10, 4, kind="JPEG"),
        "train/dog/1.png": picture(9, 7),
        "val/cat/1.png": picture(8, 6),
        "val/dog/1.webp": picture(8, 12, kind="WEBP"),
        "classes.txt": "cat\ndog\n",
    }
    run = checked(files, type, format)
    assert run.first is None
    assert run.profile["classes"] == [{"name": "cat", "count": 3}, {"name": "dog", "count": 2}]
    assert run.profile["splits"] == [{"name": "train", "count": 3}, {"name": "val", "count": 2}]
    assert run.profile["imageSizes"] == {"minWidth": 8, "maxWidth": 10, "minHeight": 4, "maxHeight": 12}
    assert run.profile["summary"] == "5 images, 2 classes, 2 parts"
    assert run.verdict["filesChecked"] == 6


@pytest.mark.parametrize(
    ("path", "split", "category"),
    [
        ("cat/1.png", None, "cat"),
        ("images/cat/1.png", None, "cat"),
        ("images_train/cat/1.png", "train", "cat"),
        ("mydata/train/cat/1.png", "train", "cat"),
        ("cat/sub/1.png", None, "sub"),
    ],
)
def test_knows_the_class_by_the_folder(path, split, category, checked, picture):
    run = checked({path: picture()}, "image_classification", "default")
    assert run.first is None
    assert run.profile["classes"] == [{"name": category, "count": 1}]
    assert run.profile.get("splits") == ([{"name": split, "count": 1}] if split else None)


def with_thumbnail(jpeg: bytes) -> bytes:
    """A JPEG with a small one in its Exif data, as cameras write them."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0\xff\xd8\xff\xda\0\0\xff\xd9"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def broken(picture: Any) -> dict[str, tuple[dict[str, Any], tuple[str, int | None, str]]]:
    good = {"train/cat/1.png": picture(), "train/dog/1.png": picture(), "classes.txt": "cat\ndog\n"}
    jpeg = picture(64, 64, kind="JPEG")
    return {
        "no images": (
            {"a.txt": "x"},
            (".", None, "There are no images: expected one folder a class, such as train/cat/0001.jpg."),
        ),
        "an image in no class": (
            good | {"train/3.png": picture()},
            ("train/3.png", None, "The image is in no class's folder, such as train/cat/0001.jpg."),
        ),
        "a class without images": (
            good | {"train/emu/": ""},
            ("train/emu", None, "The folder is empty: a class needs images."),
        ),
        "0 bytes": (good | {"train/dog/2.png": b""}, ("train/dog/2.png", None, "The file is empty.")),
        "no image": (
            good | {"train/dog/2.png": b"hello"},
            ("train/dog/2.png", None, "This is no image that can be read."),
        ),
        "half a PNG": (
            good | {"train/dog/2.png": picture(64, 64)[:3000]},
            ("train/dog/2.png", None, "The image is broken"),
        ),
        "half a JPEG": (
            good | {"train/dog/2.jpg": jpeg[: len(jpeg) // 2]},
            ("train/dog/2.jpg", None, "The image is broken: it ends too early."),
        ),
        "half a JPEG with a thumbnail": (
            good | {"train/dog/2.jpg": with_thumbnail(jpeg)[:-2000]},
            ("train/dog/2.jpg", None, "The image is broken"),
        ),
        "a picture of a kind that is not read": (
            good | {"train/dog/3.HEIC": b"ftypheic"},
            ("train/dog/3.HEIC", None, "Pictures of this kind are not read: save it as JPEG or PNG."),
        ),
        "half a WebP": (
            good | {"train/dog/2.webp": picture(64, 64, kind="WEBP")[:900]},
            ("train/dog/2.webp", None, "The image is broken"),
        ),
        "half a bitmap": (
            good | {"train/dog/2.bmp": picture(64, 64, kind="BMP")[:900]},
            ("train/dog/2.bmp", None, "The image is broken"),
        ),
        "a bit turned in a PNG": (
            good | {"train/dog/2.png": picture(64, 64)[:200] + b"\xff\xff" + picture(64, 64)[202:]},
            ("train/dog/2.png", None, "The image is broken"),
        ),
        "a class that is listed and not there": (
            good | {"classes.txt": "cat\ndog\nemu\n"},
            ("classes.txt", 3, "There are no images of the class 'emu'."),
        ),
        "a class that is there and not listed": (
            good | {"classes.txt": "cat\n"},
            ("classes.txt", None, "The class 'dog' has images but is not listed."),
        ),
    }


@pytest.mark.parametrize("name", broken(lambda *_, **__: b""))
def test_tells_what_is_wrong(name, checked, picture):
    files, (path, line, message) = broken(picture)[name]
    run = checked(files, "image_classification", "classification_pyt")
    assert run.first is not None
    assert run.first[:2] == (path, line)
    assert run.first[2].startswith(message)
    assert run.verdict["problems"] == 1


def test_notes_which_images_are_in_other_colours_but_takes_them(checked, picture):
    files = {f"cat/{n}.png": picture(seed=n) for n in range(3)} | {"dog/1.png": picture(mode="L")}
    run = checked(files, "image_classification", "default")
    assert run.verdict["valid"]
    assert "Note: The images are not all in the same colours: 3 in colour, 1 grey." in run.text.splitlines()


def test_notes_a_class_that_a_part_lacks(checked, picture):
    files = {"train/cat/1.png": picture(), "train/dog/1.png": picture(), "val/cat/1.png": picture()}
    run = checked(files, "image_classification", "default")
    assert run.verdict["valid"]
    assert "Note: val has no images of dog." in run.text.splitlines()


def test_images_of_a_test_set_need_no_class(checked, picture):
    run = checked({"train/cat/1.png": picture(), "test/1.png": picture()}, "image_classification", "default")
    assert run.first is None


@pytest.mark.parametrize(
    ("type", "format"),
    [
        ("not_restricted", "raw"),
        ("object_detection", "default"),
        ("object_detection", "raw"),
        ("user_custom", "custom"),
    ],
)
def test_whatever_is_there_is_only_looked_at(type, format, checked, picture):
    run = checked({"a/1.png": picture(), "b.bin": b"\0" * 10, "c.csv": "x;y\n"}, type, format)
    assert run.first is None
    assert run.profile["summary"] == "1 image"
    assert run.profile["files"] == run.verdict["filesChecked"] == 3
    bad = checked({"a/1.png": b"x", "b.bin": b""}, type, format)
    assert bad.first == ("a/1.png", None, "This is no image that can be read.")


def test_a_dataset_without_images_counts_its_files(checked):
    assert checked({"a.bin": "x", "b.bin": "y"}, "not_restricted", "raw").profile["summary"] == "2 files"
