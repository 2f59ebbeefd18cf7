"""The action `inference`: a parent's model on rows that need no target, its predictions as files.

Separate from `evaluation` because nothing is compared. Called by `actions`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trainyard_trainer import artifacts, columns, parents, synthetic
from trainyard_trainer.columns import Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.predictions import Sink, open_sinks
from trainyard_trainer.problems import Refused, nearest
from trainyard_trainer.reporting import Reporter, Verdict, duration
from trainyard_trainer.stopping import StopFlag, StopRequested
from trainyard_trainer.tables import Table, first_role, read_role

if TYPE_CHECKING:
    from trainyard_trainer.preparing import Array

_ROLES = ("inference", "eval", "train")
_MOST_CLASSES = 200


@dataclass(kw_only=True)
class _Tally:
    """What was predicted: rows of each class, or the sum and the extremes of a quantity."""

    rows: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    def count(self, predicted: Array, *, classify: bool) -> None:
        self.rows += len(predicted)
        if classify:
            self.classes.update(str(label) for label in predicted)
            return
        self.total += float(predicted.sum())
        self.least = min(self.least, float(predicted.min()))
        self.most = max(self.most, float(predicted.max()))

    def metrics(self, *, classify: bool) -> dict[str, float]:
        if classify:
            return {}
        return {
            "prediction_mean": self.total / self.rows,
            "prediction_min": self.least,
            "prediction_max": self.most,
        }

    def categorical(self) -> dict[str, dict[str, int]]:
        return {"predicted": dict(self.classes.most_common(_MOST_CLASSES))} if self.classes else {}


def infer(order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Predict every row. Raises Refused, and StopRequested: what was predicted by then is not kept."""
    folder = artifacts.output_folder(order)
    parent = parents.read(order, log=reporter.log)
    model, facts = parent.pipeline, parent.facts
    layout = Layout(**facts["layout"])
    artifacts.remark_on_type(order, facts, log=reporter.log)
    synthetic.remark(facts["parameters"], reporter)
    stop.raise_if_requested()
    role = first_role(order, _ROLES)
    table = read_role(order, role, stop=stop)
    features = columns.features(table, layout)
    included = _included(table, parameters["include_columns"])
    began = time.monotonic()
    tally = _Tally()
    with ExitStack() as stack:
        sinks = open_sinks(folder, parameters["format"], stack=stack)
        _predict(
            model,
            features,
            included,
            parameters,
            layout,
            sinks,
            tally,
            reporter=reporter,
            stop=stop,
            began=began,
        )
    seconds = time.monotonic() - began
    classify = layout.task == "classification"
    metrics = {
        "rows": tally.rows,
        "seconds": seconds,
        "rows_per_second": tally.rows / max(seconds, 1e-9),
        **tally.metrics(classify=classify),
    }
    summary = {
        "type": facts["type"],
        "task": layout.task,
        "target": layout.target,
        "metrics": metrics,
        "predictedOn": role,
        "dataSha256": table.sha256,
        "files": [sink.name for sink in sinks],
        **({"predicted": tally.categorical()["predicted"]} if classify else {}),
    }
    artifacts.write_results(folder, summary=summary)
    message = f"predicted {layout.target} for {tally.rows} rows of the {role} dataset by a {facts['type']}"
    reporter.line(
        "SUCCESS",
        message,
        step=tally.rows,
        max_step=tally.rows,
        eta=duration(0),
        kpi=metrics,
        categorical=tally.categorical(),
        artifacts=artifacts.listed(folder),
    )
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics)


def _predict(
    model: Any,
    features: pd.DataFrame,
    included: pd.DataFrame,
    parameters: Mapping[str, Any],
    layout: Layout,
    sinks: list[Sink],
    tally: _Tally,
    *,
    reporter: Reporter,
    stop: StopFlag,
    began: float,
) -> None:
    rows, size = len(features), parameters["batch_size"]
    for first in range(0, rows, size):
        if stop.requested:
            raise StopRequested(
                f"stopped after {first} of {rows} rows; no predictions are kept, so run it again"
            )
        chunk = features.iloc[first : first + size]
        made = _predictions(model, chunk, probabilities=parameters["probabilities"])
        tally.count(made["prediction"].to_numpy(), classify=layout.task == "classification")
        frame = pd.concat([included.iloc[first : first + size].reset_index(drop=True), made], axis="columns")
        for sink in sinks:
            sink.write(frame)
        if tally.rows < rows:
            seconds = time.monotonic() - began
            reporter.line(
                "RUNNING",
                f"predicted {tally.rows} of {rows} rows",
                step=tally.rows,
                max_step=rows,
                eta=duration(round(seconds / tally.rows * (rows - tally.rows))),
                kpi={"rows_per_second": tally.rows / max(seconds, 1e-9)},
            )


def _predictions(model: Any, features: pd.DataFrame, *, probabilities: bool) -> pd.DataFrame:
    if not hasattr(model, "predict_proba"):
        return pd.DataFrame({"prediction": model.predict(features)})
    classes = model["model"].classes_
    shares = model.predict_proba(features)
    made = {"prediction": classes[np.argmax(shares, axis=1)]}
    if probabilities:
        made |= {f"probability_{label}": shares[:, place] for place, label in enumerate(classes)}
    return pd.DataFrame(made)


def _included(table: Table, names: list[str]) -> pd.DataFrame:
    """Where each row stands, and the columns asked for."""
    present = [str(column) for column in table.frame.columns]
    for name in names:
        if name not in present:
            raise Refused(f'include_columns names "{name}", which is no column.{nearest(name, present)}')
        if name in {"file", "row", "prediction"} or name.startswith("probability_"):
            raise Refused(f'include_columns names "{name}", which is a column of the predictions. Rename it.')
    ends = [*table.first_rows[1:], len(table.frame)]
    counts = [end - first for first, end in zip(table.first_rows, ends, strict=True)]
    place = pd.DataFrame(
        {
            "file": np.repeat(np.array(table.files, dtype=object), counts),
            "row": np.concatenate([np.arange(1, count + 1) for count in counts]),
        }
    )
    copied = table.frame[names].reset_index(drop=True)
    # Texts say so themselves, so that a batch in which all are missing has the type of the others.
    texts = copied.select_dtypes(include="object").columns
    return pd.concat([place, copied.astype(dict.fromkeys(texts, "string"))], axis="columns")
