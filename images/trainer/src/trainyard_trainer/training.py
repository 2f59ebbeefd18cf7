"""The action `train`: a new model from the data, or the rest of an earlier attempt.

Separate from `epochs`, where the work is done, because `retrain` begins otherwise. Called by `actions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_trainer import backbones, columns, drift, profiles, ranks, resuming, synthetic
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.epochs import Rows, Training
from trainyard_trainer.learners import BUILDERS, SCALED_TYPES
from trainyard_trainer.preparing import prepare, split
from trainyard_trainer.reporting import Reporter, Verdict
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import Table, read_role


def train(order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Read the data, continue or begin, train. Raises Refused and StopRequested."""
    table, reading = _data(order, parameters, reporter=reporter, stop=stop)
    team = ranks.meet(order.place, stop=stop, log=reporter.log)
    resumed = resuming.find(
        order, parameters, type_name=order.type, data_sha256=table.sha256, reporter=reporter, team=team
    )
    if resumed is None:
        layout, remarks = columns.recognise(table, reading)
        for remark in remarks:
            reporter.log(remark)
    else:
        layout = resumed[0].layout
    parts = {"fraction": parameters["train_test_split"], "seed": parameters["random_seed"]}
    alone = ranks.own_stop(stop, team)
    learned, test = rows_of(order, table, layout, parts=parts, reporter=reporter, stop=alone)
    alone.raise_if_requested()
    prepared = prepare(
        learned,
        test,
        layout,
        parameters,
        scale=order.type in SCALED_TYPES,
        preprocess=resumed[0].preprocess if resumed else None,
    )
    backbone = backbones.read(order)
    begun = {} if backbone is None else {"backbone": backbone}
    learner = BUILDERS[order.type](prepared, parameters, classify=layout.task == "classification", **begun)
    if backbone is not None and resumed is None:
        reporter.log(backbone.said(len(parameters["hidden_layer_sizes"]) + 1))
    training = Training(
        order=order,
        type=order.type,
        parameters=parameters,
        reporter=reporter,
        stop=stop,
        rows=Rows(
            sha256=table.sha256,
            learned=len(learned.targets),
            split=parts,
            profile=profiles.of_features(learned.features, layout, prepared.preprocess),
            spread=drift.profile_of(learned.features, layout),
        ),
        layout=layout,
        prepared=prepared,
        learner=learner,
        backbone=backbone,
        team=team,
    )
    training.begin(resumed)
    return training.run()


def _data(
    order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag
) -> tuple[Table, Mapping[str, Any]]:
    """The table to train on, and the parameters by which its columns are told apart."""
    if not synthetic.is_asked(parameters):
        return read_role(order, "train", stop=stop), parameters
    table = synthetic.table_of(order, parameters)
    reporter.log(
        f"No data was given: the rows are {synthetic.LABEL}, and the model knows nothing of the world."
    )
    there = [name for name in parameters["ignore_columns"] if name in table.frame.columns]
    return table, {**parameters, "ignore_columns": there}


def rows_of(
    order: Order,
    table: Table,
    layout: Layout,
    *,
    parts: Mapping[str, Any],
    reporter: Reporter,
    stop: StopFlag,
) -> tuple[Examples, Examples]:
    """The rows to learn from and those to test on: the eval dataset, or a part of the training data."""
    examples = columns.examples(table, layout)
    if examples.dropped:
        reporter.log(f'{examples.dropped} rows have no "{layout.target}" and are left out.')
    if "eval" in order.datasets:
        return examples, columns.examples(read_role(order, "eval", stop=stop), layout)
    return split(examples, layout, **parts)
