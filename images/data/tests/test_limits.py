"""The memory that the check lets itself have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainyard_data import limits


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max\n", None), ("2147483648\n", 2 << 30), (f"{(1 << 63) - 4096}\n", None), (None, None)],
)
def test_the_containers_limit_is_read(text, expected, tmp_path: Path, monkeypatch):
    path = tmp_path / "memory.max"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(limits, "_CGROUP_FILES", (str(path), str(tmp_path / "none")))
    assert limits.container_limit() == expected


def test_more_than_it_is_an_error_that_can_be_told():
    code = (
        "from trainyard_data import limits\n"
        "limits.bound(1 << 29)\n"
        "import numpy\n"
        "try:\n"
        "    numpy.ones(1 << 28)\n"
        "except MemoryError:\n"
        "    print('told')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "told\n", done.stderr


def test_a_wide_table_fits_into_a_small_container(tmp_path):
    """Arrow reserves far more for each column than it uses."""
    (tmp_path / "a.csv").write_text(
        ",".join(f"c{n}" for n in range(3000)) + ("\n" + ",".join(["0.5"] * 3000)) * 50
    )
    code = (
        "from trainyard_data import limits\n"
        "bound = limits.bound\n"
        "limits.bound = lambda: bound(464 << 20)\n"
        "from trainyard_data.__main__ import main\n"
        "main(['check'])\n"
    )
    order = f'{{"folder": "{tmp_path}", "type": "tabular", "format": "csv"}}'
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TRAINYARD_CHECK": order},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert '"valid":true' in done.stdout, done.stderr
