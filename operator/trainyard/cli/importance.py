"""How much each parameter decides the metric: the rise of a forest's error on held-out runs when it is shuffled.

Separate because it needs scikit-learn, of the extra `plot`. Permutation importance (Breiman 2001) with a random forest,
as fANOVA (Hutter et al. 2014) takes one, but on runs that the forest has not seen, so that a parameter without any
influence gets about 0, and how much the forest explains at all is told beside it. Called by `plot`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.cli.experimenthistory import SUCCESS, History, Run, number_of

#: Fewer runs than this tell nothing.
LEAST_RUNS = 10
_FOLDS, _REPEATS, _TREES = 5, 5, 100


@dataclass(frozen=True, kw_only=True)
class Importance:
    """The share of each parameter, the largest first; together 1, or nothing where the forest explains nothing."""

    shares: tuple[tuple[str, float], ...]
    explained: float
    """R squared of the forest on runs that it has not seen: below 0 it is worse than the mean."""
    runs: int


def importance(history: History) -> Importance | None:
    """None where there are too few runs, or nothing varies. Raises ImportError without scikit-learn.

    Runs of all rungs count; the epochs that a run was given are one more column of the forest, and not told.
    """
    runs = [
        run for run in history.trials if run.state == SUCCESS and run.value is not None and run.parameters
    ]
    names = [name for name in history.parameter_names if len({run.parameters.get(name) for run in runs}) > 1]
    if len(runs) < LEAST_RUNS or not names or len({run.value for run in runs}) < 2:
        return None
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    columns = [_column([run.parameters.get(name) for run in runs]) for name in names]
    table = np.array([*columns, [float(run.epochs or 0) for run in runs]], dtype=float).T
    # NB: by rank, as one run that has gone astray must not outweigh all others.
    target = np.unique([run.value for run in runs], return_inverse=True)[1].astype(float)
    random = np.random.default_rng(0)
    rise, wrong = np.zeros(len(names)), 0.0
    for seen, held in KFold(n_splits=_FOLDS, shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(n_estimators=_TREES, min_samples_leaf=2, random_state=0)
        forest.fit(table[seen], target[seen])
        wrong += _wrong(forest, table[held], target[held])
        for number in range(len(names)):
            shuffled = np.repeat(table[held][None], _REPEATS, axis=0)
            for copy in shuffled:
                copy[:, number] = random.permutation(copy[:, number])
            rise[number] += _wrong(
                forest, shuffled.reshape(-1, table.shape[1]), np.tile(target[held], _REPEATS)
            )
    rise = np.maximum(0.0, rise / _REPEATS - wrong)
    explained = 1.0 - wrong / float(((target - target.mean()) ** 2).sum())
    shares = rise / rise.sum() if rise.sum() > 0 and explained > 0 else rise * 0
    told = sorted(zip(names, (float(share) for share in shares), strict=True), key=lambda one: -one[1])
    return Importance(shares=tuple(told), explained=explained, runs=len(runs))


def of_trials(history: History, found: Importance | None, runs: Sequence[Run], *, most: int) -> list[str]:
    """The parameters to draw, in the order of the search space: of very many the most important ones."""
    names = [name for name in history.parameter_names if any(name in run.parameters for run in runs)]
    if len(names) <= most:
        return names
    chosen = [name for name, _ in found.shares][:most] if found is not None else names[:most]
    return [name for name in names if name in {*chosen}]


def _wrong(forest: Any, rows: Any, target: Any) -> float:
    return float(((forest.predict(rows) - target) ** 2).sum())


def _column(values: Sequence[str | None]) -> list[float]:
    """Numbers as they are, words by their order, none as -1: a forest asks only for more or less."""
    numbers = [number_of(value) for value in values]
    if all(number is not None for number, value in zip(numbers, values, strict=True) if value is not None):
        return [-1.0 if number is None else number for number in numbers]
    words = sorted({value for value in values if value is not None})
    return [-1.0 if value is None else float(words.index(value)) for value in values]
