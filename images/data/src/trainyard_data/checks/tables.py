"""Tables: the columns agree, the rows are whole, the target is there, and each column holds one kind of values."""

from __future__ import annotations

from trainyard_data.checks.subject import TEST_SPLITS, Subject
from trainyard_data.columns import COUNTED_COLUMNS, Column
from trainyard_data.findings import TOO_LARGE, BadData
from trainyard_data.formats.tables import (
    SUFFIXES,
    Inexact,
    batches,
    exact_batches,
    is_csv,
    line_of_row,
    schema,
    table_files,
)
from trainyard_data.tree import SPLITS, split_of, stem

_USUAL_TARGETS = ("target", "label")
#: Values that are no numbers in a column of numbers: so few that they are mistakes and not a kind of their own.
_STRAY_SHARE = 0.01
_NUMBERS_AT_LEAST = 9
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz")


def check(subject: Subject) -> None:
    """Read every table of the dataset to its end."""
    # NB: tests last, which may lack the target.
    paths = sorted(table_files(subject.tree, subject.format), key=_is_test)
    if not paths:
        suffixes = SUFFIXES.get(subject.format) or (*SUFFIXES["csv"], *SUFFIXES["parquet"])
        packed = [entry.path for entry in subject.tree.with_suffix(*_PACKED)]
        hint = f" Unpack {packed[0]} first." if packed else ""
        subject.findings.add(".", None, f"There is no {' or '.join(suffixes)} file.{hint}")
        return
    total: dict[str, Column] = {}
    first = ""
    for path in paths:
        subject.checked.add(path)
        try:
            columns = _read(subject, path)
        except BadData as error:
            subject.findings.bad(error)
            continue
        except MemoryError:
            subject.findings.add(path, None, TOO_LARGE)
            continue
        rows = next(iter(columns.values())).rows
        subject.profile.rows = (subject.profile.rows or 0) + rows
        subject.profile.add_split(split_of_table(path), rows)
        if not rows:
            subject.findings.add(path, None, "The file has a header but no rows.")
        _find_strays(subject, path, columns)
        if not first:
            first, total = path, columns
            continue
        _compare(subject, path, columns, first, total)
        for name, column in columns.items():
            if name in total:
                total[name].merge(column)
    _conclude(subject, paths, total)


def split_of_table(path: str) -> str | None:
    """The part of the data that a table is: by its folder, or by its name, such as train.csv or train-0001.csv."""
    word = stem(path).lower().replace("_", "-").split("-")[0].rstrip("0123456789")
    return split_of(path) or (word if word in SPLITS else None)


def _is_test(path: str) -> bool:
    return (split_of_table(path) or "").lower() in TEST_SPLITS


def _read(subject: Subject, path: str) -> dict[str, Column]:
    try:
        return _columns(subject, path, exact=False)
    except Inexact:
        return _columns(subject, path, exact=True)


def _columns(subject: Subject, path: str, *, exact: bool) -> dict[str, Column]:
    names = schema(subject.tree, path).names
    target = _target(subject, names)
    columns = {
        name: Column(name, counts_distinct=place < COUNTED_COLUMNS, counts_classes=name == target)
        for place, name in enumerate(names)
    }
    reader = exact_batches(subject.tree, path, subject.findings) if exact else batches(subject.tree, path)
    for batch in reader:
        for column, values in zip(columns.values(), batch.columns, strict=True):
            column.add(values)
    return columns


def _target(subject: Subject, names: list[str]) -> str | None:
    """The column to predict: the one that is said, else as the reference trainer takes it."""
    if subject.target:
        return subject.target if subject.target in names else None
    return next((name for name in _USUAL_TARGETS if name in names), names[-1] if len(names) > 1 else None)


def _find_strays(subject: Subject, path: str, columns: dict[str, Column]) -> None:
    """A column that is all numbers but for a value or two is a mistake in the data."""
    for column in columns.values():
        stray = column.values - column.numbers
        if column.first_text is None or column.numbers < _NUMBERS_AT_LEAST:
            continue
        if stray <= max(1, int(column.values * _STRAY_SHARE)):
            row, text = column.first_text
            line = _line(subject, path, row)
            where = "" if line else f" in row {row + 1}"
            subject.findings.add(
                path,
                line,
                f'Column "{column.name}" holds numbers, but {text!r}{where} is none'
                + (f" ({stray} of {column.values:,} values are none)." if stray > 1 else "."),
            )


def _line(subject: Subject, path: str, row: int) -> int | None:
    """The line of a row. NB: of the first finding only, as it takes another reading of the file."""
    return line_of_row(subject.tree, path, row) if is_csv(path) and not len(subject.findings) else None


def _compare(
    subject: Subject, path: str, columns: dict[str, Column], first: str, expected: dict[str, Column]
) -> None:
    """Whether a file has the columns of the first one, with values of the same kind."""
    target = _target(subject, list(expected))
    for name in expected:
        if name not in columns and not (_is_test(path) and name == target):
            subject.findings.add(path, 1, f'The column "{name}" is missing, which {first} has.')
            return
    for name, column in columns.items():
        if name not in expected:
            subject.findings.add(path, 1, f'There is a column "{name}", which {first} does not have.')
            return
        before = expected[name]
        if not before.values or not column.values or (before.type == "number") == (column.type == "number"):
            continue
        line = None if column.first_text is None else _line(subject, path, column.first_text[0])
        subject.findings.add(
            path,
            line,
            f'Column "{name}" holds {_plural(column.type)} here, but {_plural(before.type)} in {first}.',
        )


def _conclude(subject: Subject, paths: list[str], total: dict[str, Column]) -> None:
    if not total:
        return
    profile = subject.profile
    profile.columns = len(total)
    profile.column_profiles = list(total.values())[:COUNTED_COLUMNS]
    target = _target(subject, list(total))
    if subject.target and target is None:
        names = ", ".join(f'"{name}"' for name in list(total)[:8]) + (", ..." if len(total) > 8 else "")
        subject.findings.add(
            paths[0], 1, f'There is no column "{subject.target}", the target. There are {names}.'
        )
    if target is None:
        return
    column = total[target]
    profile.target = target
    for name, count in (column.class_counts() or {}).items():
        profile.add_class(name, count)
    if column.rows and not column.values:
        subject.findings.add(paths[0], None, f'The target "{target}" is empty in every row.')
    elif column.missing:
        subject.note(f'{column.missing} of {column.rows} rows have no value of the target "{target}".')
    if subject.target and column.values > 1 and column.distinct is not None and len(column.distinct) == 1:
        subject.note(f'Every row has the same value of the target "{target}".')


def _plural(kind: str) -> str:
    return {"number": "numbers", "time": "times", "boolean": "booleans"}.get(kind, kind)
