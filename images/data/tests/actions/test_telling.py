"""validate and analyze; and what every action keeps of the contract with a trainer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainyard_data.actions import parameters
from trainyard_data.actions.reporting import TERMINATION_LIMIT, Verdict, termination_message
from trainyard_data.actions.running import ACTIONS

GOOD = {"data.csv": "a,b,label\n" + "".join(f"{n},{n / 2},{'xy'[n % 2]}\n" for n in range(40))}
BAD = {"data.csv": "a,b\n1,2\n3\n", "more.csv": "a,b\n1\n"}


def test_a_valid_dataset_is_valid(act: Any) -> None:
    done = act("validate", GOOD, "tabular", "csv", target="label")
    assert done.code == 0, done.text
    assert done.verdict["keyMetric"] == {"name": "valid", "value": 1.0}
    assert done.verdict["metrics"]["rows"] == 40
    assert (done.verdict["status"], done.verdict["complete"]) == ("SUCCESS", True)
    assert done.report["valid"] is True
    assert done.report["profile"]["rows"] == 40
    last = done.lines[-1]
    assert (last["status"], last["kpi"]["valid"]) == ("SUCCESS", 1.0)
    assert [one["path"] for one in last["artifacts"]] == ["report.json"]


def test_one_that_is_not_ends_the_job_with_the_first_finding(act: Any) -> None:
    done = act("validate", BAD, "tabular", "csv")
    assert done.code == 2, "another attempt would find the same"
    assert "data.csv, line 3: The row has 1 cell, but there are 2 columns." in done.message
    assert "2 files have problems" in done.message
    assert done.lines[-1]["status"] == "FAILURE"
    assert done.report["valid"] is False
    assert {one["path"] for one in done.report["findings"]} == {"data.csv", "more.csv"}
    assert "more.csv, line 2" in done.text
    missing = act("validate", GOOD, "tabular", "csv", target="lable")
    assert (missing.code, 'no column "lable"' in missing.message) == (2, True)


def test_an_analysis_of_a_table_tells_how_its_values_are_spread(act: Any) -> None:
    done = act("analyze", GOOD, "tabular", "csv", target="label", bins=4)
    assert done.code == 0, done.text
    found = json.loads((done.output / "profile.json").read_text())
    assert found["statistics"]["a"]["counts"] == [10, 10, 10, 10]
    assert found["statistics"]["a"]["mean"] == 19.5
    assert found["statistics"]["label"]["values"] == {"x": 20, "y": 20}
    assert "| x | 20 |" in (done.output / "report.md").read_text()
    page = (done.output / "report.html").read_text()
    assert page.count("<svg") == 4
    assert done.lines[-1]["categorical"] == {"classes": {"x": 20, "y": 20}}
    assert not done.dataset.exists()


def test_an_analysis_of_images_tells_sizes_and_objects(picture: Callable[..., bytes], act: Any) -> None:
    line = "car 0 0 0 {} 0 0 0 0 0 0 0\n"
    files = {
        "images/a.png": picture(200, 100),
        "labels/a.txt": line.format("0 0 10 10") + line.format("0 0 100 100"),
        "images/b.png": picture(50, 50),
        "labels/b.txt": "",
    }
    done = act("analyze", files, "object_detection", "kitti")
    found = json.loads((done.output / "profile.json").read_text())["statistics"]
    assert found["objectSizes"] == {"small": 1, "medium": 0, "large": 1}
    assert found["imagesWithoutObjects"] == 1
    assert found["classes"] == {"car": {"objects": 2, "images": 1, "meanShareOfImage": 0.2525}}
    assert found["imageSizes"]["different"] == 2


def test_an_analysis_of_a_broken_dataset_tells_as_much_as_it_can(act: Any) -> None:
    done = act("analyze", BAD, "tabular", "csv")
    assert done.code == 0
    assert done.verdict["metrics"]["valid"] == 0.0
    assert "not valid: data.csv, line 3" in done.message


def test_names_from_the_data_are_no_markup(act: Any) -> None:
    done = act("analyze", {"a.csv": "<script>,b|c\n" + "<img>,1\n<b>,2\n"}, "tabular", "csv")
    page = (done.output / "report.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "| b\\|c " in (done.output / "report.md").read_text()


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_each_parameter_has_a_type_a_default_and_a_description(action: str) -> None:
    rules = parameters.schema(action)
    assert rules["additionalProperties"] is False
    for name, rule in rules["properties"].items():
        assert {"type", "default", "description"} <= rule.keys(), name
    defaults = {name: rule["default"] for name, rule in rules["properties"].items()}
    assert parameters.check(defaults, action=action) == defaults
    assert parameters.check({}, action=action) == defaults


UNUSABLE: list[Any] = [
    pytest.param({"TRAINYARD_PARAMETERS": "{"}, "TRAINYARD_PARAMETERS is not JSON", id="no JSON"),
    pytest.param({"TRAINYARD_PARAMETERS": "[]"}, "must be a JSON object", id="no object"),
    pytest.param(
        {"TRAINYARD_PARAMETERS": '{"targt": "a"}'}, 'Did you mean "target"?', id="a misspelt parameter"
    ),
    pytest.param({"TRAINYARD_DATA_DIR": ""}, "TRAINYARD_DATA_DIR is not set", id="no data"),
    pytest.param({"TRAINYARD_DATASETS": '{"input": "../d"}'}, "not a plain folder name", id="a path as name"),
    pytest.param(
        {"TRAINYARD_DATASETS": '{"input": "other"}'}, "does not exist", id="a dataset that is not there"
    ),
    pytest.param({"TRAINYARD_DATASETS": '{"train": ["d", "e"]}'}, "works on one dataset", id="two datasets"),
    pytest.param({"TRAINYARD_INPUT_FORMAT": ""}, "set them", id="no format"),
]


def environment(tmp_path: Path, files: dict[str, Any], **more: str) -> dict[str, str]:
    for path, content in files.items():
        target = tmp_path / "data" / "d" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {
        "PATH": os.environ["PATH"],
        "TRAINYARD_TERMINATION_LOG": str(tmp_path / "log"),
        "TRAINYARD_DATA_DIR": str(tmp_path / "data"),
        "TRAINYARD_DATASETS": '{"train": [], "input": "d"}',
        "TRAINYARD_INPUT_TYPE": "tabular",
        "TRAINYARD_INPUT_FORMAT": "csv",
        "TRAINYARD_OUTPUT_DIR": str(tmp_path / "out"),
        **more,
    }


@pytest.mark.parametrize(("change", "says"), UNUSABLE)
def test_an_order_that_cannot_be_is_refused_with_2(change: dict[str, str], says: str, tmp_path: Path) -> None:
    from trainyard_data.actions.running import run

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        assert run("validate", environment(tmp_path, GOOD, **change)) == 2
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert says in json.loads((tmp_path / "log").read_text())["message"]


@pytest.mark.parametrize("action", ["analyze", "convert", "augment", "split"])
def test_what_would_be_lost_is_not_made(action: str, tmp_path: Path, picture: Callable[..., bytes]) -> None:
    files = {"images/a.png": picture(), "labels/a.txt": "car 0 0 0 1 1 5 5 0 0 0 0 0 0 0\n"}
    order = environment(
        tmp_path,
        files,
        TRAINYARD_INPUT_TYPE="object_detection",
        TRAINYARD_INPUT_FORMAT="kitti",
        TRAINYARD_OUTPUT_FORMAT="coco" if action == "convert" else "kitti",
        TRAINYARD_OUTPUT_DIR="",
    )
    done = subprocess.run(
        [sys.executable, "-m", "trainyard_data", action], env=order, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Give the job an output" in done.stdout


def test_sigterm_ends_it_and_leaves_nothing_half_done(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    files: dict[str, Any] = {f"train/{'ab'[n % 2]}/{n}.png": picture(400, 400, seed=n) for n in range(40)}
    order = environment(
        tmp_path,
        files,
        TRAINYARD_INPUT_TYPE="image_classification",
        TRAINYARD_INPUT_FORMAT="classification_pyt",
        TRAINYARD_PARAMETERS='{"copies": 50, "hue": 0.5}',
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "trainyard_data", "augment"], env=order, stdout=subprocess.PIPE, text=True
    )
    try:
        temporary = tmp_path / "out/.dataset.tmp"
        deadline = time.monotonic() + 60
        while not (temporary.exists() and any(temporary.iterdir())):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0, said
    verdict = json.loads((tmp_path / "log").read_text())
    assert verdict["complete"] is False
    assert "nothing is kept" in verdict["message"]
    assert list((tmp_path / "out").iterdir()) == []


def test_progress_is_told_about_once_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    from trainyard_data.actions.reporting import Reporter

    now = [0.0]
    progress = Reporter(stream=sys.stdout, clock=lambda: now[0]).progress("images", 10, stopped=lambda: False)
    for _ in range(10):
        now[0] += 0.4
        progress.step()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["step"], line["max_step"], line["eta"]) for line in lines] == [
        (3, 10, "0:00:03"),
        (6, 10, "0:00:02"),
        (9, 10, "0:00:00"),
    ]
    assert lines[0]["message"] == "3 of 10 images"


def test_the_last_word_fits_into_a_pods_status() -> None:
    verdict = Verdict(
        status="FAILURE", complete=False, message="é" * 3000, metrics={f"m{n}": float(n) for n in range(200)}
    )
    found = termination_message(verdict)
    assert len(found) <= TERMINATION_LIMIT
    assert json.loads(found)["message"].endswith("…")
