"""`trainyard-tuner propose` as the operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from searches import KIND, X, as_json, pack

from trainyard_tuner import __main__ as command


def run(tmp_path: Path, order: str, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "TRAINYARD_SEARCH": order, "TRAINYARD_TERMINATION_LOG": str(tmp_path / "log")}
    return subprocess.run(
        [sys.executable, "-m", "trainyard_tuner", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_last_line_has_the_proposals(tmp_path: Path) -> None:
    order = pack(as_json([X, KIND], [[["0.5", "relu"], 1.0], [["0.1", "tanh"], 2.0]], count=2))
    ended = run(tmp_path, order, "propose")
    assert ended.returncode == 0, ended.stderr
    points = json.loads(ended.stdout.splitlines()[-1])["proposals"]
    assert len(points) == 2
    assert all(0 <= float(x) <= 1 and kind in KIND["values"] for x, kind in points)
    assert "2 ended and 0 pending trials" in ended.stderr
    assert "Gaussian process" in ended.stderr
    assert not (tmp_path / "log").exists()
    assert run(tmp_path, order, "propose").stdout == ended.stdout


def test_a_bad_order_is_told_in_one_line(tmp_path: Path) -> None:
    ended = run(tmp_path, pack(as_json([{**X, "low": "2"}])), "propose")
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("TRAINYARD_SEARCH has a range for x that cannot be")
    assert (tmp_path / "log").read_text() == line


@pytest.mark.parametrize("words", [[], ["tell"], ["propose", "more"]])
def test_other_words_are_no_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert capsys.readouterr().err == "usage: trainyard-tuner propose\n"
