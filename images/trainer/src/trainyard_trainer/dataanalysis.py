"""What a table is like: how large, of what kinds of columns, how complex.

Separate because it is told with a recommendation however that was come by, and is what rules go by where nothing could
be measured. Called by `recommending`; the terms are explained in docs/recommendation.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.tables import Table

if TYPE_CHECKING:
    import pandas as pd

SMALL_ROWS, LARGE_ROWS = 1_000, 100_000
_SIMPLE_INPUTS, _MANY_INPUTS = 20, 200
_FEW_CLASSES, _MANY_CLASSES = 3, 20
_MOST_CATEGORIES = 100
_WORDS_OF_A_SENTENCE = 4


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """`inputs` is the number of features once categories are encoded; `classes` is 0 of a quantity.

    `kinds` counts the attributes, features and target, by data type; `free_text` names the columns of sentences.
    """

    rows: int
    numeric: int
    categorical: int
    inputs: int
    classes: int
    missing_share: float
    kinds: Mapping[str, int]
    free_text: tuple[str, ...]

    @property
    def features(self) -> int:
        return self.numeric + self.categorical

    @property
    def size(self) -> str:
        if self.rows < SMALL_ROWS:
            return "small"
        return "medium" if self.rows < LARGE_ROWS else "large"

    @property
    def complexity(self) -> str:
        if self.inputs > _MANY_INPUTS or self.classes > _MANY_CLASSES:
            return "high"
        return "low" if self.inputs <= _SIMPLE_INPUTS and self.classes <= _FEW_CLASSES else "medium"

    def as_told(self) -> dict[str, dict[str, Any]]:
        """The two analyses of a recommendation."""
        attributes = self.features + 1
        numerical = self.numeric + (self.classes == 0)
        return {
            "ontologyAnalysis": {
                "numEntities": 1,
                "numAttributes": attributes,
                "numRelationships": 0,
                "numericalRatio": f"{numerical / attributes:.4g}",
                "categoricalRatio": f"{(attributes - numerical) / attributes:.4g}",
                "dataTypes": dict(self.kinds),
                "complexity": self.complexity,
            },
            "dataAnalysis": {
                "size": self.size,
                "recordCount": self.rows,
                "featureCount": self.features,
                "hasUnstructured": bool(self.free_text),
            },
        }


def analysed(table: Table, layout: Layout, examples: Examples) -> DataFacts:
    """The facts of the rows that have a target."""
    import numpy as np

    texts = examples.features[list(layout.categorical)]
    distinct = [min(_MOST_CATEGORIES, int(texts[name].nunique())) for name in layout.categorical]
    kinds: dict[str, int] = {}
    for name in [*layout.features, layout.target]:
        kind = _kind(table.frame[name])
        kinds[kind] = kinds.get(kind, 0) + 1
    return DataFacts(
        rows=len(examples.targets),
        numeric=len(layout.numeric),
        categorical=len(layout.categorical),
        inputs=len(layout.numeric) + sum(distinct),
        classes=len(np.unique(examples.targets)) if layout.task == "classification" else 0,
        missing_share=float(examples.features.isna().to_numpy().mean()),
        kinds=dict(sorted(kinds.items())),
        free_text=tuple(name for name in layout.categorical if _is_free_text(texts[name])),
    )


def _kind(column: pd.Series[Any]) -> str:
    import pandas as pd

    filled = column.dropna()
    if filled.empty:
        return "empty"
    if pd.api.types.is_bool_dtype(filled) or filled.map(lambda value: isinstance(value, bool)).all():
        return "boolean"
    if not pd.api.types.is_numeric_dtype(filled):
        return "text"
    return "integer" if (filled % 1 == 0).all() else "float"


def _is_free_text(column: pd.Series[Any]) -> bool:
    filled = column.dropna()
    return bool(len(filled)) and bool(filled.str.split().str.len().mean() > _WORDS_OF_A_SENTENCE)
