"""Predictions as files, written a batch of rows at a time: `predictions.csv`, `predictions.parquet`.

Separate because a table may be too large to be held twice. Called by `inference`. A file appears whole or not at all.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from trainyard_trainer.files import written_whole

if TYPE_CHECKING:
    import pandas as pd


class Sink(Protocol):
    """A file of predictions."""

    name: str

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows; every batch has the same columns."""


class _Csv:
    name = "predictions.csv"

    def __init__(self, file: IO[bytes], stack: ExitStack) -> None:
        self._file = file
        self._begun = False

    def write(self, frame: pd.DataFrame) -> None:
        self._file.write(frame.to_csv(index=False, header=not self._begun, lineterminator="\n").encode())
        self._begun = True


class _Parquet:
    name = "predictions.parquet"

    def __init__(self, file: IO[bytes], stack: ExitStack) -> None:
        self._file, self._stack = file, stack
        self._writer: Any = None

    def write(self, frame: pd.DataFrame) -> None:
        import pyarrow
        import pyarrow.parquet

        if self._writer is None:
            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            # NB: entered after the file, so it is closed, which writes the footer, before the file is.
            self._writer = self._stack.enter_context(pyarrow.parquet.ParquetWriter(self._file, table.schema))
        else:
            table = pyarrow.Table.from_pandas(frame, schema=self._writer.schema, preserve_index=False)
        self._writer.write_table(table)


def open_sinks(folder: Path, wanted: str, *, stack: ExitStack) -> list[Sink]:
    """The files of a format (csv, parquet, both), which take their names when `stack` ends without an error."""
    kinds: list[type[_Csv] | type[_Parquet]] = [_Csv] if wanted in {"csv", "both"} else []
    kinds += [_Parquet] if wanted in {"parquet", "both"} else []
    return [kind(stack.enter_context(written_whole(folder / kind.name)), stack) for kind in kinds]
