"""csv into parquet and back, file by file.

Separate from the conversion of annotations, with which it shares only what is reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trainyard_data.actions.columntypes import ColumnTypes, typed
from trainyard_data.actions.losses import Losses
from trainyard_data.actions.problems import Refused
from trainyard_data.actions.reporting import Progress
from trainyard_data.actions.source import Source, table_batches, table_files
from trainyard_data.formats import tables
from trainyard_data.writers.tables import table_writer


def convert_tables(
    source: Source, wanted: str, root: Path, checked: Mapping[str, Any], *, losses: Losses, progress: Progress
) -> dict[str, int]:
    """Every file of the source in the format `wanted`; how many rows and columns there are. Raises Refused."""
    rows, columns = 0, 0
    taken: set[str] = set()
    for path in table_files(source):
        target = f"{path.rpartition('.')[0]}.{wanted}"
        if target.casefold() in taken:
            raise Refused(f"Two files would both become {target}: rename {path}.")
        taken.add(target.casefold())
        if wanted == "parquet":
            found = _to_parquet(source, path, root / target, checked, progress=progress)
        else:
            found = _to_csv(source, path, root / target, losses=losses, progress=progress)
        rows, columns = rows + found[0], max(columns, found[1])
    return {"rows": rows, "columns": columns}


def _to_parquet(
    source: Source, path: str, target: Path, checked: Mapping[str, Any], *, progress: Progress
) -> tuple[int, int]:
    found = tables.schema(source.tree, path)
    types = ColumnTypes(list(found.names))
    if checked["infer_types"]:
        for batch in table_batches(source, path):
            types.add(batch)
            progress.step(0)
    schema = pa.schema([(name, types.type_of(name)) for name in found.names])
    rows = 0
    with table_writer(target, schema, compression=checked["compression"]) as writer:
        for batch in table_batches(source, path):
            cells = [typed(batch.column(name), schema.field(name).type) for name in schema.names]
            writer.write(pa.record_batch(cells, schema=schema))
            rows += batch.num_rows
            progress.step(batch.num_rows)
    return rows, len(schema.names)


def _to_csv(
    source: Source, path: str, target: Path, *, losses: Losses, progress: Progress
) -> tuple[int, int]:
    found = tables.schema(source.tree, path)
    for column in found:
        _tell(column, losses)
    schema = pa.schema([(name, pa.string()) for name in found.names])
    rows = empty = 0
    with table_writer(target, schema) as writer:
        for batch in table_batches(source, path):
            cells = [_as_text(column) for column in batch.columns]
            empty += sum(
                pc.sum(pc.equal(text, "")).as_py() or 0
                for text, column in zip(cells, batch.columns, strict=True)
                if column.null_count
            )
            writer.write(pa.record_batch(cells, schema=schema))
            rows += batch.num_rows
            progress.step(batch.num_rows)
    losses.add("{count} empty texts cannot be told from missing values of the same column.", empty)
    return rows, len(schema.names)


def _tell(column: pa.Field, losses: Losses) -> None:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        raise Refused(
            f'Column "{column.name}" holds bytes, which csv cannot: leave it out of the table first.'
        )
    if pa.types.is_nested(kind):
        losses.add(f'Column "{column.name}" of type {str(kind)[:60]} is written as JSON.')
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        losses.add("The types of {count} columns are left out: csv holds text.")


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        texts = [None if v is None else json.dumps(v, default=str, ensure_ascii=False) for v in values]
        return pa.array(texts, pa.string())
    return pc.cast(column, pa.string())
