"""split: shares that hold, classes and groups, the same for the same seed, and every row or image once."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard_data.actions.parts import divided

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.integers(0, 9))
def test_each_class_has_its_share_and_all_together_have_it_too(classes: list[int], seed: int) -> None:
    codes = np.array(classes, dtype=np.int32)
    chosen = divided(len(classes), SHARES, seed=seed, classes=codes)
    for place, share in enumerate(SHARES.values()):
        assert abs((chosen == place).sum() - share * len(classes)) <= 1.5
        for one in set(classes):
            size = (codes == one).sum()
            assert abs((chosen[codes == one] == place).sum() - share * size) <= 2


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.integers(0, 9))
def test_a_group_is_never_torn_apart(groups: list[int], seed: int) -> None:
    codes = np.array(groups, dtype=np.int32)
    chosen = divided(len(groups), SHARES, seed=seed, groups=codes)
    assert all(len(set(chosen[codes == one].tolist())) == 1 for one in set(groups))
    largest = max(Counter(groups).values())
    assert abs((chosen == 0).sum() - 0.7 * len(groups)) <= largest + 1


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def people() -> dict[str, str]:
    """200 rows in two files; the columns of the second are in another order."""
    first = "".join(f"{n},{'yes' if n % 10 == 0 else 'no'},g{n // 5}\n" for n in range(120))
    second = "".join(f"g{n // 5},{n},{'yes' if n % 10 == 0 else 'no'}\n" for n in range(120, 200))
    return {"a.csv": f"id,label,who\n{first}", "b.csv": f"who,id,label\n{second}"}


def test_every_row_is_in_one_part(people: dict[str, str], act: Any, valid: Any) -> None:
    done = act("split", people, "tabular", "csv", to="csv", train="0.7", val="0.2", test="0.1")
    assert done.code == 0, done.text
    assert done.files() == ["test/data.csv", "train/data.csv", "val/data.csv"]
    assert done.report["parts"] == {"train": 140, "val": 40, "test": 20}
    rows = [row for path in done.files() for row in rows_of(done.dataset / path)]
    assert sorted(int(row["id"]) for row in rows) == list(range(200))
    assert all(row["label"] == ("yes" if int(row["id"]) % 10 == 0 else "no") for row in rows)
    profile = valid(done.dataset, "tabular", "csv").profile
    assert dict(profile.splits) == {"test": 20, "train": 140, "val": 40}


def test_the_seed_decides(people: dict[str, str], act: Any) -> None:
    first, second, other = (
        (act("split", people, "tabular", "csv", seed=seed).dataset / "test/data.csv").read_text()
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_classes_and_groups_of_a_table(people: dict[str, str], act: Any) -> None:
    by_class = act("split", people, "tabular", "csv", stratify=True, target="label")
    counts = {
        part: Counter(row["label"] for row in rows_of(by_class.dataset / part / "data.csv"))
        for part in ("train", "val", "test")
    }
    assert {part: found["yes"] for part, found in counts.items()} == {"train": 16, "val": 2, "test": 2}
    by_group = act("split", people, "tabular", "csv", group="who", train=0.5, val=0, test=0.5)
    parts = [
        {row["who"] for row in rows_of(by_group.dataset / part / "data.csv")} for part in ("train", "test")
    ]
    assert not parts[0] & parts[1]
    assert by_group.report["parts"] == {"train": 100, "test": 100}


def test_a_parquet_table_keeps_its_types(table: Callable[..., bytes], act: Any) -> None:
    files = {"x.parquet": table(a=list(range(10)), b=["x", None] * 5)}
    done = act("split", files, "tabular", "parquet", stratify=True, target="b", train=0.5, val=0.5, test=0)
    assert done.code == 0, done.text
    found = [parquet.read_table(done.dataset / part / "data.parquet") for part in ("train", "val")]
    assert [str(field.type) for field in found[0].schema] == ["int64", "string"]
    assert sorted(found[0]["a"].to_pylist() + found[1]["a"].to_pylist()) == list(range(10))
    assert [one["b"].null_count in (2, 3) for one in found] == [True, True]


def kitti(picture: Callable[..., bytes], how_many: int, rare: set[int]) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for number in range(how_many):
        part = "train" if number % 2 else "val"
        files[f"{part}/images/{number // 2}.png"] = picture(16, 16, seed=number)
        names = ["car", "bus"] if number in rare else ["car"]
        files[f"{part}/labels/{number // 2}.txt"] = "".join(
            f"{name} 0 0 0 1 1 9 9 0 0 0 0 0 0 0\n" for name in names
        )
    return files


@pytest.mark.parametrize("format", ["kitti", "coco", "pascal_voc"])
def test_annotated_images_are_divided_by_their_rarest_class(
    format: str, picture: Callable[..., bytes], act: Any, valid: Any
) -> None:
    files: Any = kitti(picture, 20, rare={0, 3, 6, 9})
    if format != "kitti":
        files = act("convert", files, "object_detection", "kitti", to=format).dataset
    done = act(
        *("split", files, "object_detection", format),
        stratify=True,
        train=0.5,
        val=0.25,
        test=0.25,
    )
    assert done.code == 0, done.text
    subject = valid(done.dataset, "object_detection", format)
    assert dict(subject.profile.splits) == {"train": 10, "val": 5, "test": 5}
    assert dict(subject.profile.classes) == {"car": 20, "bus": 4}
    assert done.report["counts"]["images"] == 20


def test_an_image_of_two_annotation_files_is_in_one_part(picture: Callable[..., bytes], act: Any) -> None:
    images = [{"id": n, "file_name": f"{n}.png", "width": 16, "height": 16} for n in range(20)]
    files: dict[str, str | bytes] = {f"images/{n}.png": picture(16, 16, seed=n) for n in range(20)}
    for place, name in enumerate(("cat", "dog")):
        marks = [{"id": n, "image_id": n, "category_id": 1.0, "bbox": [1, 1, 4, 4]} for n in range(20)]
        said = {"images": images, "annotations": marks, "categories": [{"id": 1.0, "name": name}]}
        files[f"{place}.json"] = json.dumps(said)
    done = act("split", files, "object_detection", "coco", train=0.5, val=0.5, test=0)
    assert done.code == 0, done.text
    parts = [
        {path.read_bytes() for path in (done.dataset / "images" / part).iterdir()}
        for part in ("train", "val")
    ]
    assert [len(part) for part in parts] == [10, 10]
    assert not parts[0] & parts[1]
    assert done.report["counts"]["images"] == 20


def test_images_of_classes(picture: Callable[..., bytes], act: Any, valid: Any) -> None:
    files = {
        f"{part}/{name}/{number}.png": picture(seed=hash((part, name, number)) % 1000)
        for part in ("train", "val")
        for name in ("cat", "dog")
        for number in range(10)
    }
    done = act("split", files, "image_classification", "classification_pyt", stratify=True)
    assert done.code == 0, done.text
    profile = valid(done.dataset, "image_classification", "classification_pyt").profile
    assert dict(profile.splits) == {"train": 32, "val": 4, "test": 4}
    assert dict(profile.classes) == {"cat": 20, "dog": 20}


def test_images_with_masks(
    picture: Callable[..., bytes], mask: Callable[..., bytes], act: Any, valid: Any
) -> None:
    files = {f"images/{n}.png": picture(seed=n) for n in range(10)} | {
        f"masks/{n}.png": mask(8, 6, n) for n in range(10)
    }
    done = act("split", files, "semantic_segmentation", "unet", train=0.5, val=0.5, test=0)
    assert done.code == 0, done.text
    valid(done.dataset, "semantic_segmentation", "unet")
    for path in (done.dataset / "images").rglob("*.png"):
        number = int(path.stem)
        assert path.read_bytes() == files[f"images/{number}.png"]
        twin = Path(str(path).replace("/images/", "/masks/"))
        assert twin.read_bytes() == files[f"masks/{number}.png"]


REFUSED: list[Any] = [
    pytest.param({"train": 0.8, "val": 0.1, "test": 0.2}, "must add up to 1", id="shares of more than all"),
    pytest.param({"stratify": True}, "give it as target", id="classes of no column"),
    pytest.param({"stratify": True, "target": "lable"}, 'Did you mean "label"?', id="a misspelt column"),
    pytest.param({"group": "nobody"}, "the group", id="groups of a column that is not there"),
    pytest.param({"stratify": True, "target": "label", "group": "who"}, "not both", id="classes and groups"),
    pytest.param({"to": "parquet"}, "keeps the format", id="another format"),
    pytest.param({"seed": -1}, "at least 0", id="a seed below 0"),
]


@pytest.mark.parametrize(("how", "says"), REFUSED)
def test_it_is_refused(how: dict[str, Any], says: str, people: dict[str, str], act: Any) -> None:
    done = act("split", people, "tabular", "csv", **how)
    assert (done.code, says in done.message) == (2, True), done.message
    assert not done.dataset.exists()


def test_too_few_are_refused(act: Any) -> None:
    done = act("split", {"a.csv": "a,b\n1,2\n3,4\n"}, "tabular", "csv")
    assert done.code == 2
    assert "too few rows" in done.message
