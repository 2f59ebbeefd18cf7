"""Which action an order names, and the checks that need no data.

Separate because it must refuse a wrong order before the slow imports begin. Called by `__main__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainyard_trainer import parameters, ranks, synthetic
from trainyard_trainer.contract import Order
from trainyard_trainer.learners import BACKBONE_TYPES, BUILDERS, DISTRIBUTED_TYPES
from trainyard_trainer.problems import Refused, nearest
from trainyard_trainer.reporting import Reporter, Verdict
from trainyard_trainer.stopping import StopFlag

Checked = Mapping[str, Any]
_WITHOUT_A_MODEL = frozenset({"train", "recommend"})


def perform(order: Order, *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry the order out. Raises Refused for an order that cannot be, StopRequested before it began."""
    if order.action not in ACTIONS:
        raise Refused(
            f'This trainer does not know the action "{order.action}".{nearest(order.action, ACTIONS)}'
            f" It knows: {', '.join(ACTIONS)}."
        )
    check, run = ACTIONS[order.action]
    checked = check(order)
    _check_backbone(order)
    if synthetic.is_asked(checked):
        reporter.mark(synthetic.LABEL)
    of_type = f" {order.type}" if order.action == "train" else ""
    reading = "the data" if order.action in _WITHOUT_A_MODEL else "the model and the data"
    reporter.line("STARTED", f"{order.action}{of_type}: reading {reading}", epoch=0)
    stop.raise_if_requested()
    return run(order, checked, reporter, stop)


def _check_train(order: Order) -> Checked:
    if order.type not in BUILDERS:
        raise Refused(
            f'This trainer does not know the type "{order.type}".{nearest(order.type, BUILDERS)}'
            f" It knows: {', '.join(BUILDERS)}."
        )
    ranks.check(order.place, order.type, distributed=order.type in DISTRIBUTED_TYPES)
    return parameters.for_training(order.parameters, type_name=order.type)


def _check_retrain(order: Order) -> Checked:
    """NB: without a type they are checked once the parent's model has said which it is."""
    if order.type not in BUILDERS:
        return {}
    return parameters.for_retraining(order.parameters, type_name=order.type)


def _check_prune(order: Order) -> Checked:
    ranks.check(order.place, order.action, distributed=False)
    return parameters.for_pruning(order.parameters)


def _check_other(order: Order) -> Checked:
    ranks.check(order.place, order.action, distributed=False)
    return parameters.check(order.parameters, schema_name=order.action)


def _check_backbone(order: Order) -> None:
    """Raises Refused for a backbone where nothing can begin with one."""
    names = [model.name for model in order.base_models if model.backbone]
    if not names:
        return
    if order.action != "train":
        raise Refused(
            f"{order.action} begins with no other model's weights, and the base model {names[0]} is a backbone. Leave"
            " it out, or, where it is the model to work on, say isPtmBackbone: false."
        )
    if order.type not in BACKBONE_TYPES:
        raise Refused(
            f"A {order.type} cannot begin with the weights of another model, and the base model {names[0]} is a"
            f" backbone. Leave it out, or train a {' or a '.join(sorted(BACKBONE_TYPES))}."
        )
    if len(names) > 1:
        raise Refused(
            f"A network begins with one backbone, and {' and '.join(names)} are two. Leave one out."
        )


# NB: functions that import, so that an action does not wait for what only another one needs.
def _train(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.training import train

    return train(order, checked, reporter=reporter, stop=stop)


def _retrain(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.retraining import retrain

    return retrain(order, reporter=reporter, stop=stop)


def _evaluate(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.evaluation import evaluate

    return evaluate(order, reporter=reporter, stop=stop)


def _prune(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.pruning import prune

    return prune(order, checked, reporter=reporter, stop=stop)


def _infer(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.inference import infer

    return infer(order, checked, reporter=reporter, stop=stop)


def _export(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.exporting import export

    return export(order, checked, reporter=reporter, stop=stop)


def _recommend(order: Order, checked: Checked, reporter: Reporter, stop: StopFlag) -> Verdict:
    from trainyard_trainer.recommending import recommend

    return recommend(order, checked, reporter=reporter, stop=stop)


ACTIONS: Mapping[
    str,
    tuple[Callable[[Order], Checked], Callable[[Order, Checked, Reporter, StopFlag], Verdict]],
] = {
    "train": (_check_train, _train),
    "evaluate": (_check_other, _evaluate),
    "prune": (_check_prune, _prune),
    "retrain": (_check_retrain, _retrain),
    "inference": (_check_other, _infer),
    "export": (_check_other, _export),
    "recommend": (_check_other, _recommend),
}
