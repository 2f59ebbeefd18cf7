"""The sampler of a Bayesian search, as Optuna's interface for samplers wants it.

Separate from `proposing`, which has Optuna ask it. Ours, and not Optuna's GPSampler, because that one needs PyTorch,
whose wheels are larger than everything else in the image by a factor of ten; the model is the same kind. It minimises
or maximises as the study says, takes a failed trial for one as bad as the worst, and a running one for one that gives
what is expected of it; it proposes no point twice while there is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trainyard_tuner import candidates, gaussian
from trainyard_tuner.acquisition import log_expected_improvement
from trainyard_tuner.space import Array, Point, Space

_RANDOM_CANDIDATES = 2000
#: Around so many of the best trials and candidates it is looked closer, each time with so many neighbours.
_PARENTS, _CHILDREN = 8, 40
_RADII = (0.2, 0.1, 0.05, 0.02, 0.01)
#: Fewer values than these say nothing of the space.
_LEAST_VALUES = 2
#: Values worse than the upper quartile by so many times the quartiles' distance are cut there, as in a box plot.
_WHISKER = 1.5


@dataclass(frozen=True)
class _Seen:
    """What the study knows: points that ended with their losses, points that run, and all of them."""

    inputs: Array
    losses: Array
    running: Array
    tried: frozenset[Point]


class GaussianProcessSampler(BaseSampler):
    """Proposes the point of the greatest expected improvement. `space` is what the study's trials are of."""

    def __init__(self, space: Space, *, seed: Sequence[int]) -> None:
        self._space = space
        self._rng = np.random.default_rng(list(seed))
        self._fitted: tuple[int, gaussian.Process] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        seen = self._seen(study, trial)
        if len(seen.losses) < _LEAST_VALUES:
            return self._space.values(candidates.untried(self._space, self._rng, seen.tried))
        process = self._process(seen)
        believed = process.believing(candidates.columns(self._space, seen.running)[1])
        expected = believed.predict(believed.inputs)[0]
        best = float(expected.min())

        def worth(points: Array) -> Array:
            means, deviations = believed.predict(candidates.columns(self._space, points)[1])
            return log_expected_improvement(means, deviations, best)

        order = np.argsort(expected[: len(seen.inputs)], kind="stable")
        return self._best(worth, seen.inputs[order[:_PARENTS]], seen.tried)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise KeyError(f"{param_name} is not in the space that this sampler was made for.")

    def _seen(self, study: Study, trial: FrozenTrial) -> _Seen:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        ended: list[list[float]] = []
        losses: list[float | None] = []
        running: list[list[float]] = []
        tried: set[Point] = set()
        for one in study.get_trials(deepcopy=False):
            if one.number == trial.number:
                continue
            place = self._space.coordinates(one.params)
            tried.add(self._space.point(one.params))
            if one.state == TrialState.RUNNING:
                running.append(place)
            else:
                ended.append(place)
                losses.append(
                    sign * one.value if one.state == TrialState.COMPLETE and one.value is not None else None
                )
        worst = max((loss for loss in losses if loss is not None), default=None)
        dimensions = len(self._space.dimensions)
        return _Seen(
            inputs=np.array(ended).reshape(-1, dimensions),
            # Without any value there is no worst one: then nothing can be learnt.
            losses=np.array([] if worst is None else [worst if one is None else one for one in losses]),
            running=np.array(running).reshape(-1, dimensions),
            tried=frozenset(tried),
        )

    def _process(self, seen: _Seen) -> gaussian.Process:
        """Fitted anew when more trials have ended: several proposals of one order share it."""
        if self._fitted is None or self._fitted[0] != len(seen.losses):
            owners, inputs = candidates.columns(self._space, seen.inputs)
            self._fitted = len(seen.losses), gaussian.fit(owners, inputs, standardised(seen.losses))
        return self._fitted[1]

    def _best(
        self, worth: Callable[[Array], Array], incumbents: Array, tried: frozenset[Point]
    ) -> dict[str, Any]:
        if self._space.size <= candidates.SMALL:
            points = candidates.every(self._space)
            values = worth(points)
        else:
            points = candidates.drawn(self._space, self._rng, _RANDOM_CANDIDATES)
            values = worth(points)
            parents = incumbents
            for radius in _RADII:
                more = candidates.near(self._space, self._rng, parents, count=_CHILDREN, radius=radius)
                points, values = np.vstack([points, more]), np.append(values, worth(more))
                parents = points[np.argsort(-values, kind="stable")[:_PARENTS]]
        best = np.argsort(-values, kind="stable")
        for row in points[best]:
            chosen = self._space.at(row)
            if self._space.point(chosen) not in tried:
                return chosen
        if self._space.size <= len(tried):
            return self._space.at(points[best[0]])
        return self._space.values(candidates.untried(self._space, self._rng, tried))


def standardised(losses: Array) -> Array:
    """Mean 0 and variance 1, after what is far worse than the rest was cut: how bad a training that diverged was says
    nothing, and would make all the others look alike."""
    # NB: squares of the largest floats are none.
    scaled: Array = losses / max(1.0, float(np.abs(losses).max()))
    lower, upper = np.quantile(scaled, [0.25, 0.75])
    cut: Array = np.minimum(scaled, upper + _WHISKER * (upper - lower)) if upper > lower else scaled
    deviation = float(cut.std())
    return (cut - float(cut.mean())) / (deviation if deviation > 0 else 1.0)
