"""Which action an order names, and the checks that need no data.

Separate because it must refuse a wrong order before the slow imports begin. Called by `__main__`.
"""

from __future__ import annotations

from trainyard_trainer import parameters
from trainyard_trainer.contract import Order
from trainyard_trainer.learners import BUILDERS
from trainyard_trainer.problems import Refused, nearest
from trainyard_trainer.reporting import Reporter, Verdict
from trainyard_trainer.stopping import StopFlag

ACTIONS = ("train", "evaluate")


def perform(order: Order, *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Carry the order out. Raises Refused for an order that cannot be, StopRequested before it began."""
    if order.action not in ACTIONS:
        raise Refused(
            f'This trainer does not know the action "{order.action}".{nearest(order.action, ACTIONS)}'
            f" It knows: {', '.join(ACTIONS)}."
        )
    if order.action == "evaluate":
        parameters.check(order.parameters, schema_name="evaluate")
        reporter.line("STARTED", "evaluate: reading the model and the data", epoch=0)
        stop.raise_if_requested()
        from trainyard_trainer.evaluation import evaluate

        return evaluate(order, reporter=reporter, stop=stop)
    if order.type not in BUILDERS:
        raise Refused(
            f'This trainer does not know the type "{order.type}".{nearest(order.type, BUILDERS)}'
            f" It knows: {', '.join(BUILDERS)}."
        )
    checked = parameters.for_training(order.parameters, type_name=order.type)
    reporter.line("STARTED", f"train {order.type}: reading the data", epoch=0)
    stop.raise_if_requested()
    from trainyard_trainer.training import train

    return train(order, checked, reporter=reporter, stop=stop)
