"""A table of generated demo data, for a training that has no data yet.

Separate because whatever is learned from it must say so: the table is marked where it is made, and its digest is that
of how it is made. Called by `training`, and by `testrows`, which makes the same table again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainyard_trainer.columns import Task
from trainyard_trainer.contract import Order
from trainyard_trainer.problems import Refused
from trainyard_trainer.reporting import Reporter
from trainyard_trainer.tables import Table

if TYPE_CHECKING:
    import pandas as pd

LABEL = "synthetic demo data"
_RECIPE = 1
"""Another number where another table would be made: a model that knows the old one is not tested on the new one."""
_ROWS = 600
_MISSING_SHARE = 0.02
_TARGET = "demo_target"
_SITES = ("north", "south", "east")
_CLASSES = ("low", "middle", "high")
_DIGITS = 6


def is_asked(parameters: Mapping[str, Any]) -> bool:
    """Whether parameters, those of an order or those in a model, ask for the demo data."""
    return bool(parameters.get("synthetic_data"))


def remark(parameters: Mapping[str, Any], reporter: Reporter) -> None:
    """Every message of an action says it, where the model that it works on has learned from the demo data."""
    if is_asked(parameters):
        reporter.mark(f"the model is of {LABEL}")


def fact(parameters: Mapping[str, Any]) -> dict[str, bool]:
    """What the model's metadata and `metrics.json` say of it; nothing of any other model."""
    return {"synthetic_data": True} if is_asked(parameters) else {}


def metric(parameters: Mapping[str, Any]) -> dict[str, float]:
    """What is counted beside the metrics of a model that the demo data has gone into; nothing of any other."""
    return {"synthetic_data": 1.0} if is_asked(parameters) else {}


def table_of(order: Order, parameters: Mapping[str, Any]) -> Table:
    """The demo table of a training. Raises Refused where the order has data of its own."""
    if order.datasets:
        role = next(iter(order.datasets))
        raise Refused(
            f"synthetic_data is for a job without data, and this one has datasets.{role}. Leave one of them out."
        )
    return made(
        target=parameters["target"] or _TARGET, task=parameters["task"], seed=parameters["random_seed"]
    )


def made(*, target: str, task: Task | str, seed: int) -> Table:
    """The same table for the same target, task and seed; of a task `auto` it has classes."""
    kind = "regression" if task == "regression" else "classification"
    recipe = f"{LABEL} {_RECIPE}: {kind} of {target}, seed {seed}"
    return Table(
        frame=_frame(target, kind, seed),
        files=(LABEL,),
        first_rows=(0,),
        sha256=hashlib.sha256(recipe.encode()).hexdigest(),
    )


def _frame(target: str, kind: str, seed: int) -> pd.DataFrame:
    """Three numbers and a category that decide, two numbers that do not, and noise."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(_ROWS, 5))
    site = generator.integers(len(_SITES), size=_ROWS)
    noise = generator.normal(scale=0.3, size=_ROWS)
    value = 2 * numbers[:, 0] - numbers[:, 1] + numbers[:, 2] ** 2 + site + noise
    frame = pd.DataFrame(np.round(numbers, _DIGITS), columns=[f"demo_number_{i}" for i in range(1, 6)])
    frame[frame.columns[1]] = frame[frame.columns[1]].mask(generator.random(_ROWS) < _MISSING_SHARE)
    frame["demo_site"] = [_SITES[number] for number in site]
    if kind == "regression":
        frame[target] = np.round(value, _DIGITS)
    else:
        thirds = np.quantile(value, (1 / 3, 2 / 3))
        frame[target] = [_CLASSES[number] for number in np.searchsorted(thirds, value)]
    return frame
