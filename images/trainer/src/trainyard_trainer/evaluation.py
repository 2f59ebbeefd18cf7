"""The action `evaluate`: a parent job's model on an eval dataset, or on the rows its training held out.

Separate from training because nothing is learned: everything but the rows comes from the model's own
metadata. Called by `actions`.
"""

from __future__ import annotations

from typing import Any

from trainyard_trainer import artifacts, columns
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.preparing import split
from trainyard_trainer.problems import Refused
from trainyard_trainer.reporting import Reporter, Verdict, duration
from trainyard_trainer.scores import KEY_METRIC, score
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import read_role


def evaluate(order: Order, *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Score the parent's model. Raises Refused and StopRequested."""
    model = artifacts.read_model(order.parent_dir)
    stop.raise_if_requested()
    facts: dict[str, Any] = model.trainyard
    layout = Layout(**facts["layout"])
    if order.type and order.type != facts["type"]:
        reporter.log(
            f"The job says {order.type}, but the parent's model is a {facts['type']}; evaluating that."
        )
    rows, source = _rows(order, facts, layout, stop=stop)
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
    where = "the eval dataset" if source == "eval" else "the parent's held-out rows"
    message = (
        f"evaluated {facts['type']} on {len(rows.targets)} rows of {where}: {key} {scores.metrics[key]:.4g}"
    )
    reporter.line(
        "SUCCESS",
        message,
        epoch=facts["modelEpoch"],
        max_epoch=facts["modelEpoch"],
        eta=duration(0),
        kpi=scores.metrics,
        categorical=scores.categorical(),
    )
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=scores.metrics, key_metric=key)


def _rows(order: Order, facts: dict[str, Any], layout: Layout, *, stop: StopFlag) -> tuple[Examples, str]:
    if "eval" in order.datasets:
        return columns.examples(read_role(order, "eval", stop=stop), layout), "eval"
    if facts["testedOn"] == "eval":
        raise Refused(
            "The parent held no rows out, it had an eval dataset. Name one in datasets.eval here too."
        )
    table = read_role(order, "train", stop=stop)
    if table.sha256 != facts["dataSha256"]:
        raise Refused(
            "The training data has changed since the parent was trained, so which rows it has not learned"
            " from is unknown. Name a dataset in datasets.eval."
        )
    parameters = facts["parameters"]
    _, held_out = split(
        columns.examples(table, layout),
        layout,
        fraction=parameters["train_test_split"],
        seed=parameters["random_seed"],
    )
    return held_out, "split"
