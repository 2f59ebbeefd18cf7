"""Orders and spaces as tests write them. Called by the tests of this folder."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainyard_tuner import orders, proposing
from trainyard_tuner.orders import Order
from trainyard_tuner.space import Point

X = {"name": "x", "type": "float", "low": "0", "high": "1"}
Y = {"name": "y", "type": "float", "low": "0", "high": "1"}
RATE = {"name": "rate", "type": "float", "low": "0.0001", "high": "1", "log": True}
QUARTERS = {"name": "quarters", "type": "float", "low": "0", "high": "1", "step": "0.25"}
UNITS = {"name": "units", "type": "int", "low": "1", "high": "1024", "log": True}
LAYERS = {"name": "layers", "type": "int", "low": "1", "high": "9", "step": "4"}
KIND = {"name": "kind", "type": "categorical", "values": ["relu", "tanh", "[64, 32]"]}
DEEP = {"name": "deep", "type": "bool"}
Entry = Sequence[Any]


def pack(order: Any) -> str:
    """As it stands in the environment."""
    return base64.b64encode(zlib.compress(json.dumps(order).encode())).decode()


def as_json(space: Sequence[Mapping[str, Any]], history: Sequence[Entry] = (), **more: Any) -> dict[str, Any]:
    return {
        "space": list(space),
        "minimize": True,
        "seed": 7,
        "first": len(history),
        "count": 1,
        "history": list(history),
        "pending": [],
        **more,
    }


def order(space: Sequence[Mapping[str, Any]], history: Sequence[Entry] = (), **more: Any) -> Order:
    return orders.read(pack(as_json(space, history, **more)))


def propose(space: Sequence[Mapping[str, Any]], history: Sequence[Entry] = (), **more: Any) -> list[Point]:
    return proposing.proposals(order(space, history, **more))


def search(
    space: Sequence[Mapping[str, Any]],
    objective: Callable[[Point], float | None],
    *,
    trials: int,
    **more: Any,
) -> list[tuple[Point, float | None]]:
    """A whole search, one trial after the other."""
    history: list[tuple[Point, float | None]] = []
    for _ in range(trials):
        (point,) = propose(space, [[list(tried), value] for tried, value in history], **more)
        history.append((point, objective(point)))
    return history
