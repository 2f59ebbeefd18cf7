"""Trainings that are really tuned: tables that packages ship, and models that take seconds or less.

Separate because what is searched says nothing of how it is searched or told. Called by `tuning`. A network is the
reference trainer's own, with its ranges, trained epoch by epoch and continued from its pickled state, as a job on a
higher rung is; the others are scikit-learn's, measured by cross-validation. Every task is a function of its parameters,
as all seeds are fixed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from typing import Any

import pandas as pd
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestRegressor
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from tests.bench.tuningdata import table
from trainyard.search.space import Dimension, Space
from trainyard_trainer import parameters as trainer_parameters
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.learners.neural_network import NeuralNetwork
from trainyard_trainer.preparing import Prepared, prepare, split
from trainyard_trainer.problems import Refused

Json = Mapping[str, Any]
#: Epochs of a whole training of a network: R of hyperband.
EPOCHS = 27
_NETWORK = "neural_network"
_FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to be tuned. With epochs, `train` goes on from a state; without, it is measured at once.

    `train(parameters, state, epochs)` gives the values of the new epochs and the state after them, or raises Refused
    for a training that failed.
    """

    name: str
    metric: str
    minimize: bool
    space: Space
    train: Callable[[Json, bytes | None, int], tuple[list[float], bytes]]
    data: str
    epochs: int = 1

    @property
    def is_network(self) -> bool:
        return self.epochs > 1

    @property
    def rows(self) -> int:
        """Rows of its table; a network learns from half of them."""
        return len(table(self.data).targets)


def _network(data: str, metric: str = "validation_loss") -> Task:
    return Task(
        name=f"network on {data}",
        metric=metric,
        minimize=True,
        space=tunable(_NETWORK),
        train=partial(_train_network, data, metric),
        data=data,
        epochs=EPOCHS,
    )


def tunable(type_name: str) -> Space:
    """What the reference trainer says can be tuned of a type."""
    properties = trainer_parameters.schema(type_name)["properties"]
    found = {name: rule["x-tunable"] for name, rule in properties.items() if "x-tunable" in rule}
    return Space(tuple(_dimension(name, given) for name, given in found.items()))


def _dimension(name: str, given: Json) -> Dimension:
    if given["type"] == "categorical":
        values = tuple(
            value if isinstance(value, str) else str(value).replace("'", '"') for value in given["values"]
        )
        return Dimension(name, "categorical", values=values)
    low, high = (Decimal(str(given[end])) for end in ("min", "max"))
    return Dimension(name, given["type"], low, high, log=bool(given.get("log")))


def _train_network(
    data: str, metric: str, given: Json, state: bytes | None, epochs: int
) -> tuple[list[float], bytes]:
    values = trainer_parameters.for_training({**given, "epochs": EPOCHS}, type_name=_NETWORK)
    learner = NeuralNetwork(prepared(data), values, classify=table(data).classify)
    done = 0
    if state is not None:
        done, restored = pickle.loads(state)
        learner.restore(restored)
    told: list[float] = []
    for epoch in range(done + 1, done + epochs + 1):
        learner.whole_epoch(epoch)
        measures = learner.measure()
        told.append(measures.validation_loss if metric == "validation_loss" else measures.score)
    return told, pickle.dumps((done + epochs, learner.state()))


@cache
def prepared(data: str) -> Prepared:
    """A table as the trainer makes it ready: half of the rows to learn from, half to measure on."""
    found = table(data)
    frame = pd.DataFrame(found.features, columns=[f"f{n}" for n in range(found.features.shape[1])])
    layout = Layout(
        target="target",
        task="classification" if found.classify else "regression",
        labels="integer" if found.classify else "none",
        numeric=tuple(frame.columns),
        categorical=(),
    )
    learned, test = split(
        Examples(features=frame, targets=found.targets, dropped=0), layout, fraction=0.5, seed=0
    )
    values = trainer_parameters.for_training({}, type_name=_NETWORK)
    return prepare(learned, test, layout, values, scale=True)


def _model(
    name: str,
    data: str,
    metric: str,
    *,
    scoring: str,
    build: Callable[..., Any],
    space: Space,
    repeats: int = 1,
) -> Task:
    return Task(
        name=f"{name} on {data}",
        metric=metric,
        minimize=scoring.startswith("neg_"),
        space=space,
        train=partial(_cross_validate, data, scoring, build, repeats),
        data=data,
    )


def _cross_validate(
    data: str,
    scoring: str,
    build: Callable[..., Any],
    repeats: int,
    given: Json,
    state: bytes | None,
    epochs: int,
) -> tuple[list[float], bytes]:
    found = table(data)
    parts = (RepeatedStratifiedKFold if found.classify else RepeatedKFold)(
        n_splits=_FOLDS, n_repeats=repeats, random_state=0
    )
    model = build(random_state=0, **given)
    mean = float(cross_val_score(model, found.features, found.targets, scoring=scoring, cv=parts).mean())
    return [-mean if scoring.startswith("neg_") else mean], b""


def _float(name: str, low: str, high: str, *, log: bool = False) -> Dimension:
    return Dimension(name, "float", Decimal(low), Decimal(high), log=log)


def _int(name: str, low: int, high: int, *, log: bool = False) -> Dimension:
    return Dimension(name, "int", Decimal(low), Decimal(high), log=log)


_FOREST = Space(
    (
        _int("max_depth", 2, 32),
        _int("min_samples_leaf", 1, 20, log=True),
        _float("max_features", "0.1", "1"),
        Dimension("bootstrap", "bool"),
    )
)
_BOOSTING = Space(
    (
        _float("learning_rate", "0.01", "0.5", log=True),
        _int("n_estimators", 10, 60),
        _int("max_depth", 1, 6),
        _float("subsample", "0.4", "1"),
        _int("min_samples_leaf", 1, 20, log=True),
        _float("max_features", "0.1", "1"),
    )
)

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _network("digits"),
        _network("image_segments"),
        _network("phishing"),
        _network("bananas"),
        _network("shuttle"),
        _network("fair", "rmse"),
        _network("randhie", "rmse"),
        _network("breast_cancer"),
        _network("iris"),
        _network("diabetes", "rmse"),
        _model(
            "tree",
            "breast_cancer",
            "log_loss",
            scoring="neg_log_loss",
            build=DecisionTreeClassifier,
            space=tunable("decision_tree"),
            repeats=5,
        ),
        _model(
            "forest",
            "diabetes",
            "rmse",
            scoring="neg_root_mean_squared_error",
            build=partial(RandomForestRegressor, n_estimators=40),
            space=_FOREST,
        ),
        _model(
            "boosting",
            "diabetes",
            "r2_score",
            scoring="r2",
            build=GradientBoostingRegressor,
            space=_BOOSTING,
        ),
        _model(
            "boosting",
            "wine",
            "log_loss",
            scoring="neg_log_loss",
            build=GradientBoostingClassifier,
            space=_BOOSTING,
        ),
    )
}

__all__ = ["EPOCHS", "TASKS", "Refused", "Task", "tunable"]
