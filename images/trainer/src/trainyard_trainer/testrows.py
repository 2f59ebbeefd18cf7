"""The rows that a parent's model may be tested on: an eval dataset, or those that its training held out.

Separate because evaluation, pruning and retraining must agree on what the model has not learned from. Called by
these three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_trainer import columns, synthetic
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.preparing import split
from trainyard_trainer.problems import Refused
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import read_role

WHERE: Mapping[str, str] = {"eval": "the eval dataset", "split": "the parent's held-out rows"}
NONE_HELD_OUT = "The parent held no rows out, it had an eval dataset. Name one in datasets.eval here too."


def test_rows(
    order: Order, facts: Mapping[str, Any], layout: Layout, *, stop: StopFlag
) -> tuple[Examples, str]:
    """The rows, and where they are from: `eval` or `split`. Raises Refused where none can be trusted."""
    if "eval" in order.datasets:
        return columns.examples(read_role(order, "eval", stop=stop), layout), "eval"
    if facts["testedOn"] == "eval":
        raise Refused(NONE_HELD_OUT)
    if synthetic.is_asked(facts["parameters"]) and not order.datasets:
        made = {"target": layout.target, "task": layout.task, "seed": facts["split"]["seed"]}
        table = synthetic.made(**made)
    else:
        table = read_role(order, "train", stop=stop)
    if table.sha256 != facts["dataSha256"]:
        raise Refused(
            "The training data has changed since the parent was trained, so which rows it has not learned"
            " from is unknown. Name a dataset in datasets.eval."
        )
    _, held_out = split(columns.examples(table, layout), layout, **facts["split"])
    return held_out, "split"
