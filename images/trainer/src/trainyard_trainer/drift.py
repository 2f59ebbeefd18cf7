"""How the features were spread over the rows that a model learned from, and how far others have moved since.

Separate from `profiles`, which makes rows up, because here shares are compared, and because the file is read by whoever
watches a model. Written by every action that leaves a model; read by `evaluation`.

The measure is the population stability index (Siddiqi, Credit Risk Scorecards, 2006, chapter 6): the sum over the bins
of (now - then) * ln(now / then), with shares of rows. Yurdakul and Naranjo (2020) have its distribution. The bins of a
number lie between the deciles of the rows that were learned from; those of a text are its most frequent categories,
with one for all others. A missing value is a bin of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainyard_trainer.columns import Layout
from trainyard_trainer.files import written_whole

if TYPE_CHECKING:
    import pandas as pd

FILE = "profile.json"
_VERSION = 1
_DECILES = tuple(tenth / 10 for tenth in range(1, 10))
_MOST_CATEGORIES = 50
_LONGEST_CATEGORY = 128
_LEAST_SHARE = 1e-4
"""An empty bin counts as this share: the logarithm knows no zero."""
_MOST_COLUMNS = 64

Profile = Mapping[str, Any]


def profile_of(features: pd.DataFrame, layout: Layout) -> dict[str, Any]:
    """The share of rows in each bin of each column. It holds no row, and no text that only one row has."""
    numbers = [_of_number(name, features[name]) for name in layout.numeric]
    return {
        "version": _VERSION,
        "rows": len(features),
        "columns": numbers + [_of_category(name, features[name]) for name in layout.categorical],
    }


def write(folder: Path, profile: Profile) -> None:
    """`profile.json`."""
    with written_whole(folder / FILE) as file:
        file.write(json.dumps(profile, allow_nan=False).encode() + b"\n")


def hand_on(parent: Path | None, folder: Path) -> None:
    """The parent's profile is that of a model which learned from no other rows."""
    if parent is not None and (parent / FILE).is_file():
        with written_whole(folder / FILE) as file:
            file.write((parent / FILE).read_bytes())


def since(folder: Path | None, features: pd.DataFrame) -> tuple[dict[str, float], str]:
    """How far features have moved since the model in a folder learned: the index of the 64 columns that moved most, the
    most first.

    Empty where it has left no profile; of one that cannot be used there is a sentence for the log besides.
    """
    if folder is None or not (folder / FILE).is_file():
        return {}, ""
    try:
        profile = json.loads((folder / FILE).read_text())
        if profile["version"] != _VERSION:
            raise ValueError(f"its version is {profile['version']}")
        return _measured(profile, features), ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # NB: what was asked for is the score; a profile that was damaged does not keep it back.
        return {}, f"{folder / FILE} cannot be used ({error}), so drift is not measured."


def _measured(profile: Profile, features: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = {}
    for column in profile["columns"]:
        values = features[column["name"]]
        if column["type"] == "number":
            then = column["shares"]
            now = _shares_of_numbers(values, column["edges"])
        else:
            then = [*column["categories"].values(), column["other"]]
            known = list(column["categories"])
            now = _shares_of_categories(values, known)
        found[column["name"]] = _index([column["missing"], *then], [float(values.isna().mean()), *now])
    most = sorted(found, key=lambda name: -found[name])[:_MOST_COLUMNS]
    return {name: found[name] for name in most}


def _index(then: Sequence[float], now: Sequence[float]) -> float:
    before, after = (np.maximum(np.asarray(shares, dtype=float), _LEAST_SHARE) for shares in (then, now))
    return float(((after - before) * np.log(after / before)).sum())


def _of_number(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    filled = np.asarray(values.dropna(), dtype=float)
    edges = sorted({float(edge) for edge in np.quantile(filled, _DECILES)}) if len(filled) else []
    if edges and edges[0] == filled.min():
        # Many rows have the smallest value: one that is smaller still is another bin.
        edges.insert(0, float(np.nextafter(edges[0], -np.inf)))
    return {
        "name": name,
        "type": "number",
        "missing": float(values.isna().mean()),
        "edges": edges,
        "shares": _shares_of_numbers(values, edges),
    }


def _shares_of_numbers(values: pd.Series[Any], edges: Sequence[float]) -> list[float]:
    """Of all rows, those up to each edge and above the one before it, and those above the last."""
    filled = np.asarray(values.dropna(), dtype=float)
    places = np.searchsorted(np.asarray(edges, dtype=float), filled, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    return [float(share) for share in counts / max(1, len(values))]


def _of_category(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    shared = [str(text) for text, rows in counts.items() if rows > 1 and len(str(text)) <= _LONGEST_CATEGORY]
    known = shared[:_MOST_CATEGORIES]
    *shares, other = _shares_of_categories(values, known)
    return {
        "name": name,
        "type": "category",
        "missing": float(values.isna().mean()),
        "categories": dict(zip(known, shares, strict=True)),
        "other": other,
    }


def _shares_of_categories(values: pd.Series[Any], known: Sequence[str]) -> list[float]:
    """Of all rows, those of each category, and last those of any other."""
    counts = values.value_counts()
    each = [int(counts.get(text, 0)) for text in known]
    rows = max(1, len(values))
    return [count / rows for count in [*each, int(counts.sum()) - sum(each)]]
