"""Tables: csv and parquet files, written batch by batch.

Separate because Arrow's own writer of csv puts every text in quotation marks; here only what needs them has them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet

_NEEDS_MARKS = r'[",\r\n]|^\s|\s$'


class TableWriter(Protocol):
    """Takes batches of one schema; a context manager that closes the file."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def __enter__(self) -> TableWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def table_writer(path: Path, schema: pa.Schema, *, compression: str = "zstd") -> TableWriter:
    """A writer by the file's suffix; a csv file takes text only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        return _CsvWriter(path, schema.names)
    return _ParquetWriter(path, schema, compression)


class _CsvWriter:
    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(names)
        # NB: of a single column an empty cell would be an empty line, which is no row.
        self._plain = len(names) > 1

    def write(self, batch: pa.RecordBatch) -> None:
        if self._plain and not any(_needs_marks(column) for column in batch.columns):
            self._file.flush()
            options = arrow_csv.WriteOptions(include_header=False, quoting_style="none")
            arrow_csv.write_csv(batch, self._file.buffer, options)
            return
        columns = [column.to_pylist() for column in batch.columns]
        self._rows.writerows(zip(*columns, strict=True))

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _ParquetWriter:
    def __init__(self, path: Path, schema: pa.Schema, compression: str) -> None:
        self._writer = arrow_parquet.ParquetWriter(path, schema, compression=compression)

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._writer.write_batch(batch)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _needs_marks(column: pa.Array) -> bool:
    found = pc.any(pc.match_substring_regex(column, _NEEDS_MARKS)).as_py()
    return bool(found)
