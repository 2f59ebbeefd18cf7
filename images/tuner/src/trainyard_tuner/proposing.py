"""Carries out an order: a study of Optuna's with the trials that there are, which is then asked for more.

Separate because it is the only place where a sampler is chosen. Called by the command; the bench of tuning quality
(tests/bench/tuning.py) calls it in its own process.
"""

from __future__ import annotations

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from trainyard_tuner import candidates
from trainyard_tuner.orders import Order
from trainyard_tuner.sampler import GaussianProcessSampler
from trainyard_tuner.space import Point, Space

#: Of more trials than these the Gaussian process would be slow, as its time grows with the cube of them.
MOST_FOR_GAUSSIAN = 200
#: So often is TPE asked again when it gives a point that was tried.
_ASKED_AGAIN = 10


def proposals(order: Order) -> list[Point]:
    """`order.count` points. The same order gives the same points."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = [order.seed, order.first]
    rng = np.random.default_rng([*seed, 1])
    study = optuna.create_study(
        direction="minimize" if order.minimize else "maximize", sampler=_sampler(order, seed)
    )
    tried = _tell(study, order)
    points: list[Point] = []
    for _ in range(order.count):
        point = _asked(study, order.space, tried)
        if point is None:
            point = candidates.untried(order.space, rng, tried)
            _add_running(study, order.space, point)
        tried.add(point)
        points.append(point)
    return points


def method(order: Order) -> str:
    """What proposes, in words."""
    return "Gaussian process" if _gaussian(order) else "TPE"


def _gaussian(order: Order) -> bool:
    return len(order.history) + len(order.pending) + order.count <= MOST_FOR_GAUSSIAN


def _sampler(order: Order, seed: list[int]) -> BaseSampler:
    if _gaussian(order):
        return GaussianProcessSampler(order.space, seed=seed)
    # Multivariate, and running trials count as bad ones: both are defaults since Optuna 5.
    return TPESampler(seed=int(np.random.default_rng(seed).integers(2**32)))


def _tell(study: Study, order: Order) -> set[Point]:
    """Gives the study all trials that there are; what was tried."""
    space = order.space
    for ended in order.history:
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if ended.value is None else TrialState.COMPLETE,
                params=space.values(ended.point),
                distributions=space.distributions,
                value=ended.value,
            )
        )
    for point in order.pending:
        _add_running(study, space, point)
    return {ended.point for ended in order.history} | set(order.pending)


def _add_running(study: Study, space: Space, point: Point) -> None:
    study.add_trial(
        create_trial(state=TrialState.RUNNING, params=space.values(point), distributions=space.distributions)
    )


def _asked(study: Study, space: Space, tried: set[Point]) -> Point | None:
    """What the sampler proposes; None where it only gives what was tried, though there is more."""
    for _ in range(_ASKED_AGAIN):
        point = space.point(study.ask(space.distributions).params)
        if point not in tried or space.size <= len(tried):
            return point
        # NB: the trial stays in the study as a running one, which keeps the sampler away from it the next time.
    return None
