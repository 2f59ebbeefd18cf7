"""Datasets made on the spot from a table of files, and the check run on them in this process."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from trainyard_data import __main__ as data_main

Content = str | bytes


@dataclass(frozen=True)
class Run:
    """What a check said and left."""

    code: int
    text: str
    verdict: dict[str, Any]
    terminated: dict[str, Any]

    @property
    def profile(self) -> dict[str, Any]:
        return dict(self.verdict["profile"])

    @property
    def first(self) -> tuple[str, int | None, str] | None:
        found = self.verdict["first"]
        return (found["path"], found["line"], found["message"]) if found else None


Checked = Callable[..., Run]


def picture(width: int = 8, height: int = 6, *, mode: str = "RGB", kind: str = "PNG", seed: int = 0) -> bytes:
    """An image file of random pixels."""
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()


def mask(width: int = 8, height: int = 6, *values: int) -> bytes:
    """A mask whose pixels are these classes, in turn."""
    pixels = np.resize(np.array(values or (0,), dtype=np.uint8), (height, width))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def table(**columns: list[Any]) -> bytes:
    """A Parquet file."""
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def write(folder: Path, files: Mapping[str, Content]) -> Path:
    """The files in a folder; a path that ends in `/` is an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        target = folder / path
        if path.endswith("/"):
            target.mkdir(parents=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def run_check(folder: Path, log: Path, type: str, format: str, **order: Any) -> Run:
    """The command in this process."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("TRAINYARD_TERMINATION_LOG", str(log))
        patch.setenv(
            "TRAINYARD_CHECK",
            json.dumps({"dataset": "d", "folder": str(folder), "type": type, "format": format, **order}),
        )
        code = data_main.main(["check"])
    text = said.getvalue()
    return Run(code, text, json.loads(text.splitlines()[-1])["check"], json.loads(log.read_text()))


@pytest.fixture(name="table", scope="session")
def _table() -> Callable[..., bytes]:
    return table


@pytest.fixture(name="picture", scope="session")
def _picture() -> Callable[..., bytes]:
    return picture


@pytest.fixture(name="mask", scope="session")
def _mask() -> Callable[..., bytes]:
    return mask


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """Writes files and checks them: `checked({"a.csv": "..."}, "tabular", "csv", target="y")`."""

    folders = (tmp_path / f"dataset-{number}" for number in count())

    def check(files: Mapping[str, Content] | Path, type: str, format: str, **order: Any) -> Run:
        folder = files if isinstance(files, Path) else write(next(folders), files)
        return run_check(folder, tmp_path / "termination", type, format, **order)

    return check
