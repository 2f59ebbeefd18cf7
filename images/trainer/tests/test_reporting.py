"""Status lines and the termination message, also where nobody listens."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from trainyard_trainer.reporting import Reporter, Verdict, duration, termination_message, write_termination


def spoken(*, kpi):
    stream = io.StringIO()
    reporter = Reporter(stream=stream, now=lambda: datetime(2025, 9, 3, 7, 5, 9, tzinfo=UTC))
    reporter.line("RUNNING", "hello", epoch=3, max_epoch=10, kpi=kpi)
    return json.loads(stream.getvalue())


def test_date_and_time_are_written_as_the_peers_write_them():
    line = spoken(kpi={})
    assert (line["date"], line["time"]) == ("9/3/2025", "7:5:9")


def test_nan_and_infinities_are_dropped():
    assert spoken(kpi={"a": math.nan, "b": math.inf, "c": 0.5})["kpi"] == {"c": 0.5}


def test_a_log_line_never_looks_like_a_status_line():
    stream = io.StringIO()
    Reporter(stream=stream).log('{"status": "SUCCESS"}')
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(62, "0:01:02", id="minutes"),
        pytest.param(93784, "1 day, 2:03:04", id="a day"),
        pytest.param(0.0123, "0:00:00.012000", id="milliseconds"),
        pytest.param(61.9, "0:01:02", id="no fractions from ten seconds on"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(
            Verdict(status="FAILURE", complete=False, message="Änderung " * 400), id="a long message is cut"
        ),
        pytest.param(
            Verdict(
                status="SUCCESS",
                complete=True,
                message="done",
                metrics={"accuracy": 0.5} | {f"metric_{i}": i / 3 for i in range(200)},
                key_metric="accuracy",
            ),
            id="many metrics are cut, the key metric stays",
        ),
    ],
)
def test_a_termination_message_has_at_most_one_kibibyte(verdict):
    message = termination_message(verdict)
    assert len(message) <= 1024
    read = json.loads(message)
    assert read["status"] == verdict.status
    assert (read.get("keyMetric") is not None) == (verdict.key_metric is not None)


def test_a_termination_log_that_cannot_be_written_is_passed_over(tmp_path):
    write_termination(tmp_path / "no" / "folder", Verdict(status="SUCCESS", complete=True, message="done"))


def test_a_reader_that_goes_away_does_not_fail_the_training(trainer):
    environment = trainer.environment(train="wine", parameters={"epochs": 3})
    source = str(__import__("pathlib").Path(__file__).resolve().parents[1] / "src")
    process = subprocess.Popen(
        [sys.executable, "-m", "trainyard_trainer"],
        env={**os.environ, "PYTHONPATH": source, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    complaints = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 0, complaints
    assert (trainer.root / "uid/attempt-0/metrics.json").exists()
