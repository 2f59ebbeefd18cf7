"""The action `evaluate`: a parent job's model on an eval dataset, or on the rows its training held out.

Separate from training because nothing is learned: everything but the rows comes from the model's own
metadata. Called by `actions`.
"""

from __future__ import annotations

from collections.abc import Callable

from trainyard_trainer import artifacts, drift, parents, synthetic
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.reporting import Reporter, Verdict, duration, finite
from trainyard_trainer.scores import KEY_METRIC, score
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.testrows import WHERE, test_rows


def evaluate(order: Order, *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Score the parent's model. Raises Refused and StopRequested."""
    parent = parents.read(order, log=reporter.log)
    model, facts = parent.pipeline, parent.facts
    stop.raise_if_requested()
    layout = Layout(**facts["layout"])
    artifacts.remark_on_type(order, facts, log=reporter.log)
    synthetic.remark(facts["parameters"], reporter)
    rows, source = test_rows(order, facts, layout, stop=stop)
    stop.raise_if_requested()
    scores = score(rows.targets, model.predict(rows.features), task=layout.task)
    moved = _drift(order, rows, log=reporter.log)
    key = KEY_METRIC[layout.task]
    summary = {
        "type": facts["type"],
        "task": layout.task,
        "target": layout.target,
        **synthetic.fact(facts["parameters"]),
        "metrics": scores.metrics,
        "keyMetric": {"name": key, "value": scores.metrics[key]},
        "modelEpoch": facts["modelEpoch"],
        "testRows": len(rows.targets),
        "testedOn": source,
        **moved,
    }
    if order.output_dir is not None:
        artifacts.write_results(order.output_dir, summary=summary, scores=scores)
    metrics = {**scores.metrics, **synthetic.metric(facts["parameters"])}
    message = (
        f"evaluated {facts['type']} on {len(rows.targets)} rows of {WHERE[source]}:"
        f" {key} {scores.metrics[key]:.4g}"
    )
    reporter.line(
        "SUCCESS",
        message,
        epoch=facts["modelEpoch"],
        max_epoch=facts["modelEpoch"],
        eta=duration(0),
        kpi=metrics,
        categorical=scores.categorical(),
        artifacts=artifacts.listed(order.output_dir),
        **moved,
    )
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics, key_metric=key)


def _drift(order: Order, rows: Examples, *, log: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """The field `drift`, where the parent has left a profile of the rows that it learned from."""
    moved, complaint = drift.since(order.parent_dir, rows.features)
    if complaint:
        log(complaint)
    return {"drift": finite(moved)} if moved else {}
