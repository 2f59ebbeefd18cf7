"""From examples to matrices: the split, the preprocessing, the encoded classes.

Separate because an evaluation must find the same held-out rows again, from nothing but the seed and the
fraction that the model carries. Called by `training`, `retraining`, `testrows` and `crossvalidation`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.problems import Refused

Array = np.ndarray[Any, Any]

_MOST_CATEGORIES = 100
_NO_CATEGORY = np.array([""], dtype=object)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Matrices for the learners. Classes are numbered by their place in `classes` (empty for regression).

    Validation and test rows are the same ones unless early stopping is on. A class that the training rows
    lack is numbered -1.
    """

    preprocess: Any
    classes: Array
    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    test: Examples


def split(examples: Examples, layout: Layout, *, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """The `fraction` of rows to learn from and the rest, held out, by class where each has two rows or more.

    Raises Refused where there are too few rows.
    """
    from sklearn.model_selection import train_test_split

    # NB: rounded first, because 0.29 * 100 is a little below 29 in floating point.
    rows = len(examples.targets)
    learned = math.floor(round(fraction * rows, 6))
    held_out = rows - learned
    stratify = None
    if layout.task == "classification":
        counts = np.unique(examples.targets, return_counts=True)[1]
        if counts.min() >= 2 and len(counts) <= min(held_out, learned):
            stratify = examples.targets
    try:
        kept, held = train_test_split(
            np.arange(rows), train_size=learned, test_size=held_out, random_state=seed, stratify=stratify
        )
    except ValueError as error:
        raise Refused(
            f"{rows} rows cannot be split with a fraction of {fraction:g} to learn from: add rows"
            " or change it."
        ) from error
    return rows_at(examples, np.sort(kept)), rows_at(examples, np.sort(held))


def prepare(
    train: Examples,
    test: Examples,
    layout: Layout,
    parameters: Mapping[str, Any],
    *,
    scale: bool,
    preprocess: Any = None,
    classes: Array | None = None,
) -> Prepared:
    """Fit the preprocessing on the training rows (unless one is handed over) and apply it.

    Raises Refused for a class beside those handed over: a model cannot learn one that it has no place for.
    """
    validation = test
    if parameters["early_stopping_rounds"]:
        train, validation = split(
            train, layout, fraction=1 - parameters["validation_split"], seed=parameters["random_seed"]
        )
    if preprocess is None:
        preprocess = _preprocess(train.features, layout, scale=scale).fit(train.features)
    if classes is None:
        classes = np.unique(train.targets) if layout.task == "classification" else np.empty(0)
        if layout.task == "classification" and len(classes) < 2:
            raise Refused(f'The training rows hold one class of "{layout.target}" only: add rows of another.')
    y_train = encode(train.targets, classes)
    if len(classes) and (strange := train.targets[y_train < 0]).size:
        raise Refused(
            f'The training rows hold the class "{strange[0]}" of "{layout.target}", which the parent\'s model does'
            " not know. Leave it out, or train a new model."
        )
    return Prepared(
        preprocess=preprocess,
        classes=classes,
        x_train=preprocess.transform(train.features),
        y_train=y_train,
        x_validation=preprocess.transform(validation.features),
        y_validation=encode(validation.targets, classes),
        test=test,
    )


def encode(targets: Array, classes: Array) -> Array:
    """The place of each target in `classes`, -1 for one that is not there; numbers stay as they are."""
    if not len(classes):
        return targets
    return np.asarray(pd.Index(classes).get_indexer(pd.Index(targets)))


def rows_at(examples: Examples, rows: Array) -> Examples:
    """The examples at these places, numbered anew."""
    return Examples(
        features=examples.features.iloc[rows].reset_index(drop=True),
        targets=examples.targets[rows],
        dropped=0,
    )


def _preprocess(features: pd.DataFrame, layout: Layout, *, scale: bool) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    # NB: chosen here; the encoder's own max_categories cannot be exported. The others are encoded as none of them.
    encoder = OneHotEncoder(
        categories=[_frequent(features[name]) for name in layout.categorical],
        handle_unknown="ignore",
        sparse_output=False,
    )
    steps = []
    if layout.numeric:
        numeric = make_pipeline(impute, StandardScaler()) if scale else impute
        steps.append(("numeric", numeric, list(layout.numeric)))
    if layout.categorical:
        fill = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
        steps.append(("categorical", make_pipeline(fill, encoder), list(layout.categorical)))
    return ColumnTransformer(steps, verbose_feature_names_out=False)


def _frequent(column: pd.Series[Any]) -> Array:
    """The most frequent categories in the order of their names; of equally frequent ones the first by name."""
    counts = column.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    # A column that is empty in every training row has no category, and the encoder needs one.
    return np.sort(np.asarray(counts.index[:_MOST_CATEGORIES], dtype=object)) if len(counts) else _NO_CATEGORY
