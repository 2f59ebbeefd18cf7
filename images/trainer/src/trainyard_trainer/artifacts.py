"""What a finished run leaves in the output folder.

Separate because these files are the interface to what comes after: evaluation, registration, serving.
Called by every action. Each file appears whole or not at all, the model first: whoever finds
`metrics.json` finds everything else.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainyard_trainer.contract import Order
from trainyard_trainer.files import sha256_of, written_whole
from trainyard_trainer.problems import Refused
from trainyard_trainer.reporting import finite
from trainyard_trainer.scores import Scores

MODEL = "model.joblib"
METADATA_VERSION = 3
"""1: `train_test_split` was the fraction held out. 2: there was no profile of the features."""


def write_model(folder: Path, model: Any, metadata: Mapping[str, Any]) -> None:
    """The pipeline as `model.joblib`: `joblib.load(...).predict(frame)` needs scikit-learn and not us.

    The metadata rides along as the pipeline's attribute `trainyard`.
    """
    import joblib

    describe(model, metadata)
    with written_whole(folder / MODEL) as file:
        joblib.dump(model, file)


def describe(model: Any, metadata: Mapping[str, Any]) -> None:
    """Gives a pipeline the attribute by which other actions know how to use it."""
    model.trainyard = {"version": METADATA_VERSION, **metadata}


def remark_on_type(order: Order, facts: Mapping[str, Any], *, log: Callable[[str], None]) -> None:
    """A line in the log where the job's type is not that of the parent's model, which counts."""
    if order.type and order.type != facts["type"]:
        log(
            f"The job says {order.type}, but the parent's model is a {facts['type']}; {order.action} takes that."
        )


def output_folder(order: Order) -> Path:
    """Where an action writes what it is there for. Raises Refused where nothing would be kept."""
    if order.output_dir is None:
        raise Refused(
            f"The result of {order.action} would be lost, because TRAINYARD_OUTPUT_DIR is not set."
            " Give the job an output."
        )
    return order.output_dir


def listed(folder: Path | None) -> list[dict[str, Any]]:
    """What lies in the output folder, for the last status line: path, size in bytes and SHA-256 of each file."""
    if folder is None or not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [{"path": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)} for path in files]


def write_results(
    folder: Path,
    *,
    summary: Mapping[str, Any],
    scores: Scores | None = None,
    curve: Sequence[Mapping[str, float]] = (),
) -> None:
    """`confusion_matrix.csv` (of classes), `learning_curve.csv` (of epochs) and `metrics.json`."""
    if scores is not None and scores.confusion is not None:
        rows = [
            [label, *map(int, counts)]
            for label, counts in zip(scores.labels, scores.confusion.tolist(), strict=True)
        ]
        _write_csv(folder / "confusion_matrix.csv", ["true\\predicted", *scores.labels], rows)
    if curve:
        header = list(curve[0])
        _write_csv(folder / "learning_curve.csv", header, [[row[name] for name in header] for row in curve])
    with written_whole(folder / "metrics.json") as file:
        file.write(json.dumps(finite(summary), indent=2, allow_nan=False).encode() + b"\n")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with written_whole(path) as file:
        file.write(text.getvalue().encode())
