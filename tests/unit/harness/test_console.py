"""Steps say what happens, and a program that fails names its log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.harness import console
from tests.harness.errors import HarnessError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_step_says_begin_and_end_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with console.step("Building [etcd]") as step:
        step.say("12 packages")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "... Building [etcd]"
    assert lines[1].startswith("ok Building [etcd]: 12 packages (0.")


def test_a_cached_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with console.step("Building etcd") as step:
        step.mark_cached()
    assert capsys.readouterr().err.splitlines()[1].startswith("cached Building etcd")


def test_a_failed_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HarnessError), console.step("Building etcd"):
        raise HarnessError("no")
    assert capsys.readouterr().err.splitlines()[1].startswith("failed Building etcd")


def test_a_long_step_has_a_heartbeat(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "HEARTBEAT_SECONDS", 0.05)
    with console.step("Waiting") as step:
        step.say("for Godot")
        time.sleep(0.2)
    assert "... Waiting: for Godot (0 s so far)" in capsys.readouterr().err.splitlines()


def test_output_is_in_the_log_with_its_command(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "tool.log"
    lines: list[str] = []
    console.run(python("print('one'); print('two')"), log=log, on_line=lines.append)
    console.run(["true"], log=log)
    assert lines == ["one", "two"]
    assert log.read_text().splitlines()[1:] == ["one", "two", "$ true"]


def test_a_failure_names_the_log_and_shows_its_end(tmp_path: Path) -> None:
    log = tmp_path / "tool.log"
    code = "import sys; [print(f'line {n}') for n in range(99)]; sys.exit(3)"
    with pytest.raises(HarnessError) as failed:
        console.run(python(code), log=log)
    text = str(failed.value)
    assert "failed with exit code 3" in text
    assert str(log) in text
    assert text.endswith("line 98")
    assert "line 99" not in text
    assert "line 10\n" not in text
    assert log.exists()


def test_a_missing_program_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no-such-program could not be started"):
        console.run(["no-such-program"], log=tmp_path / "tool.log")


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(HarnessError, match=r"took longer than 0\.3 s"):
        console.run(["sleep", "60"], log=tmp_path / "tool.log", timeout=0.3)
    assert time.monotonic() - begun < 5


def test_captured_output_is_given_and_errors_are_logged(tmp_path: Path) -> None:
    log = tmp_path / "tool.log"
    code = "import sys; print(sys.stdin.read().upper()); print('note', file=sys.stderr)"
    assert console.capture(python(code), log=log, stdin="words") == "WORDS\n"
    assert log.read_text().endswith("note\n")


def test_the_environment_is_added_to_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    code = "import os; print(os.environ['OURS'] + os.environ['THEIRS'])"
    assert console.capture(python(code), log=tmp_path / "tool.log", env={"THEIRS": "2"}) == "12\n"


def test_a_tail_is_short_and_colourless(tmp_path: Path) -> None:
    log = tmp_path / "tool.log"
    assert console.tail(log) == "  (no output)"
    log.write_text("first\n\x1b[31mred\x1b[0m\n")
    assert console.tail(log, lines=1) == "  red"
