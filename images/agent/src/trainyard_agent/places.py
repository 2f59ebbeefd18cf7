"""The stores that an order names.

Separate because it alone knows all kinds of stores. Called by `__main__`.
"""

from __future__ import annotations

from trainyard_agent import credentials
from trainyard_agent.bucket import Bucket
from trainyard_agent.order import Order, Place
from trainyard_agent.patience import Patience
from trainyard_agent.recordorder import RecordOrder
from trainyard_agent.stores import Store
from trainyard_agent.sweeporder import SweepOrder
from trainyard_agent.volume import Volume


def output(order: Order, patience: Patience) -> Store | None:
    """The job's output; None where the agent is there for the parent's artifacts alone."""
    if order.output is None:
        return None
    if order.output.path is not None:
        return Volume(order.output.path, order.store)
    return _bucket(order, order.output, name=order.store, secret="output", patience=patience)


def parent(order: Order, patience: Patience) -> Bucket | None:
    """Where the parent job's artifacts lie, if that is a bucket."""
    if order.parent is None:
        return None
    return _bucket(order, order.parent, name=order.parent.uri, secret="parent", patience=patience)


def handed(order: Order, patience: Patience) -> Store | None:
    """The parent's output, of a job that works on one of its checkpoints."""
    if order.handed is None:
        return None
    place, name = order.handed.output, order.handed.store
    if place.path is not None:
        return Volume(place.path, name)
    return _bucket(order, place, name=name, secret="parent", patience=patience)


def whole(order: SweepOrder | RecordOrder, patience: Patience) -> Volume | Bucket:
    """The output that is swept, or in which a version is recorded."""
    if order.output.path is not None:
        return Volume(order.output.path, order.store)
    return _bucket(order, order.output, name=order.store, secret="output", patience=patience)


def _bucket(
    order: Order | SweepOrder | RecordOrder, place: Place, *, name: str, secret: str, patience: Patience
) -> Bucket:
    folder = order.secrets / secret
    return Bucket(place, name=name, options=lambda: credentials.options(place, folder), patience=patience)
