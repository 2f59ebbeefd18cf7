"""How well each candidate type suits the data, 0 to 100: by what was measured, or by rules.

Separate because the two ways come to the same thing, and so that a number that was measured can never be mixed up with
one that was not. Called by `recommending`; docs/recommendation.md has both.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from trainyard_trainer.crossvalidation import Measured
from trainyard_trainer.dataanalysis import LARGE_ROWS, SMALL_ROWS, DataFacts
from trainyard_trainer.preparing import Array

_FULL = 100
_FROM_THE_START = {"random_forest": 70, "neural_network": 60, "regression": 60, "decision_tree": 50}
_FEATURES_TO_ROWS = 10

Rule = tuple[Callable[[DataFacts], bool], str, Mapping[str, int]]
RULES: Sequence[Rule] = (
    (
        lambda facts: facts.rows < SMALL_ROWS,
        f"there are fewer than {SMALL_ROWS:,} records",
        {"random_forest": 5, "neural_network": -15},
    ),
    (
        lambda facts: facts.rows >= LARGE_ROWS,
        f"there are {LARGE_ROWS:,} records or more",
        {"neural_network": 15},
    ),
    (
        lambda facts: facts.categorical > facts.numeric,
        "most features are categories",
        {"decision_tree": 10, "random_forest": 10, "neural_network": -5, "regression": -10},
    ),
    (
        lambda facts: facts.inputs * _FEATURES_TO_ROWS > facts.rows,
        "there are fewer than ten records for each input",
        {"regression": 10, "decision_tree": -10},
    ),
)
"""When, what to say of it, and what it adds to the types that it speaks for or against."""


def trivial_loss(targets: Array, *, classify: bool) -> float:
    """What is lost without learning: by naming the most frequent class always, or the mean of a quantity."""
    if classify:
        return 1.0 - float(np.unique(targets, return_counts=True)[1].max() / len(targets))
    return float(np.var(targets))


def by_measurement(
    measured: Measured, candidates: Sequence[str], trivial: float
) -> tuple[list[str], dict[str, int]]:
    """The candidates that could be fitted, the best first, and a score of every candidate.

    A score is the share of the trivial loss that a candidate saves, in percent: a regression's is its R2. A candidate
    that does no better than that, or could not be fitted, has 0. Of two with the same loss the quicker is the better.
    """
    fitted = [name for name in candidates if measured.losses(name)]
    ranked = sorted(fitted, key=lambda name: (_mean(measured.losses(name)), measured.seconds(name)))
    scores = dict.fromkeys(candidates, 0)
    for name in fitted:
        saved = 1 - _mean(measured.losses(name)) / trivial if trivial else 0.0
        scores[name] = round(_FULL * min(1.0, max(0.0, saved)))
    return ranked, scores


def by_rules(
    facts: DataFacts, candidates: Sequence[str], *, failed: Container[str] = ()
) -> tuple[list[str], dict[str, int], list[str]]:
    """The candidates that suit the target, the best first, a score of every candidate, and which rules counted.

    Those that `failed` to be fitted are none of them, and have 0.
    """
    counted = [(words, changes) for applies, words, changes in RULES if applies(facts)]
    able = [name for name in candidates if is_able(name, facts) and name not in failed]
    scores = dict.fromkeys(candidates, 0)
    for name in able:
        scores[name] = _FROM_THE_START[name] + sum(changes.get(name, 0) for _, changes in counted)
    return sorted(able, key=lambda name: -scores[name]), scores, [words for words, _ in counted]


def is_able(type_name: str, facts: DataFacts) -> bool:
    """Whether the type can predict such a target at all."""
    return type_name != "regression" or facts.classes == 0


def _mean(losses: Sequence[float]) -> float:
    return float(np.mean(losses))
