"""The action `export`: a parent's model as one file for serving, kept only if it predicts as the original does.

Separate from `onnxfile.py`, which knows the format, because another format would be checked in the same way. Called by
`actions`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainyard_trainer import artifacts, columns, onnxfile, parents, profiles, synthetic
from trainyard_trainer.columns import Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.files import written_whole
from trainyard_trainer.problems import Refused
from trainyard_trainer.reporting import Reporter, Verdict, duration
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import first_role, read_role

if TYPE_CHECKING:
    import pandas as pd

    from trainyard_trainer.preparing import Array

MODEL = "model.onnx"
DESCRIPTION = "model.onnx.json"
_ROLES = ("eval", "inference", "train")
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """The largest difference, of `row` (from 0), and whether every label that is no near tie is the same."""

    largest: float
    row: int
    same_labels: bool


def export(order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Convert, run, compare, write. Raises Refused, also where the two differ, and StopRequested."""
    folder = artifacts.output_folder(order)
    parent = parents.read(order, log=reporter.log)
    model, facts = parent.pipeline, parent.facts
    layout = Layout(**facts["layout"])
    artifacts.remark_on_type(order, facts, log=reporter.log)
    synthetic.remark(facts["parameters"], reporter)
    stop.raise_if_requested()
    features, source = _rows(order, facts, layout, parameters["verify_rows"], stop=stop)
    about = {"type": facts["type"], "target": layout.target, "dataSha256": facts["dataSha256"]}
    graph = onnxfile.convert(model, layout, opset=parameters["opset"], about=about)
    stop.raise_if_requested()
    tolerance = parameters["tolerance"]
    compared = _compare(model, graph, features, layout, tolerance=tolerance)
    if compared.largest > tolerance or not compared.same_labels:
        raise Refused(
            f"The exported model does not predict as the original does: of the {len(features)} rows of {source} that"
            f" were compared, number {compared.row + 1} differs by {compared.largest:.3g}, and tolerance is"
            f" {tolerance:g}. Nothing was written. ONNX reads numbers with 7 digits: take a constant off a column"
            " whose values are large beside their spread and train again, or raise tolerance."
        )
    digest = hashlib.sha256(graph.content).hexdigest()
    metrics = {
        "largest_difference": compared.largest,
        "rows_compared": len(features),
        "bytes": len(graph.content),
        "opset": graph.opset,
    }
    description = {
        "format": "onnx",
        "file": MODEL,
        "size": len(graph.content),
        "sha256": digest,
        "opset": graph.opset,
        "type": facts["type"],
        "task": layout.task,
        "target": layout.target,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "classes": _classes(model),
        "verified": {
            "rows": len(features),
            "source": source,
            "largestDifference": compared.largest,
            "tolerance": tolerance,
        },
    }
    with written_whole(folder / MODEL) as file:
        file.write(graph.content)
    with written_whole(folder / DESCRIPTION) as file:
        file.write(json.dumps(description, indent=2).encode() + b"\n")
    summary = {"type": facts["type"], "task": layout.task, "target": layout.target, "metrics": metrics}
    artifacts.write_results(folder, summary=summary)
    message = (
        f"exported {facts['type']} to {MODEL}, {len(graph.content)} bytes, opset {graph.opset}; on {len(features)}"
        f" rows of {source} it differs by at most {compared.largest:.2g}"
    )
    reporter.line("SUCCESS", message, eta=duration(0), kpi=metrics, artifacts=artifacts.listed(folder))
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics)


def _rows(
    order: Order, facts: Mapping[str, Any], layout: Layout, most: int, *, stop: StopFlag
) -> tuple[pd.DataFrame, str]:
    """Rows to compare on, spread over the data; made-up ones where the job has no dataset."""
    role = first_role(order, _ROLES)
    if role not in order.datasets:
        return profiles.made_up(facts["profile"], layout, rows=most, seed=0), "made-up data"
    features = columns.features(read_role(order, role, stop=stop), layout)
    if len(features) > most:
        places = np.linspace(0, len(features) - 1, most).astype(int)
        features = features.iloc[places].reset_index(drop=True)
    return features, f"the {role} dataset"


def _compare(
    model: Any, graph: onnxfile.Graph, features: pd.DataFrame, layout: Layout, *, tolerance: float
) -> _Comparison:
    """Differences of probabilities as they are, of quantities as a share of the predictions' spread."""
    classify = layout.task == "classification"
    made, shares = onnxfile.run(graph, features, classify=classify)
    if shares is None:
        wanted = model.predict(features)
        spread = max(float(np.ptp(wanted)), float(np.abs(wanted).max()) * _ROUNDING, np.finfo(float).tiny)
        differences: Array = np.abs(made - wanted) / spread
        return _worst(differences, same_labels=True)
    wanted = model.predict_proba(features)
    differences = np.abs(shares - wanted).max(axis=1)
    two = np.sort(wanted, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > 2 * tolerance
    return _worst(differences, same_labels=bool((made == model.predict(features))[clear].all()))


def _worst(differences: Array, *, same_labels: bool) -> _Comparison:
    finite = np.where(np.isfinite(differences), differences, np.inf)
    row = int(finite.argmax())
    return _Comparison(largest=float(finite[row]), row=row, same_labels=same_labels)


def _classes(model: Any) -> list[Any]:
    return list(model["model"].classes_.tolist()) if hasattr(model["model"], "classes_") else []
