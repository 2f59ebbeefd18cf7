"""The action `recommend`: which type of model suits the data.

Separate because no model is kept: candidates are fitted only to be compared. Called by `actions`. How is in
`crossvalidation`, what the numbers mean in `suitability`, and how they are put in `reasoning`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard_trainer import artifacts, columns, reasoning, suitability
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.crossvalidation import Fit, Measured, measure
from trainyard_trainer.dataanalysis import analysed
from trainyard_trainer.files import written_whole
from trainyard_trainer.preparing import split
from trainyard_trainer.problems import Refused
from trainyard_trainer.reasoning import Findings
from trainyard_trainer.reporting import Reporter, Verdict, duration, finite
from trainyard_trainer.scores import KEY_METRIC
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import read_role

FILE = "recommendation.json"
MOST_ROWS = 20_000
"""Rows that are measured; of more, a sample."""


def recommend(order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Measure the candidates and name the best. Raises Refused and StopRequested."""
    table = read_role(order, "train", stop=stop)
    layout, remarks = columns.recognise(table, parameters)
    for remark in remarks:
        reporter.log(remark)
    rows = columns.examples(table, layout)
    facts = analysed(table, layout, rows)
    candidates = [name for name in parameters["candidates"] if suitability.is_able(name, facts)]
    if not candidates:
        raise Refused(
            f'No candidate can predict "{layout.target}", which has classes: regression is for quantities. Name'
            " another one in candidates."
        )
    sample = _sample(rows, layout, seed=parameters["random_seed"])
    measured = _measured(sample, layout, candidates, parameters, reporter=reporter, stop=stop)
    trivial = suitability.trivial_loss(sample.targets, classify=layout.task == "classification")
    rules: list[str] = []
    if measured.fits:
        ranked, scores = suitability.by_measurement(measured, parameters["candidates"], trivial)
    elif len(measured.failed) == len(candidates):
        raise Refused(f"No candidate could be fitted. {' '.join(measured.failed.values())}")
    else:
        ranked, scores, rules = suitability.by_rules(facts, parameters["candidates"], failed=measured.failed)
    found = Findings(
        facts=facts,
        layout=layout,
        measured=measured,
        ranked=ranked,
        scores=scores,
        trivial=trivial,
        sampled=len(sample.targets),
        budget=parameters["time_budget_seconds"],
        unable=[name for name in parameters["candidates"] if name not in candidates],
        rules=rules,
    )
    return _told(order, found, reporter=reporter)


def _sample(rows: Examples, layout: Layout, *, seed: int) -> Examples:
    if len(rows.targets) <= MOST_ROWS:
        return rows
    return split(rows, layout, fraction=MOST_ROWS / len(rows.targets), seed=seed)[0]


def _measured(
    rows: Examples,
    layout: Layout,
    candidates: list[str],
    parameters: Mapping[str, Any],
    *,
    reporter: Reporter,
    stop: StopFlag,
) -> Measured:
    key, folds, budget = KEY_METRIC[layout.task], parameters["folds"], parameters["time_budget_seconds"]
    reporter.line(
        "RUNNING",
        f"measuring {', '.join(candidates)}: {layout.task} of {layout.target}, {len(rows.targets)} rows in {folds}"
        f" folds, for at most {budget} s",
        step=0,
        max_step=len(candidates) * folds,
    )
    began = time.monotonic()

    def told(fit: Fit, done: int, total: int) -> None:
        spent = time.monotonic() - began
        reporter.line(
            "RUNNING",
            f"{fit.type}, fold {fit.fold + 1} of {folds}: {key} {_value(fit.loss, layout):.4g} in {fit.seconds:.2g} s",
            step=done,
            max_step=total,
            eta=duration(round(max(0.0, min(budget - spent, spent / done * (total - done))))),
        )

    return measure(
        rows,
        layout,
        types=candidates,
        folds=folds,
        seed=parameters["random_seed"],
        seconds=budget,
        told=told,
        stop=stop,
    )


def _told(order: Order, found: Findings, *, reporter: Reporter) -> Verdict:
    key = KEY_METRIC[found.layout.task]
    best = found.ranked[0]
    was_measured = bool(found.measured.fits)
    why = reasoning.of_measurement(found) if was_measured else reasoning.of_rules(found)
    recommendation = {
        "type": best,
        "score": found.scores[best],
        "reasoning": why,
        "allScores": dict(found.scores),
        **found.facts.as_told(),
        "measured": was_measured,
    }
    values = {
        name: _value(float(np.mean(found.measured.losses(name))), found.layout)
        for name in (found.ranked if was_measured else ())
    }
    metrics = {key: values[best]} if was_measured else {}
    if order.output_dir is not None:
        with written_whole(order.output_dir / FILE) as file:
            file.write(
                json.dumps({**recommendation, "candidates": _details(found)}, indent=2).encode() + b"\n"
            )
        artifacts.write_results(
            order.output_dir,
            summary={
                "task": found.layout.task,
                "target": found.layout.target,
                "metrics": metrics,
                **({"keyMetric": {"name": key, "value": metrics[key]}} if metrics else {}),
            },
        )
    how = f"{key} {metrics[key]:.4g} across {found.measured.rounds} folds" if was_measured else "by rules"
    message = f"recommended {best}, score {found.scores[best]} of 100: {how}"
    seconds = {name: found.measured.seconds(name) for name in values}
    reporter.line(
        "SUCCESS",
        message,
        eta=duration(0),
        kpi=metrics,
        categorical={"score": found.scores} | ({key: values, "seconds": seconds} if values else {}),
        artifacts=artifacts.listed(order.output_dir),
        recommendation=finite(recommendation),
    )
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics, key_metric=key)


def _details(found: Findings) -> dict[str, Any]:
    """Of each candidate that was measured, the key metric and the seconds of each fold."""
    return {
        name: [
            finite({KEY_METRIC[found.layout.task]: _value(fit.loss, found.layout), "seconds": fit.seconds})
            for fit in found.measured.fits
            if fit.type == name
        ]
        for name in found.ranked
    }


def _value(loss: float, layout: Layout) -> float:
    """The key metric of a loss."""
    return 1 - loss if layout.task == "classification" else float(np.sqrt(loss))
