"""What is kept of the features beside the model: enough to make up rows like them, and no row itself.

Separate because it is written by training and read by `exporting`, which has to run a model where no data is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainyard_trainer.columns import Layout

if TYPE_CHECKING:
    import pandas as pd

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_MISSING_SHARE = 0.05
_UNKNOWN = "a category that was never seen"

Profile = Mapping[str, Sequence[Any]]


def of_features(features: pd.DataFrame, layout: Layout, preprocess: Any) -> dict[str, list[Any]]:
    """Five quantiles of each number, and the encoded categories of each text; of an empty column nothing."""
    profile: dict[str, list[Any]] = {}
    for name in layout.numeric:
        values = features[name].dropna()
        profile[name] = [float(value) for value in np.quantile(values, _QUANTILES)] if len(values) else []
    if layout.categorical:
        encoder = preprocess.named_transformers_["categorical"][-1]
        for name, categories in zip(layout.categorical, encoder.categories_, strict=True):
            profile[name] = [str(category) for category in categories]
    return profile


def made_up(profile: Profile, layout: Layout, *, rows: int, seed: int) -> pd.DataFrame:
    """Features as `columns.features` gives them: between the quantiles, a few missing, a few never seen."""
    import pandas as pd

    generator = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for name in layout.numeric:
        quantiles = profile[name] or [0.0]
        places = np.linspace(0.0, 1.0, len(quantiles))
        values = np.interp(generator.random(rows), places, quantiles)
        made[name] = np.where(generator.random(rows) < _MISSING_SHARE, np.nan, values)
    for name in layout.categorical:
        texts = np.array([*profile[name], _UNKNOWN], dtype=object)[
            generator.integers(len(profile[name]) + 1, size=rows)
        ]
        texts[generator.random(rows) < _MISSING_SHARE] = np.nan
        made[name] = texts
    return pd.DataFrame(made)
