"""Which column is predicted, which are features, and of what kind each is.

Separate because training decides it once, and an evaluation or a resumed attempt must read new rows in
exactly the same way; the layout travels in checkpoints and in the model. Called by `training` and
`evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trainyard_trainer.problems import Refused, nearest
from trainyard_trainer.tables import Table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MOST_CLASSES_OF_NUMBERS = 20
_LARGELY_NUMBERS = 0.95

Task = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How rows are read. `labels` says how a class is written: a whole number or text."""

    target: str
    task: Task
    labels: Literal["integer", "text", "none"]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        """All feature columns, in the order in which the model takes them."""
        return [*self.numeric, *self.categorical]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Features and targets of the rows that have a target; `dropped` counts the others."""

    features: pd.DataFrame
    targets: np.ndarray[Any, Any]
    dropped: int


def recognise(table: Table, parameters: Mapping[str, Any]) -> tuple[Layout, list[str]]:
    """The layout of a training table, and remarks for the log. Raises Refused, naming the column."""
    columns = [str(column) for column in table.frame.columns]
    target = _target(columns, parameters["target"], table)
    task = _task(table, target, parameters["task"])
    for name in parameters["ignore_columns"]:
        if name not in columns:
            raise Refused(f'ignore_columns names "{name}", which is no column.{nearest(name, columns)}')
    numeric: list[str] = []
    categorical: list[str] = []
    remarks: list[str] = []
    for name in columns:
        if name == target or name in parameters["ignore_columns"]:
            continue
        kind = _feature_kind(table, name)
        (numeric if kind == "numeric" else categorical).append(name)
        if kind == "categorical" and (stray := _stray_text(table, name)):
            remarks.append(f'Column "{name}" is nearly all numbers but read as text, because of {stray}.')
    if not numeric and not categorical:
        raise Refused(f'{table.files[0]} has no feature column beside the target "{target}".')
    labels: Literal["integer", "text", "none"] = "none"
    if task == "classification":
        labels = "integer" if _holds_whole_numbers(table.frame[target].dropna()) else "text"
    return (
        Layout(
            target=target, task=task, labels=labels, numeric=tuple(numeric), categorical=tuple(categorical)
        ),
        remarks,
    )


def examples(table: Table, layout: Layout) -> Examples:
    """The rows of `table` as the layout reads them. Raises Refused for a missing or unreadable column."""
    _refuse_missing(table, [layout.target, *layout.features])
    frame = table.frame[table.frame[layout.target].notna()]
    if frame.empty:
        raise Refused(f'Column "{layout.target}" of {table.files[0]} is empty in every row.')
    return Examples(
        features=_features(table, frame, layout),
        targets=_targets(table, frame, layout),
        dropped=len(table.frame) - len(frame),
    )


def features(table: Table, layout: Layout) -> pd.DataFrame:
    """The features of every row, of which none needs a target. Raises Refused as `examples` does."""
    _refuse_missing(table, layout.features)
    return _features(table, table.frame, layout)


def _features(table: Table, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    # NB: built from one mapping; a column at a time would copy the table for each.
    read = {name: _numbers(table, frame, name).replace([np.inf, -np.inf], np.nan) for name in layout.numeric}
    read |= {name: _texts(frame[name]) for name in layout.categorical}
    return pd.DataFrame(read, index=frame.index).reset_index(drop=True)


def _refuse_missing(table: Table, wanted: Sequence[str]) -> None:
    columns = [str(column) for column in table.frame.columns]
    for name in wanted:
        if name not in columns:
            raise Refused(f'{table.files[0]} lacks the column "{name}".{nearest(name, columns)}')


def _targets(table: Table, frame: pd.DataFrame, layout: Layout) -> np.ndarray[Any, Any]:
    import numpy as np

    column = frame[layout.target]
    if layout.task == "regression":
        values = _numbers(table, frame, layout.target)
        if not np.isfinite(values).all():
            row = int(values.index[~np.isfinite(values)][0])
            raise Refused(f'Column "{layout.target}" is infinite in {table.where(row)}.')
        return np.asarray(values, dtype=float)
    if layout.labels == "integer":
        if not _holds_whole_numbers(column):
            raise Refused(
                f'Column "{layout.target}" of {table.files[0]} must hold whole numbers, as in training.'
            )
        return np.asarray(column, dtype=np.int64)
    return np.asarray(column.astype(str), dtype=object)


def _target(columns: list[str], wanted: str | None, table: Table) -> str:
    if wanted is None:
        return next((name for name in ("target", "label") if name in columns), columns[-1])
    if wanted not in columns:
        raise Refused(f'The target column "{wanted}" is not in {table.files[0]}.{nearest(wanted, columns)}')
    return wanted


def _task(table: Table, target: str, wanted: str) -> Task:
    column = table.frame[target].dropna()
    if column.empty:
        raise Refused(f'The target column "{target}" of {table.files[0]} is empty in every row.')
    distinct = column.nunique()
    if wanted == "regression":
        _refuse_classes(table, target, column)
    if wanted == "regression" or (wanted == "auto" and _is_quantity(column, distinct)):
        return "regression"
    if distinct < 2:
        raise Refused(f'The target column "{target}" has one value only, so there is nothing to learn.')
    if distinct * 2 > len(column) and len(column) > _MOST_CLASSES_OF_NUMBERS:
        raise Refused(
            f'The target column "{target}" has {distinct} distinct values in {len(column)} rows: too many for'
            " classes. Name another target, or set task to regression if it is a quantity."
        )
    return "classification"


def _refuse_classes(table: Table, target: str, column: pd.Series[Any]) -> None:
    """Raises Refused for a column without a single number; a stray text among numbers is named later."""
    import pandas as pd

    boolean = pd.api.types.is_bool_dtype(column) or column.map(lambda value: isinstance(value, bool)).all()
    if boolean or pd.to_numeric(column.astype(str), errors="coerce").isna().all():
        raise Refused(
            f'The target column "{target}" of {table.files[0]} holds classes ("{column.iloc[0]}"), and a regression'
            " predicts quantities. Name a target of numbers, or train a decision_tree, random_forest or"
            " neural_network with the task classification."
        )


def _is_quantity(column: pd.Series[Any], distinct: int) -> bool:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return False
    few = distinct <= _MOST_CLASSES_OF_NUMBERS and distinct * 2 <= len(column)
    return not (few and _holds_whole_numbers(column))


def _holds_whole_numbers(column: pd.Series[Any]) -> bool:
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return False
    return bool((column % 1 == 0).all())


def _feature_kind(table: Table, name: str) -> Literal["numeric", "categorical"]:
    import pandas as pd

    column = table.frame[name]
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise Refused(
            f'Column "{name}" of {table.files[0]} holds times. Turn it into a number,'
            " or name it in ignore_columns."
        )
    filled = column.dropna()
    if not filled.empty and not pd.api.types.is_scalar(filled.iloc[0]):
        raise Refused(
            f'Column "{name}" of {table.files[0]} holds lists or objects. Flatten it,'
            " or name it in ignore_columns."
        )
    if filled.empty or pd.api.types.is_numeric_dtype(column):
        return "numeric"
    return "categorical"


def _stray_text(table: Table, name: str) -> str:
    """Where the text is in a column of numbers, or an empty string."""
    import pandas as pd

    filled = table.frame[name].dropna()
    numbers = pd.to_numeric(filled.astype(str), errors="coerce")
    if numbers.notna().mean() < _LARGELY_NUMBERS or numbers.notna().all():
        return ""
    row = numbers.index[numbers.isna()][0]
    return f'"{filled.loc[row]}" in {table.where(int(row))}'


def _numbers(table: Table, frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    import pandas as pd

    column = frame[name]
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    numbers = pd.to_numeric(column.astype(object), errors="coerce")
    if (bad := numbers.isna() & column.notna()).any():
        row = int(numbers.index[bad][0])
        raise Refused(f'Column "{name}" must hold numbers, but {table.where(row)} has "{column.loc[row]}".')
    return numbers.astype("float64")


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Text with None where nothing is: the only missing value that scikit-learn takes beside strings."""
    import numpy as np

    return (
        column.astype(object)
        .where(column.isna(), column.astype(str))
        .astype(object)
        .where(column.notna(), np.nan)
    )
