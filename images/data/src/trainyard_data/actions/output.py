"""What an action leaves in its output folder: reports, and the new dataset, each of them whole or not at all.

Separate because the operator makes a Dataset of the folder `dataset` and nothing may be seen half-done there. What an
earlier try has left is removed first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainyard_data.actions.contract import Order
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.reporting import finite
from trainyard_data.findings import Findings
from trainyard_data.tree import listed

FOLDER = "dataset"
_CHUNK = 1 << 20


def folder_of(order: Order) -> Path:
    """The output folder, made if need be. Raises Refused where nothing would be kept."""
    if order.output_dir is None:
        raise Refused(
            f"The result of {order.action} would be lost, because TRAINYARD_OUTPUT_DIR is not set. Give the job an "
            "output."
        )
    order.output_dir.mkdir(parents=True, exist_ok=True)
    return order.output_dir


@contextmanager
def new_dataset(order: Order) -> Iterator[Path]:
    """An empty folder to write to, which becomes `dataset` when the block ends without an error."""
    folder = folder_of(order)
    final, temporary = folder / FOLDER, folder / f".{FOLDER}.tmp"
    for path in (final, temporary):
        if path.exists():
            shutil.rmtree(path)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(final)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def same_format(order: Order, source_format: str) -> None:
    """Make sure that the job's outputDataset says what is made, where the action keeps the format."""
    if order.output_format not in ("", "default", order.format, source_format):
        raise Refused(
            f"{order.action} keeps the format: outputDataset.format must be {order.format or source_format}, not "
            f"{order.output_format}. The action convert makes another one of it."
        )


def measured(folder: Path) -> tuple[int, int]:
    """Files and bytes of a dataset."""
    tree = listed(folder, Findings())
    return len(tree.everything), sum(entry.size for entry in tree.everything)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """A file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def artifacts(folder: Path | None) -> list[dict[str, Any]]:
    """The files right in the output folder, for the last status line; not those of the dataset, which may be many."""
    if folder is None or not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [{"path": path.name, "size": path.stat().st_size, "sha256": _sha256(path)} for path in files]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
