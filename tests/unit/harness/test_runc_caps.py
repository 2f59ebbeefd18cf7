"""What a container asks for and the machine does not have is left out of runc's request, and nothing else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import runc_caps
from tests.harness.runc_caps import CAPABILITIES, bounding_set, limit, request_file


def status(mask: int) -> str:
    return f"Name:\tbash\nCapEff:\t0\nCapBnd:\t{mask:016x}\nCapAmb:\t0\n"


def test_a_full_bounding_set_has_every_capability() -> None:
    assert bounding_set(status(2 ** len(CAPABILITIES) - 1)) == set(CAPABILITIES)


def test_a_missing_bit_is_the_capability_of_its_number() -> None:
    without_resource = 2 ** len(CAPABILITIES) - 1 - (1 << 24)
    assert set(CAPABILITIES) - bounding_set(status(without_resource)) == {"CAP_SYS_RESOURCE"}


def test_only_what_is_missing_is_taken_out() -> None:
    process = {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": None},
    }
    limit(process, frozenset({"CAP_CHOWN", "CAP_KILL"}))
    assert process == {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": []}}


def test_a_process_without_capabilities_stays_as_it_is() -> None:
    process = {"args": ["sh"]}
    limit(process, frozenset())
    assert process == {"args": ["sh"]}


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["--root", "/r", "create", "--bundle", "/b", "id"], "/b/config.json"),
        (["run", "-b", "/b", "id"], "/b/config.json"),
        (["create", "--bundle=/b", "id"], "/b/config.json"),
        (["create", "id"], "config.json"),
        (["exec", "--process", "/tmp/p.json", "id"], "/tmp/p.json"),
        (["exec", "id", "sh"], None),
        (["kill", "id", "9"], None),
    ],
    ids=[
        "create with a bundle",
        "run with a short option",
        "an option with an equals sign",
        "create in the working directory",
        "exec with a file",
        "exec with a command",
        "another command",
    ],
)
def test_the_request_is_found(arguments: list[str], file: str | None) -> None:
    assert request_file(arguments) == (Path(file) if file else None)


def test_runc_gets_its_arguments_and_the_limited_request(tmp_path: Path) -> None:
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\n')
    runc.chmod(runc.stat().st_mode | stat.S_IXUSR)
    request = tmp_path / "config.json"
    request.write_text(json.dumps({"process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_NONE"]}}}))

    argv = [sys.executable, "-IS", runc_caps.__file__, runc, "create", "--bundle", tmp_path, "one"]
    answer = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=True)

    assert answer.stdout.split() == ["create", "--bundle", str(tmp_path), "one"]
    assert "CAP_NONE" not in request.read_text()
