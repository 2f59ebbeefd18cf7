"""The action `retrain`: a parent's model goes on learning, on its own data or on other data.

Separate from `training` because what that decides (target, columns, preprocessing, classes) is the parent's here, and
because rows that the parent has learned must not become test rows. Called by `actions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard_trainer import drift, parents, profiles, ranks, resuming, synthetic
from trainyard_trainer import parameters as checking
from trainyard_trainer.columns import Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.epochs import Parent, Rows, Training
from trainyard_trainer.learners import CONTINUERS, DISTRIBUTED_TYPES
from trainyard_trainer.preparing import prepare
from trainyard_trainer.problems import Refused
from trainyard_trainer.reporting import Reporter, Verdict
from trainyard_trainer.scores import score
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import Table, read_role
from trainyard_trainer.testrows import NONE_HELD_OUT
from trainyard_trainer.training import rows_of


def retrain(order: Order, *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Read the parent's model and the data, continue or begin, train. Raises Refused and StopRequested."""
    handed = parents.read(order, log=reporter.log)
    model, facts = handed.pipeline, handed.facts
    type_name: str = facts["type"]
    if order.type and order.type != type_name:
        raise Refused(
            f"The job says {order.type}, but the parent's model is a {type_name}. Set type to {type_name}."
        )
    ranks.check(order.place, type_name, distributed=type_name in DISTRIBUTED_TYPES)
    layout = Layout(**facts["layout"])
    synthetic.remark(facts["parameters"], reporter)
    given = checking.for_retraining(order.parameters, type_name=type_name)
    stop.raise_if_requested()
    table = read_role(order, "train", stop=stop)
    parts = _parts(order, facts, table, given, reporter=reporter)
    parameters = _completed(given, facts, model["model"], parts, continues=order.continues)
    learned, test = rows_of(order, table, layout, parts=parts, reporter=reporter, stop=stop)
    stop.raise_if_requested()
    team = ranks.meet(order.place, stop=stop, log=reporter.log)
    if order.continues:
        parent = _begun_with(facts)
    else:
        parent = Parent(
            sha256=handed.sha256(),
            metrics=score(test.targets, model.predict(test.features), task=layout.task).metrics,
            pruned=facts.get("pruned"),
        )
    resumed = resuming.find(
        order,
        parameters,
        type_name=type_name,
        data_sha256=table.sha256,
        parent=parent.sha256,
        reporter=reporter,
        team=team,
    )
    classify = layout.task == "classification"
    prepared = prepare(
        learned,
        test,
        layout,
        parameters,
        scale=False,
        preprocess=model["preprocess"],
        classes=model["model"].classes_ if classify else np.empty(0),
    )
    training = Training(
        order=order,
        type=type_name,
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
        learner=CONTINUERS[type_name](prepared, parameters, classify=classify, parent=model["model"]),
        parent=parent,
        team=team,
    )
    training.begin(resumed)
    return training.run()


def _begun_with(facts: Mapping[str, Any]) -> Parent:
    """The model that the parent's own retraining began with, which this job goes on with. Raises Refused."""
    if "parent" not in facts:
        raise Refused(
            "The parent's model was trained, not retrained, so there is no retraining to go on with. Leave"
            " spec.checkpoint out, to retrain it."
        )
    return Parent(
        sha256=facts["parent"]["sha256"], metrics=facts["parent"]["metrics"], pruned=facts.get("pruned")
    )


def _parts(
    order: Order, facts: Mapping[str, Any], table: Table, given: Mapping[str, Any], *, reporter: Reporter
) -> dict[str, Any]:
    """How the test rows are split off. Raises Refused where rows that the parent learned would become test rows."""
    before: dict[str, Any] = dict(facts["split"])
    fraction = given["train_test_split"]
    if table.sha256 == facts["dataSha256"]:
        if "eval" in order.datasets:
            return before
        if facts["testedOn"] == "eval":
            raise Refused(NONE_HELD_OUT)
        if fraction not in {None, before["fraction"]}:
            raise Refused(
                f"train_test_split was {before['fraction']:g} for the parent and is {fraction:g} now, on the same"
                " data: rows that it has learned would become test rows. Leave it out, or name an eval dataset."
            )
        return before
    if "eval" not in order.datasets:
        reporter.log(
            "The data is not what the parent was trained on. If they share rows, some of the test rows were learned"
            " by the parent, and the scores flatter: name a dataset in datasets.eval to be sure."
        )
    seed = given["random_seed"]
    return {
        "fraction": before["fraction"] if fraction is None else fraction,
        "seed": before["seed"] if seed is None else seed,
    }


def _completed(
    given: Mapping[str, Any],
    facts: Mapping[str, Any],
    estimator: Any,
    parts: Mapping[str, Any],
    *,
    continues: bool,
) -> dict[str, Any]:
    """The parent's parameters, over them those that were given."""
    values = facts["parameters"] | {name: value for name, value in given.items() if value is not None}
    if "n_estimators" in given and given["n_estimators"] is None and not continues:
        values["n_estimators"] = len(estimator.estimators_)
    return {**values, "train_test_split": parts["fraction"]}
