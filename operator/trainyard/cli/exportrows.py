"""The runs of an Experiment as data: one JSON object, or CSV with a line for each run.

Separate from `export` because it is pure, and what it writes is read by other people's programs: a name here is a name
of their columns. docs/experiment-results.md has the table.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from trainyard.cli.experimenthistory import History, Run

Json = dict[str, Any]

_PARAMETER = "parameters."


def document(history: History) -> Json:
    """All of it."""
    return {
        "experiment": history.experiment,
        "namespace": history.namespace,
        "uid": history.uid,
        "algorithm": history.algorithm or None,
        "seed": history.seed,
        "metric": history.metric or None,
        "goal": history.goal,
        "best": None if history.best is None else _row(history.best),
        "rungs": list(history.rungs),
        "runs": [_row(run) for run in history.runs],
    }


def as_json(history: History) -> str:
    return json.dumps(document(history), indent=2, ensure_ascii=False) + "\n"


def as_csv(history: History) -> str:
    """A column for each parameter of any trial; the curve as JSON, a list of [epoch, value]. Lines end as RFC 4180 has
    it, with both letters, and so texts with either of them are quoted.
    """
    rows = [_row(run) for run in history.runs]
    titles = [
        title for title in _row(_NOTHING) if title not in ("parameters", "curve", "message")
    ]  # in their order
    content = io.StringIO(newline="")
    writer = csv.writer(content)
    writer.writerow(
        [*titles, *(f"{_PARAMETER}{name}" for name in history.parameter_names), "message", "curve"]
    )
    for row in rows:
        cells = [row[title] for title in titles]
        cells += [row["parameters"].get(name) for name in history.parameter_names]
        writer.writerow([*map(_cell, cells), row["message"], json.dumps(row["curve"])])
    return content.getvalue()


def _row(run: Run) -> Json:
    return {
        "step": run.step,
        "number": run.number,
        "bracket": run.bracket,
        "rung": None if run.number is None else run.rung,
        "epochs": run.epochs,
        "job": run.job,
        "jobExists": run.present,
        "state": run.state,
        "value": run.value,
        "epoch": run.epoch,
        "startTime": run.start,
        "completionTime": run.end,
        "seconds": run.took,
        "parameters": dict(run.parameters),
        "message": run.message,
        "curve": [[epoch, value] for epoch, value in run.curve],
    }


_NOTHING = Run(
    step="",
    number=None,
    rung=0,
    bracket=None,
    epochs=None,
    job="",
    present=False,
    state="",
    value=None,
    epoch=None,
    parameters={},
    start=None,
    end=None,
    curve=(),
    message="",
    key="",
)


def _cell(value: Any) -> Any:
    """As JSON has it, so that a column reads the same in both."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
