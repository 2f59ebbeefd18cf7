"""Marked objects: coco, kitti and pascal_voc, good and broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from trainyard_data.findings import Findings
from trainyard_data.formats import coco, kitti, pascal_voc
from trainyard_data.formats.boxes import Box
from trainyard_data.tree import listed

KITTI = "{} 0.00 0 -1.57 {} {} {} {} 1.6 1.6 3.9 1.0 1.7 8.4 -1.56"


def coco_json(**changes: Any) -> str:
    found: dict[str, Any] = {
        "info": {"year": 2024},
        "images": [
            {"id": 1, "file_name": "1.png", "width": 20, "height": 10},
            {"id": 2, "file_name": "2.png", "width": 20, "height": 10},
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 7, "name": "Möwe"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 10], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [1.5, 2, 3, 4]},
            {"id": 3, "image_id": 2, "category_id": 1, "bbox": [19, 9, 1, 1]},
        ],
    } | changes
    return json.dumps(found, indent=1)


def coco_files(picture: Any, text: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "annotations.json": text or coco_json(**changes),
        "images/1.png": picture(20, 10),
        "images/2.png": picture(20, 10),
    }


def kitti_files(picture: Any, *lines: str, **more: Any) -> dict[str, Any]:
    text = "\n".join(lines) or KITTI.format("Car", 0, 0, 20, 10) + "\n" + KITTI.format(
        "DontCare", -1, -1, -1, -1
    )
    return {
        "images/000000.png": picture(20, 10),
        "images/000001.png": picture(20, 10),
        "labels/000000.txt": text + "\n",
        "labels/000001.txt": "",
    } | more


def voc_xml(**changes: Any) -> str:
    values = {
        "filename": "1.jpg",
        "width": 20,
        "height": 10,
        "name": "dog",
        "xmin": 1,
        "ymax": 10,
        "before": "",
    } | changes
    return """{before}<annotation>
  <filename>{filename}</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <object>
    <name>{name}</name><pose>Left</pose><truncated>1</truncated><difficult>1</difficult>
    <bndbox><xmin>{xmin}</xmin><ymin>1</ymin><xmax>20</xmax><ymax>{ymax}</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
  </object>
</annotation>
""".format(**values)


def voc_files(picture: Any, text: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "VOC2012/Annotations/1.xml": text or voc_xml(**changes),
        "VOC2012/JPEGImages/1.jpg": picture(20, 10, kind="JPEG"),
        "VOC2012/ImageSets/Main/train.txt": "1\n",
    }


def test_a_good_coco_dataset(checked, picture):
    run = checked(coco_files(picture), "object_detection", "coco")
    assert run.first is None
    assert run.profile["summary"] == "2 images, 3 boxes, 2 classes"
    assert run.profile["classes"] == [{"name": "car", "count": 2}, {"name": "Möwe", "count": 1}]
    assert run.verdict["filesChecked"] == 3


@pytest.mark.parametrize(
    ("annotations", "image", "split"),
    [
        ("annotations/instances_train2017.json", "train2017/1.png", "train"),
        ("annotations/instances_val.json", "images/val/1.png", "val"),
        ("train/_annotations.coco.json", "train/1.png", "train"),
        ("data/annotations.json", "data/images/1.png", None),
        ("test.json", "images/1.png", "test"),
    ],
)
def test_finds_the_images_of_a_coco_file(annotations, image, split, checked, picture):
    one = coco_json(
        images=[{"id": 1, "file_name": "1.png", "width": 20, "height": 10}],
        annotations=[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
    )
    run = checked({annotations: one, image: picture(20, 10)}, "object_detection", "coco")
    assert run.first is None
    assert run.profile.get("splits") == ([{"name": split, "count": 1}] if split else None)


def test_of_cocos_own_archive_the_instances_are_read(checked, picture):
    images = [{"id": 1, "file_name": "1.png", "width": 20, "height": 10}]
    marks = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}]
    one = coco_json(images=images, annotations=marks)
    captions = json.dumps({"images": images, "annotations": [{"id": 1, "image_id": 1, "caption": "a car"}]})
    files = {
        "annotations/instances_val2017.json": one,
        "annotations/person_keypoints_val2017.json": one,
        "annotations/captions_val2017.json": captions,
        "val2017/1.png": picture(20, 10),
    }
    run = checked(files, "object_detection", "coco")
    assert run.first is None
    assert run.profile["summary"] == "1 image, 1 box, 1 class"


IMAGE = {"id": 1, "file_name": "1.png", "width": 20, "height": 10}
MARK = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}

COCO_BROKEN: dict[str, tuple[Callable[[Any], dict[str, Any]], tuple[str, int | None, str]]] = {
    "no json": (lambda picture: {"images/1.png": picture()}, (".", None, "There is no .json file")),
    "no object": (
        lambda picture: coco_files(picture, "[]"),
        ("annotations.json", 1, "This is no JSON object"),
    ),
    "0 bytes": (
        lambda picture: coco_files(picture) | {"annotations.json": ""},
        ("annotations.json", None, "The file is empty."),
    ),
    "cut off": (
        lambda picture: coco_files(picture, coco_json()[:-60]),
        ("annotations.json", 56, "This is not valid JSON"),
    ),
    "a comma too few": (
        lambda picture: coco_files(
            picture, '{"images": [],\n"categories": [\n{"id": 1, "name": "a"}\n{"id": 2}]}'
        ),
        ("annotations.json", 4, "This is not valid JSON: ',' is missing here."),
    ),
    "not UTF-8": (
        lambda picture: (
            coco_files(picture)
            | {"annotations.json": coco_json().replace("M\\u00f6we", "M\xf6we").encode("latin-1")}
        ),
        ("annotations.json", 24, "This is not valid JSON: it is not UTF-8."),
    ),
    "nested without end": (
        lambda picture: coco_files(picture, '{"images": ' + "[" * 200_000),
        ("annotations.json", 1, "This is not valid JSON: it is nested too deeply."),
    ),
    "no categories": (
        lambda picture: coco_files(picture, '{"images": [], "annotations": []}'),
        ("annotations.json", None, 'There is no list "categories"'),
    ),
    "images no list": (
        lambda picture: coco_files(picture, images={"a": 1}),
        ("annotations.json", 5, "images must be a list."),
    ),
    "an image that is not there": (
        lambda picture: coco_files(picture, images=[IMAGE, IMAGE | {"id": 2, "file_name": "3.png"}]),
        ("annotations.json", 12, "The image 3.png of id 2 is not there."),
    ),
    "an image outside": (
        lambda picture: coco_files(
            picture, images=[IMAGE | {"file_name": "../../../etc/passwd"}], annotations=[MARK]
        ),
        ("annotations.json", 6, "The image ../../../etc/passwd of id 1 is outside of the dataset's folder."),
    ),
    "an id of two images": (
        lambda picture: coco_files(
            picture, images=[IMAGE, IMAGE | {"file_name": "2.png"}], annotations=[MARK]
        ),
        ("annotations.json", 12, "The id 1 is that of another image, too."),
    ),
    "an id of two annotations": (
        lambda picture: coco_files(picture, annotations=[MARK, MARK]),
        ("annotations.json", 41, "The id 1 is that of another annotation, too."),
    ),
    "an unknown image": (
        lambda picture: coco_files(picture, annotations=[MARK, MARK | {"id": 2, "image_id": 9}]),
        ("annotations.json", 41, "There is no image with the id 9 among images."),
    ),
    "an unknown category": (
        lambda picture: coco_files(picture, annotations=[MARK | {"category_id": 3}]),
        ("annotations.json", 30, "There is no category with the id 3."),
    ),
    "a box of three numbers": (
        lambda picture: coco_files(picture, annotations=[MARK | {"bbox": [1, 2, 3]}]),
        ("annotations.json", 30, "The bbox of annotation 1 must be four numbers."),
    ),
    "a box of no numbers": (
        lambda picture: coco_files(picture, annotations=[MARK | {"bbox": [1, 2, 3, float("nan")]}]),
        ("annotations.json", 30, "The bbox of annotation 1 must be four numbers."),
    ),
    "a box outside": (
        lambda picture: coco_files(picture, annotations=[MARK | {"bbox": [10, 0, 15, 5]}]),
        (
            "annotations.json",
            30,
            "The box of 'car' (10, 0 to 25, 5) is outside of its image, which is 20 x 10.",
        ),
    ),
    "a box without area": (
        lambda picture: coco_files(picture, annotations=[MARK | {"bbox": [1, 1, 0, 5]}]),
        ("annotations.json", 30, "The box of 'car' has no area: it is 0 wide and 5 high."),
    ),
    "another size": (
        lambda picture: coco_files(picture) | {"images/2.png": picture(21, 10)},
        ("annotations.json", 12, "images/2.png is 21 x 10, but the label says 20 x 10."),
    ),
    "a broken image": (
        lambda picture: coco_files(picture) | {"images/2.png": b"x"},
        ("images/2.png", None, "This is no image that can be read."),
    ),
}

KITTI_BROKEN: dict[str, tuple[Callable[[Any], dict[str, Any]], tuple[str, int | None, str]]] = {
    "no images": (
        lambda picture: {"labels/1.txt": "x"},
        (".", None, "There is no folder images/ with images"),
    ),
    "no labels": (
        lambda picture: {"images/1.png": picture()},
        ("images", None, "There is no folder labels/ beside these images."),
    ),
    "two images of one label": (
        lambda picture: {
            "images/1.jpg": picture(kind="JPEG"),
            "images/1.png": picture(),
            "labels/1.txt": KITTI.format("Car", 0, 0, 5, 5),
        },
        ("images/1.png", None, "1.jpg has the same name but for its suffix: rename or remove one."),
    ),
    "14 columns": (
        lambda picture: kitti_files(
            picture, KITTI.format("Car", 0, 0, 9, 9), KITTI.format("Car", 0, 0, 9, 9)[:-6]
        ),
        ("labels/000000.txt", 2, "The line has 14 columns, not 15."),
    ),
    "a word for a number": (
        lambda picture: kitti_files(picture, KITTI.format("Car", 0, "one", 9, 9)),
        ("labels/000000.txt", 1, "Column top is 'one', which is no number."),
    ),
    "no finite number": (
        lambda picture: kitti_files(picture, KITTI.format("Car", 0, "nan", 9, 9)),
        ("labels/000000.txt", 1, "Column top is 'nan', which is no finite number."),
    ),
    "a box outside": (
        lambda picture: kitti_files(
            picture, KITTI.format("Car", 0, 0, 9, 9), "", KITTI.format("Car", 0, 0, 30, 9)
        ),
        (
            "labels/000000.txt",
            3,
            "The box of 'Car' (0, 0 to 30, 9) is outside of its image, which is 20 x 10.",
        ),
    ),
    "corners swapped": (
        lambda picture: kitti_files(picture, KITTI.format("Car", 9, 0, 1, 9)),
        ("labels/000000.txt", 1, "The box of 'Car' has no area: it is -8 wide and 9 high."),
    ),
    "a label without image": (
        lambda picture: kitti_files(picture) | {"labels/000009.txt": ""},
        ("labels/000009.txt", None, "There is no image 000009 in images/."),
    ),
    "an image without label": (
        lambda picture: kitti_files(picture) | {"images/000009.png": picture()},
        ("images/000009.png", None, "There is no label for this image in labels/."),
    ),
    "an endless line": (
        lambda picture: kitti_files(picture, "Car " + "0" * 2_000_000),
        ("labels/000000.txt", 1, "The line is longer than 1,048,576 bytes"),
    ),
    "zero bytes": (
        lambda picture: kitti_files(picture) | {"labels/000001.txt": b"\0\0\0"},
        ("labels/000001.txt", 1, "The line has zero bytes: this is no text."),
    ),
}

VOC_BROKEN: dict[str, tuple[Callable[[Any], dict[str, Any]], tuple[str, int | None, str]]] = {
    "no xml": (lambda picture: {"JPEGImages/1.jpg": picture()}, (".", None, "There is no .xml file")),
    "no XML": (
        lambda picture: voc_files(picture, "<annotation>\n<size></annotation>"),
        ("VOC2012/Annotations/1.xml", 2, "This is not valid XML: mismatched tag."),
    ),
    "0 bytes": (
        lambda picture: voc_files(picture) | {"VOC2012/Annotations/1.xml": ""},
        ("VOC2012/Annotations/1.xml", 1, "This is not valid XML: no element found."),
    ),
    "entities that grow": (
        lambda picture: voc_files(
            picture,
            before='<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
            name="&c;",
        ),
        (
            "VOC2012/Annotations/1.xml",
            None,
            "The file defines entities or a document type, which is not read.",
        ),
    ),
    "a file from outside": (
        lambda picture: voc_files(
            picture, before='<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>', name="&a;"
        ),
        (
            "VOC2012/Annotations/1.xml",
            None,
            "The file defines entities or a document type, which is not read.",
        ),
    ),
    "another root": (
        lambda picture: voc_files(picture, "<html/>"),
        ("VOC2012/Annotations/1.xml", None, "The file is about <html>, not <annotation>."),
    ),
    "no image": (
        lambda picture: {"VOC2012/Annotations/1.xml": voc_xml()},
        ("VOC2012/Annotations/1.xml", None, "The image 1.jpg is not there."),
    ),
    "no size": (
        lambda picture: voc_files(picture, width=0),
        ("VOC2012/Annotations/1.xml", None, "There is no <size> with <width> and <height> above 0."),
    ),
    "another size": (
        lambda picture: voc_files(picture, width=21),
        (
            "VOC2012/Annotations/1.xml",
            None,
            "VOC2012/JPEGImages/1.jpg is 20 x 10, but the label says 21 x 10.",
        ),
    ),
    "a box outside": (
        lambda picture: voc_files(picture, ymax=20),
        (
            "VOC2012/Annotations/1.xml",
            4,
            "The box of 'dog' (0, 0 to 20, 20) is outside of its image, which is 20 x 10.",
        ),
    ),
    "a corner that is no number": (
        lambda picture: voc_files(picture, xmin="left"),
        ("VOC2012/Annotations/1.xml", 4, "<xmin> of object 1 (dog) is 'left', which is no number."),
    ),
    "an object without a name": (
        lambda picture: voc_files(picture, name=""),
        ("VOC2012/Annotations/1.xml", 4, "Object 1 has no <name>."),
    ),
}

BROKEN = {
    (format, name): case
    for format, cases in (("coco", COCO_BROKEN), ("kitti", KITTI_BROKEN), ("pascal_voc", VOC_BROKEN))
    for name, case in cases.items()
}


@pytest.mark.parametrize(("format", "name"), BROKEN, ids=[" ".join(key) for key in BROKEN])
def test_tells_what_is_wrong(format, name, checked, picture):
    make, (path, line, message) = BROKEN[format, name]
    run = checked(make(picture), "object_detection", format)
    assert run.first is not None
    assert (run.first[:2], run.first[2][: len(message)]) == ((path, line), message)
    assert run.code == 0


def test_a_good_kitti_dataset(checked, picture):
    run = checked(kitti_files(picture), "object_detection", "kitti")
    assert run.first is None
    assert run.profile["summary"] == "2 images, 1 box, 1 class"
    assert run.profile["classes"] == [{"name": "Car", "count": 1}]


def test_kitti_in_parts_with_a_test_set_without_labels(checked, picture):
    line = KITTI.format("Car", 0, 0, 20, 10) + " 0.9\n"
    files = {
        "training/image_2/1.png": picture(20, 10),
        "training/label_2/1.txt": line,
        "val/images/1.png": picture(20, 10),
        "val/labels/1.txt": line,
        "testing/image_2/1.png": picture(20, 10),
    }
    run = checked(files, "object_detection", "kitti")
    assert run.first is None
    assert run.profile["splits"] == [{"name": "training", "count": 1}, {"name": "val", "count": 1}]


def test_a_good_pascal_voc_dataset(checked, picture):
    run = checked(voc_files(picture), "object_detection", "pascal_voc")
    assert run.first is None
    assert run.profile["summary"] == "1 image, 1 box, 1 class"
    assert run.profile["splits"] == [{"name": "train", "count": 1}]


def test_every_reader_gives_the_same_box_for_the_same_pixels(tmp_path, picture):
    """Ten pixels wide from the left edge: coco counts from 0, pascal_voc from 1 with both ends."""
    folders = {
        "coco": coco_files(picture, annotations=[MARK | {"bbox": [0, 0, 10, 5]}]),
        "kitti": kitti_files(picture, KITTI.format("car", 0, 0, 10, 5)),
        "pascal_voc": voc_files(picture, voc_xml(name="car", ymax=5).replace("<xmax>20<", "<xmax>10<")),
    }
    readers = {"coco": coco.read, "kitti": kitti.read, "pascal_voc": pascal_voc.read}
    for format, files in folders.items():
        for path, content in files.items():
            target = tmp_path / format / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        first = next(iter(readers[format](listed(tmp_path / format, Findings()), Findings())))
        (box,) = first.boxes
        assert isinstance(box, Box)
        assert (box.category, box.x, box.y, box.width, box.height) == ("car", 0, 0, 10, 5), format
