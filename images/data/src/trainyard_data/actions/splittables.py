"""Split of tables: one file a part, with the rows in the order in which they were.

Separate from the split of images: rows are too many for a list, so that each has a byte that says its part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainyard_data.actions.parts import Codes, divided
from trainyard_data.actions.problems import Refused, nearest
from trainyard_data.actions.reporting import Progress
from trainyard_data.actions.source import Source, table_batches, table_files
from trainyard_data.formats import tables
from trainyard_data.writers.tables import TableWriter, table_writer

_MOST_CLASSES = 1000


def split_tables(
    source: Source, root: Path, given: Mapping[str, Any], shares: Mapping[str, float], *, progress: Progress
) -> dict[str, int]:
    """Rows of each part. Raises Refused for columns that are not there and classes that are none."""
    paths = table_files(source)
    schema = _schema(source, paths)
    classes = groups = None
    if given["stratify"]:
        if not given["target"]:
            raise Refused("stratify needs to know the column of the classes: give it as target.")
        classes = _Coded(schema, given["target"], "target")
    if given["group"]:
        if classes is not None:
            raise Refused("Give stratify or group, not both: a group can have rows of several classes.")
        groups = _Coded(schema, given["group"], "group")
    rows = 0
    for path in paths:
        for batch in table_batches(source, path):
            for coded in (classes, groups):
                if coded is not None:
                    coded.add(batch)
            rows += batch.num_rows
            progress.step(0)
    if classes is not None and len(classes.known) > _MOST_CLASSES:
        raise Refused(
            f'Column "{given["target"]}" has {len(classes.known):,} different values: stratify is for classes, at most '
            f"{_MOST_CLASSES:,}."
        )
    chosen = divided(
        rows,
        shares,
        seed=given["seed"],
        classes=classes.codes() if classes is not None else None,
        groups=groups.codes() if groups is not None else None,
    )
    counts = {part: int((chosen == place).sum()) for place, part in enumerate(shares)}
    empty = [part for part, count in counts.items() if not count]
    if empty:
        raise Refused(f"There are too few rows or groups for {' and '.join(empty)}: {rows:,} rows in all.")
    suffix = "csv" if tables.is_csv(paths[0]) else "parquet"
    writers: list[TableWriter] = []
    try:
        writers = [table_writer(root / part / f"data.{suffix}", schema) for part in shares]
        done = 0
        for path in paths:
            for batch in table_batches(source, path):
                batch = batch.select(schema.names)
                part = chosen[done : done + batch.num_rows]
                for place, writer in enumerate(writers):
                    writer.write(batch.filter(pa.array(part == place)))
                done += batch.num_rows
                progress.step(batch.num_rows)
    finally:
        for writer in writers:
            writer.__exit__(None, None, None)
    return counts


def _schema(source: Source, paths: list[str]) -> pa.Schema:
    """That of all files. Raises Refused where they differ."""
    first = tables.schema(source.tree, paths[0])
    for path in paths[1:]:
        other = tables.schema(source.tree, path)
        if set(other.names) != set(first.names):
            raise Refused(f"{path} has not the same columns as {paths[0]}, so that they cannot be mixed.")
        for name in first.names:
            if other.field(name).type != first.field(name).type:
                raise Refused(
                    f'Column "{name}" is {other.field(name).type} in {path}, but {first.field(name).type} in '
                    f"{paths[0]}: make them one type."
                )
    return first.remove_metadata()


class _Coded:
    """A column as one number a row. Raises Refused where it is not there."""

    def __init__(self, schema: pa.Schema, name: str, parameter: str) -> None:
        if name not in schema.names:
            raise Refused(f'There is no column "{name}", the {parameter}.{nearest(name, schema.names)}')
        self._name = name
        self.known: dict[Any, int] = {}
        self._parts: list[Codes] = []

    def add(self, batch: pa.RecordBatch) -> None:
        encoded = batch.column(self._name)
        if not isinstance(encoded.type, pa.DictionaryType):
            encoded = pc.dictionary_encode(encoded, null_encoding="encode")
        places = np.array(
            [self.known.setdefault(value, len(self.known)) for value in encoded.dictionary.to_pylist()],
            dtype=np.int32,
        )
        absent = self.known.setdefault(None, len(self.known)) if encoded.indices.null_count else 0
        indices = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        codes: Codes = places[indices] if len(places) else np.zeros(len(indices), dtype=np.int32)
        if encoded.indices.null_count:
            codes = np.where(pc.is_null(encoded.indices).to_numpy(zero_copy_only=False), absent, codes)
        self._parts.append(codes.astype(np.int32))

    def codes(self) -> Codes:
        return np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=np.int32)
