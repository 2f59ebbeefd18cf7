"""The action `train`: a new model from the data, or the rest of an earlier attempt.

Separate from `epochs`, where the work is done, because `retrain` begins otherwise. Called by `actions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_trainer import columns, profiles, ranks, resuming
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
    table = read_role(order, "train", stop=stop)
    team = ranks.meet(order.place, stop=stop, log=reporter.log)
    resumed = resuming.find(
        order, parameters, type_name=order.type, data_sha256=table.sha256, reporter=reporter, team=team
    )
    if resumed is None:
        layout, remarks = columns.recognise(table, parameters)
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
        ),
        layout=layout,
        prepared=prepared,
        learner=BUILDERS[order.type](prepared, parameters, classify=layout.task == "classification"),
        team=team,
    )
    training.begin(resumed)
    return training.run()


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
