"""The action `evaluate`: a parent job's model on an eval dataset, or on the rows its training held out.

Separate from training because nothing is learned: everything but the rows comes from the model's own
metadata. Called by `actions`.
"""

from __future__ import annotations

from trainyard_trainer import artifacts, parents
from trainyard_trainer.columns import Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.reporting import Reporter, Verdict, duration
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
    rows, source = test_rows(order, facts, layout, stop=stop)
    stop.raise_if_requested()
    scores = score(rows.targets, model.predict(rows.features), task=layout.task)
    key = KEY_METRIC[layout.task]
    summary = {
        "type": facts["type"],
        "task": layout.task,
        "target": layout.target,
        "metrics": scores.metrics,
        "keyMetric": {"name": key, "value": scores.metrics[key]},
        "modelEpoch": facts["modelEpoch"],
        "testRows": len(rows.targets),
        "testedOn": source,
    }
    if order.output_dir is not None:
        artifacts.write_results(order.output_dir, summary=summary, scores=scores)
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
        kpi=scores.metrics,
        categorical=scores.categorical(),
        artifacts=artifacts.listed(order.output_dir),
    )
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=scores.metrics, key_metric=key)
