"""What `trainyard watch` shows of a job, on a pipe and on a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli.views import LiveView, PlainView


def a_job(message: str) -> dict[str, Any]:
    status = {"phase": "Pending", "reason": "Unschedulable", "message": message}
    return {"metadata": {"name": "resnet"}, "status": status}


def test_a_pipe_gets_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView(a_job("No node."))
    for message in ("No node.", "No node.", "No card."):
        view.show(a_job(message))
    assert capsys.readouterr().out.splitlines() == [
        "Pending Unschedulable: No node.",
        "Pending Unschedulable: No card.",
    ]


def test_a_pipe_gets_the_line_again_once_a_minute_while_nothing_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = PlainView(a_job("No node."))
    view.show(a_job("No node."))
    for second in range(1, 31):
        view.tick(float(second))
    view.show(a_job("No card."))
    for second in range(31, 151):
        view.tick(float(second))
    assert capsys.readouterr().out.splitlines() == [
        "Pending Unschedulable: No node.",
        "Pending Unschedulable: No card.",
        "Pending Unschedulable: No card.  (watched for 0:01:30)",
        "Pending Unschedulable: No card.  (watched for 0:02:30)",
    ]


def test_a_pipe_gets_nothing_while_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    PlainView(a_job("No node.")).tick(120.0)
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_for_how_long_a_job_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    view = LiveView(a_job("No node."))
    with view.opened():
        view.show(a_job("No node."))
        view.tick(3725.9)
    shown = capsys.readouterr().out
    assert "resnet  Pending Unschedulable: No node." in shown
    assert "watched for 1:02:05" in shown
