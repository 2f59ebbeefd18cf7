"""Fits of candidate types to folds of the rows, until all are done or the time is up.

Separate from `recommending`, which makes a recommendation of what was measured: how to measure is the same for any
purpose. A candidate is a type with its defaults, prepared, fitted and asked exactly as a training does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from trainyard_trainer import parameters as checking
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.learners import BUILDERS, SCALED_TYPES, Learner, WholeEpochs
from trainyard_trainer.preparing import Array, prepare, rows_at
from trainyard_trainer.problems import Refused
from trainyard_trainer.stopping import StopFlag, StopRequested

_WHOLE_IN_ITS_LAST_EPOCH = frozenset({"decision_tree"})
"""Types of which only the last epoch is needed: each begins anew."""


class OutOfTime(Exception):
    """The deadline came before a fit had ended."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One candidate on one fold. `loss` is the share of wrong rows, or the mean squared error of a quantity."""

    type: str
    fold: int
    loss: float
    seconds: float


@dataclass(kw_only=True)
class Measured:
    """`fits` are those of whole rounds, in which every candidate had the same fold.

    `partial` are those of a round that the time was too short for. `failed` says of a candidate why it cannot learn
    from this data; it has no fits.
    """

    folds: int
    fits: list[Fit] = field(default_factory=list)
    partial: list[Fit] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        return len({fit.fold for fit in self.fits})

    def losses(self, type_name: str) -> list[float]:
        return [fit.loss for fit in self.fits if fit.type == type_name]

    def seconds(self, type_name: str) -> float:
        """Of one fold, on average."""
        return float(np.mean([fit.seconds for fit in self.fits if fit.type == type_name]))


Told = Callable[[Fit, int, int], None]


def measure(
    rows: Examples,
    layout: Layout,
    *,
    types: Sequence[str],
    folds: int,
    seed: int,
    seconds: float,
    told: Told,
    stop: StopFlag,
) -> Measured:
    """Fit every type to every fold, fold by fold, for at most so many seconds; `told` hears of each fit.

    Raises Refused for rows that cannot be learned from, StopRequested between two mini steps.
    """
    if len(rows.targets) < 2 * folds:
        raise Refused(
            f"{len(rows.targets)} rows are too few for {folds} folds. Add rows, or lower folds to"
            f" {max(2, len(rows.targets) // 2)} or less."
        )
    # NB: or the first fit of each type would seem to take as long as these imports do.
    import sklearn.ensemble
    import sklearn.neural_network
    import sklearn.tree  # noqa: F401

    measured = Measured(folds=folds)
    deadline = time.monotonic() + seconds
    done = 0
    for number, (learned, held) in enumerate(_folds(rows, folds=folds, seed=seed)):
        began, one_round = time.monotonic(), list[Fit]()
        for type_name in types:
            if type_name in measured.failed:
                continue
            try:
                fit = fit_one(
                    type_name, learned, held, layout, fold=number, seed=seed, deadline=deadline, stop=stop
                )
            except OutOfTime:
                measured.partial = one_round
                return measured
            except StopRequested:
                total = len(types) * folds
                raise StopRequested(f"stopped after {done} of {total} fits; nothing is recommended") from None
            if isinstance(fit, str):
                measured.failed[type_name] = fit
                measured.fits = [one for one in measured.fits if one.type != type_name]
                continue
            done += 1
            one_round.append(fit)
            told(fit, done, (len(types) - len(measured.failed)) * folds)
        measured.fits += one_round
        took = time.monotonic() - began
        if number + 1 < folds and time.monotonic() + took > deadline:
            break
    return measured


def _folds(rows: Examples, *, folds: int, seed: int) -> Iterator[tuple[Examples, Examples]]:
    """Rows to learn from and rows held out, with nearly the same shares of classes, or the same spread, in each fold.

    Rows are sorted by target, and of each `folds` neighbours every fold is given one by chance.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(rows.targets))
    codes = np.unique(rows.targets, return_inverse=True)[1]
    ordered = shuffled[np.argsort(codes[shuffled], kind="stable")]
    fold_of = np.empty(len(ordered), dtype=int)
    for begin in range(0, len(ordered), folds):
        neighbours = ordered[begin : begin + folds]
        fold_of[neighbours] = generator.permutation(folds)[: len(neighbours)]
    for fold in range(folds):
        yield rows_at(rows, np.flatnonzero(fold_of != fold)), rows_at(rows, np.flatnonzero(fold_of == fold))


def fit_one(
    type_name: str,
    learned: Examples,
    held: Examples,
    layout: Layout,
    *,
    fold: int,
    seed: int,
    deadline: float,
    stop: StopFlag,
) -> Fit | str:
    """A type fitted to rows and scored on others, or why it cannot learn from them. Raises OutOfTime, StopRequested."""
    began = time.monotonic()
    parameters = checking.for_training({"random_seed": seed}, type_name=type_name)
    stop.raise_if_requested()
    prepared = prepare(learned, held, layout, parameters, scale=type_name in SCALED_TYPES)
    try:
        learner = BUILDERS[type_name](prepared, parameters, classify=layout.task == "classification")
        first = learner.max_epoch if type_name in _WHOLE_IN_ITS_LAST_EPOCH else 1
        for step in _steps(learner, first=first):
            stop.raise_if_requested()
            if time.monotonic() > deadline:
                raise OutOfTime
            step()
        predictions = learner.estimator(best=False).predict(prepared.x_validation)
    except Refused as refusal:
        return str(refusal)
    loss = _loss(held.targets, predictions, classify=layout.task == "classification")
    if not np.isfinite(loss):
        return "Its predictions are not finite."
    return Fit(type=type_name, fold=fold, loss=loss, seconds=time.monotonic() - began)


def _steps(learner: Learner, *, first: int) -> Iterator[Callable[[], None]]:
    """What is to be done up to the last epoch, in pieces that are short enough to wait for."""
    for epoch in range(first, learner.max_epoch + 1):
        if isinstance(learner, WholeEpochs):
            yield partial(learner.whole_epoch, epoch)
            continue
        for index in range(learner.steps_in(epoch)):
            yield partial(learner.step, epoch=epoch, index=index)


def _loss(targets: Array, predictions: Array, *, classify: bool) -> float:
    if classify:
        return float(np.mean(targets != predictions))
    return float(np.square(targets - predictions).mean())
