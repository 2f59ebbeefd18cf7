"""convert: each format into each other, what comes back is what was there, and what is lost is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from trainyard_data.actions.contract import Order
from trainyard_data.actions.source import labelled, opened

FORMATS = ("coco", "kitti", "pascal_voc")
PAIRS = [(a, b) for a in FORMATS for b in FORMATS if a != b]
Boxes = dict[str, list[tuple[str, float, float, float, float]]]


def boxes_of(folder: Path, format: str) -> Boxes:
    """By image, with its part: category and place of each object."""
    order = Order(
        action="test",
        parameters={},
        dataset=folder.name,
        folder=folder,
        type="object_detection",
        format=format,
        output_type="",
        output_format="",
        output_dir=None,
    )
    found: Boxes = {}
    for one, _ in labelled(opened(order, works_on=("boxes",))):
        name = f"{one.split or ''}:{one.image.path.rpartition('/')[2]}"
        found[name] = sorted(
            (box.category, *(round(v, 3) for v in (box.x, box.y, box.width, box.height))) for box in one.boxes
        )
    return found


def coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]], *names: str) -> str:
    categories = [{"id": 10 * number, "name": name} for number, name in enumerate(names, 1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def an_annotation(number: int, image: int, category: int, *bbox: float, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}


@pytest.fixture(scope="module")
def cats(picture: Callable[..., bytes]) -> dict[str, str | bytes]:
    """Two parts, an image without an object, two images of the same name."""
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in (1, 2)]
    return {
        "annotations/instances_train.json": coco(
            images,
            [
                an_annotation(1, 1, 10, 2, 3, 10, 12),
                an_annotation(2, 1, 20, 0, 0, 40, 30),
            ],
            "cat",
            "dog",
        ),
        "annotations/instances_val.json": coco(
            images[:1], [an_annotation(1, 1, 20, 5, 6, 7, 8)], "cat", "dog"
        ),
        "images/train/1.png": picture(40, 30, seed=1),
        "images/train/2.png": picture(40, 30, seed=2),
        "images/val/1.png": picture(40, 30, seed=3),
    }


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda pair: str(pair))
def test_there_and_back_is_what_it_was(
    first: str, second: str, cats: dict[str, str | bytes], act: Any, valid: Any
) -> None:
    begin = act("convert", cats, "object_detection", "coco", to=first) if first != "coco" else None
    if begin is None:
        there = act("convert", cats, "object_detection", "coco", to=second).dataset
    else:
        there = act("convert", begin.dataset, "object_detection", first, to=second).dataset
    valid(there, "object_detection", second)
    back = act("convert", there, "object_detection", second, to=first)
    assert back.code == 0, back.text
    subject = valid(back.dataset, "object_detection", first)
    assert dict(subject.profile.classes) == {"cat": 1, "dog": 2}
    assert dict(subject.profile.splits) == {"train": 2, "val": 1}
    found = boxes_of(back.dataset, first)
    assert len(found) == 3, "also the image without an object"
    assert sorted(box for boxes in found.values() for box in boxes) == [
        ("cat", 2, 3, 10, 12),
        ("dog", 0, 0, 40, 30),
        ("dog", 5, 6, 7, 8),
    ]


def test_the_files_of_the_images_are_the_same_bytes(cats: dict[str, str | bytes], act: Any) -> None:
    done = act("convert", cats, "object_detection", "coco", to="pascal_voc")
    there = {path.read_bytes() for path in (done.dataset / "JPEGImages").iterdir()}
    assert there == {content for path, content in cats.items() if path.endswith(".png")}
    assert done.report["counts"]["images"] == 3
    assert done.verdict["metrics"]["boxes"] == 3


def test_what_coco_says_and_others_cannot_is_told(picture: Callable[..., bytes], act: Any) -> None:
    outline = [[1, 1, 5, 1, 5, 5]]
    files = {
        "annotations.json": coco(
            [{"id": 1, "file_name": "1.png", "width": 20, "height": 20}],
            [
                an_annotation(1, 1, 10, 1, 1, 4.5, 4, segmentation=outline, iscrowd=1),
                an_annotation(2, 1, 10, 1, 1, 4, 4),
            ],
            "traffic light",
            "unused",
        ),
        "1.png": picture(20, 20),
    }
    kitti = act("convert", files, "object_detection", "coco", to="kitti")
    assert kitti.report["losses"] == [
        'The category "traffic light" is called "traffic_light", as in kitti a type is one word.',
        "The outlines of 1 objects are left out.",
        "That 1 objects are crowds is left out.",
        "Categories without an object are left out: unused.",
    ]
    assert "lost: " in kitti.message
    assert "Lost: The outlines" in kitti.text
    assert (
        (kitti.dataset / "labels/1.txt")
        .read_text()
        .splitlines()[0]
        .startswith("traffic_light 0.00 0 0.00 1.00")
    )
    voc = act("convert", files, "object_detection", "coco", to="pascal_voc")
    assert "The corners of 1 boxes are rounded to whole pixels." in voc.report["losses"]
    assert "traffic light" in (voc.dataset / "Annotations/1.xml").read_text()


def test_what_kitti_says_and_coco_has_a_place_for_is_kept(picture: Callable[..., bytes], act: Any) -> None:
    line = "Car 0.25 2 1.55 1.00 2.00 11.00 12.00 1.5 1.6 3.9 2.0 1.0 20.0 1.57\n"
    files = {
        "images/a.png": picture(40, 30),
        "labels/a.txt": line + "DontCare -1 -1 -10 0 0 5 5 -1 -1 -1 -1000 -1000 -1000 -10\n",
    }
    to_coco = act("convert", files, "object_detection", "kitti", to="coco")
    assert to_coco.report["losses"] == [
        "1 regions of kitti's DontCare are left out.",
        "The figures in space of 1 objects are left out.",
    ]
    (annotation,) = json.loads((to_coco.dataset / "annotations.json").read_text())["annotations"]
    assert annotation["bbox"] == [1, 2, 10, 10]
    assert annotation["attributes"] == {"truncated": 0.25, "occluded": 2}
    back = act("convert", to_coco.dataset, "object_detection", "coco", to="kitti")
    assert (back.dataset / "labels/a.txt").read_text().split()[:8] == [
        *line.split()[:3],
        *("0.00", "1.00", "2.00", "11.00", "12.00"),
    ]


def test_a_score_of_kitti_comes_back_from_coco(picture: Callable[..., bytes], act: Any) -> None:
    line = "Car 0.00 0 0.00 1.00 2.00 11.00 12.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.90\n"
    files = {"images/a.png": picture(40, 30), "labels/a.txt": line}
    to_coco = act("convert", files, "object_detection", "kitti", to="coco").dataset
    back = act("convert", to_coco, "object_detection", "coco", to="kitti").dataset
    assert (back / "labels/a.txt").read_text() == line


@pytest.mark.parametrize("to", ["kitti", "pascal_voc"])
def test_ids_with_a_point_and_areas_that_are_none_are_read(
    to: str, picture: Callable[..., bytes], act: Any, valid: Any
) -> None:
    said = {
        "images": [{"id": 1.0, "file_name": "1.png", "width": 20, "height": 20}],
        "annotations": [an_annotation(1, 1, 1, 1, 1, 4, 4, area=math.nan)],
        "categories": [{"id": 1.0, "name": "traffic light"}],
    }
    there = act(
        "convert", {"1.png": picture(20, 20), "a.json": json.dumps(said)}, "object_detection", "coco", to=to
    )
    assert there.code == 0, there.text
    assert there.report["counts"]["classes"] == 1
    back = act("convert", there.dataset, "object_detection", to, to="coco").dataset
    copied = act(
        "augment", {"1.png": picture(20, 20), "a.json": json.dumps(said)}, "object_detection", "coco", hue=0.1
    )
    assert copied.code == 0, copied.text
    for made in (back, copied.dataset):
        text = (made / "annotations.json").read_text()
        assert json.loads(text)["annotations"][0]["area"] == 16


CSV = (
    "id,when,amount,ok,code,note\n1,2024-01-01,1.5,true,007,a\n2,2024-01-02,NA,false,010,\n"
    '3,2024-02-29,2,TRUE,1,"b, ""c"""\n'
)


def test_csv_becomes_typed_parquet_and_comes_back(act: Any, valid: Any) -> None:
    done = act("convert", {"data.csv": CSV}, "tabular", "csv", to="parquet")
    assert done.code == 0, done.text
    assert done.report["losses"] == []
    found = parquet.read_table(done.dataset / "data.parquet")
    types = {field.name: str(field.type) for field in found.schema}
    assert types == {
        "id": "int64",
        "when": "date32[day]",
        "amount": "double",
        "ok": "bool",
        "code": "string",
        "note": "string",
    }
    assert found.column("amount").to_pylist() == [1.5, None, 2.0]
    assert found.column("note").to_pylist() == ["a", None, 'b, "c"']
    assert valid(done.dataset, "tabular", "parquet").profile.rows == 3
    back = act("convert", done.dataset, "tabular", "parquet", to="csv")
    assert (back.dataset / "data.csv").read_text() == (
        "id,when,amount,ok,code,note\n1,2024-01-01,1.5,true,007,a\n2,2024-01-02,,false,010,\n"
        '3,2024-02-29,2,true,1,"b, ""c"""\n'
    )
    assert back.report["losses"] == ["The types of 4 columns are left out: csv holds text."]


def test_a_type_holds_for_every_row_or_it_is_text(act: Any) -> None:
    rows = "\n".join(str(number) for number in range(50_000))
    done = act(
        "convert",
        {"a.csv": f"n,m\n{rows.replace(chr(10), ',1' + chr(10))},1\nlast,1\n"},
        "tabular",
        "csv",
        to="parquet",
    )
    found = parquet.read_table(done.dataset / "a.parquet")
    assert [str(field.type) for field in found.schema] == ["string", "int64"]
    assert found.num_rows == 50_001
    untyped = act(
        "convert",
        {"a.csv": "n,m\n1,2\n"},
        "tabular",
        "csv",
        to="parquet",
        infer_types="false",
        compression="none",
    )
    assert [str(f.type) for f in parquet.read_schema(untyped.dataset / "a.parquet")] == ["string", "string"]


def test_what_csv_cannot_hold_is_written_as_json_or_refused(act: Any, tmp_path: Path) -> None:
    table = pa.table({"a": [[1, 2], None], "b": ["", None]})
    (tmp_path / "t").mkdir()
    parquet.write_table(table, tmp_path / "t/x.parquet")
    done = act("convert", tmp_path / "t", "tabular", "parquet", to="csv")
    assert (done.dataset / "x.csv").read_text() == 'a,b\n"[1, 2]",\n,\n'
    assert any("written as JSON" in one for one in done.report["losses"])
    assert any("1 empty texts" in one for one in done.report["losses"])
    (tmp_path / "bytes").mkdir()
    parquet.write_table(pa.table({"a": [b"\0"]}), tmp_path / "bytes/x.parquet")
    refused = act("convert", tmp_path / "bytes", "tabular", "parquet", to="csv")
    assert refused.code == 2
    assert "holds bytes" in refused.message


REFUSED: list[Any] = [
    pytest.param({"to": ""}, "Say which format", id="no format"),
    pytest.param({"to": "default"}, "Say which format", id="a format that is none"),
    pytest.param({"to": "coco"}, "is coco already", id="its own format"),
    pytest.param({"to": "csv"}, "cannot be converted to csv", id="a table of images"),
    pytest.param({"to": "kitti", "format": "pascal_voc"}, "make them one", id="two formats"),
    pytest.param({"to": "kitti", "formt": "kitti"}, 'Did you mean "format"?', id="a misspelt parameter"),
    pytest.param({"to": "kitti", "compression": "lzo"}, "must be one of zstd", id="an unknown word"),
]


@pytest.mark.parametrize(("how", "says"), REFUSED)
def test_it_is_refused_before_anything_is_written(
    how: dict[str, Any], says: str, cats: dict[str, str | bytes], act: Any
) -> None:
    done = act("convert", cats, "object_detection", "coco", **how)
    assert done.code == 2
    assert says in done.message
    assert done.lines[-1]["status"] == "FAILURE"
    assert not done.dataset.exists()


def test_images_that_no_label_speaks_of_are_told(picture: Callable[..., bytes], act: Any) -> None:
    files = {
        "train/images/a.png": picture(16, 16),
        "train/labels/a.txt": "car 0 0 0 1 1 9 9 0 0 0 0 0 0 0\n",
        "test/images/b.png": picture(16, 16),
    }
    for action, to in (("convert", "coco"), ("augment", "kitti")):
        done = act(action, files, "object_detection", "kitti", to=to)
        assert done.code == 0, done.text
        assert "1 images that no label speaks of are left out." in done.report["losses"]


def test_odd_names_of_images_are_kept_as_far_as_the_format_can(
    picture: Callable[..., bytes], act: Any, valid: Any
) -> None:
    names = ["a b.png", "c\x01.png", "<&>.png", "ü.PNG", "x.y.png"]
    files: dict[str, str | bytes] = {}
    for number, name in enumerate(names):
        files[f"images/{name}"] = picture(16, 16, seed=number)
        files[f"labels/{name.rpartition('.')[0]}.txt"] = "car 0 0 0 1 1 9 9 0 0 0 0 0 0 0\n"
    for format in ("pascal_voc", "coco"):
        done = act("convert", files, "object_detection", "kitti", to=format)
        assert valid(done.dataset, "object_detection", format).profile.images == len(names)


def test_data_that_is_not_valid_is_refused_and_nothing_is_left(
    cats: dict[str, str | bytes], act: Any
) -> None:
    broken = {**cats, "images/val/1.png": b"no image"}
    done = act("convert", broken, "object_detection", "coco", to="kitti")
    assert done.code == 2
    assert "images/val/1.png" in done.message
    assert list(done.output.iterdir()) == []


def test_another_run_writes_it_anew(cats: dict[str, str | bytes], act: Any, tmp_path: Path) -> None:
    (tmp_path / "out/dataset").mkdir(parents=True)
    (tmp_path / "out/dataset/old").write_text("x")
    (tmp_path / "out/.dataset.tmp").mkdir()
    done = act("convert", cats, "object_detection", "coco", to="kitti", output=tmp_path / "out")
    assert done.code == 0
    assert "old" not in done.files()
    assert not (tmp_path / "out/.dataset.tmp").exists()


def test_annotation_format_convert_is_the_same_for_annotations_only(
    cats: dict[str, str | bytes], act: Any
) -> None:
    done = act("annotation_format_convert", cats, "object_detection", "coco", format="kitti")
    assert (done.code, done.report["to"]) == (0, "kitti")
    table = act("annotation_format_convert", {"a.csv": "a\n1\n"}, "tabular", "csv", format="kitti")
    assert table.code == 2
