"""Dataset folders as tables.

Separate because reading what users bring is where most failures are, and each must name the file and
the column. Called by every action.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainyard_trainer.contract import Order
from trainyard_trainer.files import sha256_of
from trainyard_trainer.problems import Refused, nearest
from trainyard_trainer.stopping import StopFlag

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".csv", ".parquet")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one role; `first_rows[i]` is where the rows of `files[i]` begin in `frame`."""

    frame: pd.DataFrame
    files: tuple[str, ...]
    first_rows: tuple[int, ...]
    sha256: str

    def where(self, row: int) -> str:
        """`train/data.csv, row 12` for a row number of the frame; rows count from 1 below the header."""
        number = max(i for i, first in enumerate(self.first_rows) if first <= row)
        return f"{self.files[number]}, row {row - self.first_rows[number] + 1}"


def read_role(order: Order, role: str, *, stop: StopFlag) -> Table:
    """All rows of a role's datasets, in the order given and by file name inside each.

    Raises Refused for data that cannot be used, StopRequested when SIGTERM came between two files.
    """
    folders = _folders(order, role)
    paths = [(folder, path) for folder in folders for path in _files(folder)]
    frames: list[pd.DataFrame] = []
    names: list[str] = []
    digest = hashlib.sha256()
    for folder, path in paths:
        stop.raise_if_requested()
        name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
        frames.append(_read(path, name))
        names.append(name)
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return _joined(frames, names, digest.hexdigest())


def first_role(order: Order, roles: Sequence[str]) -> str:
    """The first of the roles that has a dataset; the first of all where none has one."""
    return next((role for role in roles if role in order.datasets), roles[0])


def _folders(order: Order, role: str) -> list[Path]:
    if order.data_dir is None:
        raise Refused(f"There is no data: TRAINYARD_DATA_DIR is not set. {_advice(order, role)}")
    if not order.data_dir.is_dir():
        raise Refused(f"The data folder {order.data_dir} does not exist. Check the job's datasets.")
    present = sorted(path.name for path in order.data_dir.iterdir() if path.is_dir())
    names = order.datasets.get(role, ())
    if not names and not order.datasets and len(present) == 1:
        names = (present[0],)
    if not names:
        raise Refused(f"No dataset has the role {role}. {_advice(order, role)}")
    for name in names:
        if name not in present:
            raise Refused(
                f'Dataset "{name}" ({role}) has no folder in {order.data_dir}.{nearest(name, present)}'
                f" Folders there: {', '.join(present) or 'none'}."
            )
    return [order.data_dir / name for name in names]


def _advice(order: Order, role: str) -> str:
    if order.action == "train" and not order.datasets:
        return (
            f"Name a dataset in datasets.{role}; or, to try a training without data of your own, set the parameter"
            " synthetic_data to true."
        )
    return f"Name a dataset in datasets.{role}."


def _files(folder: Path) -> list[Path]:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise Refused(f'Dataset "{folder.name}" holds no .csv or .parquet file. Check its source.')
    return paths


def _read(path: Path, name: str) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix.lower() == ".csv":
            _check_header(path, name)
            frame = pd.read_csv(path, skipinitialspace=True)
        else:
            frame = pd.read_parquet(path).reset_index(drop=True)
    except (ValueError, UnicodeError, OSError, csv.Error) as error:
        # NB: pandas' and pyarrow's own errors are ValueErrors; the first line says what is wrong.
        raise Refused(f"{name} cannot be read: {str(error).splitlines()[0]}") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    if frame.empty:
        raise Refused(f"{name} has a header but no rows.")
    doubled = sorted({column for column in frame.columns if list(frame.columns).count(column) > 1})
    if doubled:
        raise Refused(f'{name} has more than one column "{doubled[0]}". Rename or remove one.')
    return frame


def _check_header(path: Path, name: str) -> None:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file, skipinitialspace=True), [])
    cells = [cell.strip() for cell in header]
    if not any(cells):
        raise Refused(f"{name} is empty. It needs a header line and rows.")
    if len(cells) == 1:
        for separator, words in _OTHER_SEPARATORS.items():
            if separator in cells[0]:
                raise Refused(f"{name} is separated by {words}. Separate its columns by commas.")
    if "" in cells:
        raise Refused(f"{name}: column {cells.index('') + 1} has no name in the header line.")
    doubled = sorted({cell for cell in cells if cells.count(cell) > 1})
    if doubled:
        raise Refused(f'{name} has more than one column "{doubled[0]}". Rename or remove one.')
    if all(_is_number(cell) for cell in cells):
        raise Refused(f'{name} has no header line: its first line is all numbers ("{cells[0]}", ...).')


def _joined(frames: Sequence[pd.DataFrame], names: Sequence[str], sha256: str) -> Table:
    import pandas as pd

    first, *others = frames
    first_rows = [0]
    for frame, name in zip(others, names[1:], strict=True):
        first_rows.append(first_rows[-1] + len(frames[len(first_rows) - 1]))
        if missing := [column for column in first.columns if column not in frame.columns]:
            raise Refused(f'{name} lacks the column "{missing[0]}", which {names[0]} has.')
        if extra := [column for column in frame.columns if column not in first.columns]:
            raise Refused(f'{name} has a column "{extra[0]}", which {names[0]} lacks.')
        for column in first.columns:
            kinds = [pd.api.types.is_numeric_dtype(part[column]) for part in (first, frame)]
            filled = [part[column].notna().any() for part in (first, frame)]
            if kinds[0] != kinds[1] and all(filled):
                text, numbers = (name, names[0]) if kinds[0] else (names[0], name)
                raise Refused(f'Column "{column}" holds text in {text} but numbers in {numbers}.')
    frame = pd.concat(frames, ignore_index=True) if others else first
    return Table(frame=frame, files=tuple(names), first_rows=tuple(first_rows), sha256=sha256)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
