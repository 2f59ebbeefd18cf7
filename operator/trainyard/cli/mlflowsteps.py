"""Epochs as steps of MLflow, which are whole numbers: two points of a curve on one step would be one point.

Separate because it needs nothing of MLflow. Called by `mlflowexport`.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Decimals of an epoch that are tried, from none to what MLflow's 64 bits have room for.
_DECIMALS = (0, 3, 6, 9)


def steps_per_epoch(epochs: Sequence[float]) -> int:
    """1 where all epochs are whole, else 1,000 or more, so that no two of them come to one step.

    NB: it hangs on the epochs and not on their places in a curve, which is thinned as it grows: a run that is exported
    again has its points where they were.
    """
    distinct = set(epochs)
    found = 1
    for decimals in _DECIMALS:
        found = 10**decimals
        steps = {step_of(epoch, found) for epoch in distinct}
        if len(steps) == len(distinct) and (decimals or all(epoch == int(epoch) for epoch in distinct)):
            break
    return found


def step_of(epoch: float, per_epoch: int) -> int:
    """The step of an epoch."""
    return round(epoch * per_epoch)
