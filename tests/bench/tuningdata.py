"""The tables that the bench of tuning trains on: real ones that packages ship, so that nothing is fetched.

Separate because which tables there are is decided by a rule, before anything is trained on them. Called by
`tuningtasks`. river and statsmodels come with the extra `bench`, and are imported only where a table of theirs is read.

The rule for a network: all tables of 1,000 rows or more that scikit-learn, statsmodels and river carry in their wheels,
with one target, and no time series. Some of fewer rows that scikit-learn carries are measured beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: What makes a table large, and the rows of one that are used: a sample that is always the same.
LARGE, MOST_ROWS = 1000, 5000


@dataclass(frozen=True, kw_only=True)
class Table:
    """Features, all of them numbers, and targets; classes are numbered from 0."""

    features: Array
    targets: Array
    classify: bool

    @property
    def is_large(self) -> bool:
        return len(self.targets) >= LARGE


@cache
def table(name: str) -> Table:
    """A table by its name, of at most MOST_ROWS rows."""
    classify, read = _READERS[name]
    features, targets = read()
    targets = np.unique(targets, return_inverse=True)[1] if classify else np.asarray(targets, dtype=float)
    rows = np.arange(len(targets))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
    return Table(features=np.asarray(features, dtype=float)[rows], targets=targets[rows], classify=classify)


def _of_scikit_learn(name: str) -> tuple[Any, Any]:
    from sklearn import datasets

    found: tuple[Any, Any] = getattr(datasets, f"load_{name}")(return_X_y=True)
    return found


def _of_statsmodels(name: str) -> tuple[Any, Any]:
    from statsmodels import datasets

    found = getattr(datasets, name).load_pandas()
    return found.exog, found.endog


def _of_river(name: str) -> tuple[Any, Any]:
    from river import datasets

    rows = list(getattr(datasets, name)())
    columns = list(rows[0][0])
    return [[row[column] for column in columns] for row, _ in rows], [target for _, target in rows]


_READERS: Mapping[str, tuple[bool, Callable[[], tuple[Any, Any]]]] = {
    "digits": (True, partial(_of_scikit_learn, "digits")),
    "image_segments": (True, partial(_of_river, "ImageSegments")),
    "phishing": (True, partial(_of_river, "Phishing")),
    "bananas": (True, partial(_of_river, "Bananas")),
    "shuttle": (True, partial(_of_river, "Shuttle")),
    "fair": (False, partial(_of_statsmodels, "fair")),
    "randhie": (False, partial(_of_statsmodels, "randhie")),
    "breast_cancer": (True, partial(_of_scikit_learn, "breast_cancer")),
    "iris": (True, partial(_of_scikit_learn, "iris")),
    "wine": (True, partial(_of_scikit_learn, "wine")),
    "diabetes": (False, partial(_of_scikit_learn, "diabetes")),
}
