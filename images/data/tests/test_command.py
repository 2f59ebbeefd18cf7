"""The command: its order, its verdict, the digest, the termination log."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from trainyard_data import __main__ as data_main

FILES = {"b/2.csv": "x,y\n3,4\n", "a.csv": "x,y\n1,2\n", ".hidden": "h", "日.txt": "t"}


def digest(files: dict[str, str]) -> str:
    """As the contract says it, by another hand."""
    found = [(hashlib.sha256(text.encode()).hexdigest(), path) for path, text in files.items()]
    if len(found) == 1:
        return found[0][0]
    return hashlib.sha256("".join(sorted(f"{one}  {path}\n" for one, path in found)).encode()).hexdigest()


@pytest.mark.parametrize(
    "files",
    [FILES, {"a.csv": FILES["a.csv"]}, {"b/2.csv": FILES["b/2.csv"]}],
    ids=["several", "one", "one below"],
)
def test_the_digest_is_that_of_the_contract(files, checked):
    run = checked(files, "tabular", "csv", digest=True)
    assert run.verdict["sha256"] == digest(files)
    assert (run.verdict["files"], run.verdict["bytes"]) == (
        len(files),
        sum(len(text.encode()) for text in files.values()),
    )


def test_the_digest_of_many_files_with_the_same_content(checked):
    files = {f"{n % 7}/{n}.csv": f"x,y\n{n % 3},1\n" for n in range(700)}
    assert checked(files, "tabular", "csv", digest=True).verdict["sha256"] == digest(files)


def test_another_digest_than_expected_is_a_finding(checked):
    expected = digest(FILES)
    assert checked(FILES, "tabular", "csv", sha256=expected).verdict["valid"]
    run = checked(FILES, "tabular", "csv", sha256="0" * 64)
    assert run.first == (".", None, f"The digest is {expected}, not {'0' * 64} as source.sha256 says.")


def test_no_digest_is_made_unless_it_is_asked_for(checked):
    assert checked(FILES, "tabular", "csv").verdict["sha256"] is None


def test_with_mode_none_only_the_files_are_counted(checked):
    run = checked({"a.csv": "x;y\n1\n", "b.bin": "x"}, "tabular", "csv", mode="None", digest=True)
    assert run.first is None
    assert run.profile == {"summary": "2 files", "files": 2, "bytes": 7}
    assert run.verdict["filesChecked"] == 0
    assert run.verdict["sha256"]


def test_with_mode_none_the_digest_still_counts(checked):
    assert not checked(FILES, "tabular", "csv", mode="None", sha256="0" * 64).verdict["valid"]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("", "TRAINYARD_CHECK is not set"),
        ("{", "TRAINYARD_CHECK is not JSON"),
        ("[]", "TRAINYARD_CHECK must be a JSON object."),
        ('{"folder": "/data", "type": "tabular"}', 'TRAINYARD_CHECK must have "format".'),
    ],
)
def test_an_order_that_cannot_be_read_is_no_verdict(order, message, monkeypatch, capsys):
    monkeypatch.setenv("TRAINYARD_CHECK", order)
    assert data_main.main(["check"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(message)
    assert not said.out


def test_it_says_how_it_is_used(monkeypatch, capsys):
    monkeypatch.delenv("TRAINYARD_ACTION", raising=False)
    assert data_main.main([]) == 2
    assert capsys.readouterr().err == "usage: trainyard-data check|ACTION\n"


def test_many_problems_are_told_in_the_log_and_the_termination_log_stays_small(checked):
    files = {f"{n:04}.csv": "x,y\n1\n" for n in range(500)}
    run = checked(files, "tabular", "csv")
    assert run.verdict["problems"] == 500
    lines = run.text.splitlines()
    assert len(lines) == 22
    assert lines[-2] == "... and 980 more problems."
    assert len(json.dumps(run.terminated)) < 2048


def test_it_writes_nothing_where_it_reads_and_needs_no_termination_log(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    before = sorted(tmp_path.rglob("*"))
    order = {"folder": str(tmp_path), "type": "tabular", "format": "csv", "digest": True}
    done = subprocess.run(
        [sys.executable, "-m", "trainyard_data", "check"],
        env={"PATH": os.environ["PATH"], "TRAINYARD_CHECK": json.dumps(order)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["check"]["valid"]
    assert sorted(tmp_path.rglob("*")) == before
