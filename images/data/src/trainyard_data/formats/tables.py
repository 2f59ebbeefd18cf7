"""Tables: csv and parquet files, read in batches of bounded size.

CSV is read twice as fast as it can be told what is wrong with it: `batches` reads it by Arrow and raises Inexact at
the first thing that it does not take; `exact_batches` reads it row by row, tells what is wrong with its line, and goes
on. Every cell of a CSV is text here; what type a column has is for the caller to find out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet

from trainyard_data.findings import BadData, Findings
from trainyard_data.formats.lines import lines
from trainyard_data.tree import Tree, reason_of

SUFFIXES = {"csv": (".csv",), "parquet": (".parquet", ".pq")}
MOST_COLUMNS = 20_000
_BLOCK = 4 << 20
LONGEST_CELL = 1 << 20
_LONGEST_LINE = 8 << 20
_ROWS = 10_000
_MARK = ord('"')
_CELLS = 1_000_000
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_WRONG_PARQUET = (pa.ArrowException, OSError, ValueError, NotImplementedError)

csv.field_size_limit(LONGEST_CELL)


class Inexact(Exception):
    """Arrow does not take this CSV file: read it by `exact_batches`, which tells why or does."""


def table_files(tree: Tree, format: str) -> list[str]:
    """The tables of a folder in the order of their paths; those of `format` (csv or parquet), or of both."""
    suffixes = SUFFIXES.get(format) or (*SUFFIXES["csv"], *SUFFIXES["parquet"])
    return [entry.path for entry in tree.with_suffix(*suffixes)]


def is_csv(path: str) -> bool:
    return path.lower().endswith(SUFFIXES["csv"])


def header(tree: Tree, path: str) -> list[str]:
    """The names of the columns of a CSV file. Raises BadData where they cannot be."""
    if tree.size(path) == 0:
        raise BadData(path, None, "The file is empty. It needs a header line and rows.")
    _, cells = next(_rows(tree, path), (1, []))
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise BadData(path, 1, "The file has no header line.")
    if len(names) == 1:
        for separator, words in _OTHER_SEPARATORS.items():
            if separator in names[0]:
                raise BadData(path, 1, f"The columns are separated by {words}: separate them by commas.")
    check_names(path, 1, names)
    if all(_is_number(name) for name in names):
        raise BadData(path, 1, f'There is no header line: the first line is all numbers ("{names[0]}", ...).')
    return names


def check_names(path: str, line: int | None, names: Sequence[str]) -> None:
    """Raises BadData for columns without a name, two of the same name, and too many of them."""
    if len(names) > MOST_COLUMNS:
        raise BadData(
            path, line, f"There are {len(names):,} columns; {MOST_COLUMNS:,} are the most that are read."
        )
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        if not name:
            raise BadData(path, line, f"Column {place} has no name in the header line.")
        if name in seen:
            raise BadData(path, line, f'There is more than one column "{name}": rename or remove one.')
        seen.add(name)


def schema(tree: Tree, path: str) -> pa.Schema:
    """The columns of a file: as stored in a Parquet file, all text for a CSV file. Raises BadData."""
    if is_csv(path):
        return pa.schema([(name, pa.string()) for name in header(tree, path)])
    with tree.open(path) as file:
        found = _parquet(file, path).schema_arrow
    check_names(path, None, found.names)
    return found


def batches(tree: Tree, path: str) -> Iterator[pa.RecordBatch]:
    """The rows. Raises BadData for a file that is broken, Inexact for a CSV file that needs a closer look."""
    return _csv_batches(tree, path) if is_csv(path) else _parquet_batches(tree, path)


def exact_batches(tree: Tree, path: str, findings: Findings) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file; a row with too few or too many cells is a finding and left out.

    Raises BadData at the first line that is no text.
    """
    names = header(tree, path)
    found = schema(tree, path)
    rows: list[list[str]] = []
    reader = _rows(tree, path)
    next(reader)
    most = max(1, min(_ROWS, _CELLS // len(names)))
    for line, cells in reader:
        if len(cells) != len(names):
            findings.add(
                path,
                line,
                f"The row has {_counted(len(cells), 'cell')}, but there are {_counted(len(names), 'column')}.",
            )
            continue
        rows.append(cells)
        if len(rows) == most:
            yield _batch(rows, found)
            rows = []
    if rows:
        yield _batch(rows, found)


def line_of_row(tree: Tree, path: str, row: int) -> int | None:
    """The line of a CSV file on which its row number `row` (from 0, those with wrong cells left out) begins."""
    try:
        reader = _rows(tree, path)
        _, names = next(reader)
        for line, cells in reader:
            if len(cells) == len(names):
                if row == 0:
                    return line
                row -= 1
    except BadData:
        pass
    return None


def _csv_batches(tree: Tree, path: str) -> Iterator[pa.RecordBatch]:
    names = header(tree, path)
    if not _is_first_line(tree, path, names):
        # NB: Arrow skips lines, not rows: the header would be a row of the data.
        raise Inexact(path)
    with tree.open(path) as file:
        try:
            reader = arrow_csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=arrow_csv.ReadOptions(
                    use_threads=False, block_size=_BLOCK, column_names=names, skip_rows=1
                ),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names},
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                ),
            )
            last = None
            for last in reader:
                if any(_is_odd(column) for column in last.columns):
                    raise Inexact(path)
                yield last
            if last is not None and last.num_rows and "\n" in last.columns[-1][-1].as_py():
                # NB: Arrow takes what a quotation mark that is never closed has swallowed for a cell.
                raise Inexact(path)
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise Inexact(path) from error


def _is_first_line(tree: Tree, path: str, names: Sequence[str]) -> bool:
    """Whether the header is the first line, all of it: not below empty lines, and without line ends in its names."""
    _, text = next(lines(tree, path, longest=_LONGEST_LINE))
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return text.count('"') % 2 == 0 and [cell.strip() for cell in cells] == list(names)


def _rows(tree: Tree, path: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row, with the line on which it begins. Raises BadData."""
    marks = 0

    def texts() -> Iterator[str]:
        nonlocal marks
        for _, text in lines(tree, path, longest=_LONGEST_LINE):
            marks += text.count('"')
            yield text + "\n"

    reader = csv.reader(texts(), skipinitialspace=True)
    line = 1
    before: tuple[int, list[str]] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            message = str(error)
            if "limit" in message:
                message = "a cell is too long (is a quotation mark not closed?)"
            elif "new-line" in message:
                message = "a carriage return has no line feed after it: save the file with other line ends"
            raise BadData(path, line, f"The row cannot be read: {message}.") from None
        if before is not None:
            yield before
            before = None
        if reader.line_num > line and marks % 2:
            # NB: only the last row can end within quotation marks.
            before = (line, cells)
        elif cells:
            yield line, cells
        line, marks = reader.line_num + 1, 0
    if before is not None:
        raise BadData(path, before[0], "The row cannot be read: a quotation mark is not closed.")


def _batch(rows: list[list[str]], found: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(column, pa.string()) for column in zip(*rows, strict=True)], schema=found
    )


def _parquet(file: Any, path: str) -> arrow_parquet.ParquetFile:
    try:
        return arrow_parquet.ParquetFile(
            pa.PythonFile(file, mode="r"),
            buffer_size=1 << 20,
            pre_buffer=False,
            page_checksum_verification=True,
        )
    except MemoryError:
        raise
    except _WRONG_PARQUET as error:
        raise BadData(path, None, f"This is no whole Parquet file: {reason_of(error)}.") from None


def _parquet_batches(tree: Tree, path: str) -> Iterator[pa.RecordBatch]:
    with tree.open(path) as file:
        table = _parquet(file, path)
        check_names(path, None, table.schema_arrow.names)
        rows = max(1, min(_ROWS, _CELLS // max(1, len(table.schema_arrow.names))))
        reader = table.iter_batches(batch_size=rows, use_threads=False)
        while True:
            try:
                batch = next(reader)
            except StopIteration:
                return
            except MemoryError:
                # NB: Arrow's own is also one of its exceptions.
                raise
            except _WRONG_PARQUET as error:
                raise BadData(path, None, f"The file is broken: {reason_of(error)}.") from None
            yield batch


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_odd(values: Any) -> bool:
    """Whether Arrow's reading of a column may be wrong: zero bytes, endless cells, quotation marks after a space."""
    data = values.buffers()[-1]
    if data is None or not len(values):
        return False
    text = np.frombuffer(data, dtype=np.uint8)
    if not text.all() or pc.max(pc.binary_length(values)).as_py() > LONGEST_CELL:
        return True
    return bool((text == _MARK).any()) and bool(pc.any(pc.match_substring_regex(values, r'^\s+"')).as_py())


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
