"""What the columns of a table hold, found out batch by batch with bounded memory.

Separate because the check draws the profile from it and an analysis its report. Text of CSV files is recognised as
numbers, times or booleans; columns of Parquet files are what they are stored as.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Texts that stand for no value, as pandas reads them.
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "Null", "null", "None", "<NA>", "#N/A")
#: Different values that are counted of one column; beyond, it is only known that there are more.
MOST_DISTINCT = 5_000
#: Columns whose different values are counted.
COUNTED_COLUMNS = 128
#: Different whole numbers that are taken for classes at most, as the reference trainer does.
MOST_CLASSES_OF_NUMBERS = 20
_LONG_TEXT = 64
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
_TIME = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_BOOLEAN = ("true", "false", "True", "False", "TRUE", "FALSE")
_MISSING_SET = pa.array(MISSING)
_BOOLEAN_SET = pa.array(_BOOLEAN)


@dataclass(slots=True)
class Column:
    """One column: how many of its values are numbers, times, booleans or other text, and which are the extremes.

    `first_text` is the first value that is no number: its row (from 0) and what it is.
    """

    name: str
    counts_distinct: bool = True
    counts_classes: bool = False
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    times: int = 0
    booleans: int = 0
    texts: int = 0
    others: str | None = None
    first_text: tuple[int, str] | None = None
    least: float = math.inf
    most: float = -math.inf
    earliest: str | None = None
    latest: str | None = None
    distinct: set[Any] | None = field(default_factory=set)
    classes: Counter[str] | None = field(default_factory=Counter)

    @property
    def values(self) -> int:
        return self.rows - self.missing

    @property
    def type(self) -> str:
        """number, time, boolean or text; of a Parquet column also list, struct, binary and the like."""
        if self.others:
            return self.others
        for name, count in (("number", self.numbers), ("time", self.times), ("boolean", self.booleans)):
            if count and count == self.values:
                return name
        return "text"

    def add(self, values: Any) -> None:
        """The values of the next rows: an Arrow array."""
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if isinstance(values.type, pa.DictionaryType):
            values = values.dictionary_decode()
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            self._add_text(values)
        else:
            self._add_typed(values)
        self.rows += len(values)

    def merge(self, other: Column) -> None:
        """The same column of another file."""
        self.rows += other.rows
        for name in ("missing", "numbers", "times", "booleans", "texts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.others = self.others or other.others
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        earliest = [text for text in (self.earliest, other.earliest) if text is not None]
        latest = [text for text in (self.latest, other.latest) if text is not None]
        self.earliest, self.latest = min(earliest, default=None), max(latest, default=None)
        if self.distinct is None or other.distinct is None:
            self.distinct = None
        else:
            self.distinct |= other.distinct
            self._bound_distinct()
        if self.classes is None or other.classes is None:
            self.classes = None
        else:
            self.classes.update(other.classes)
            self._bound_classes()

    def extremes(self) -> tuple[str | None, str | None]:
        """The smallest and the largest value as decimal strings or times; None for text."""
        if self.type == "number" and self.least <= self.most:
            return decimal(self.least), decimal(self.most)
        if self.type == "time":
            return self.earliest, self.latest
        return None, None

    def class_counts(self) -> Counter[str] | None:
        """How often each class occurs; None where the values are a quantity, or too many to be classes."""
        if self.classes is None or not self.counts_classes or self.others:
            return None
        if self.type == "number":
            whole = all(float(name).is_integer() for name in self.classes)
            if not whole or len(self.classes) > MOST_CLASSES_OF_NUMBERS:
                return None
        elif self.type == "time":
            return None
        return self.classes

    def _add_text(self, values: Any) -> None:
        trimmed = pc.utf8_trim_whitespace(values)
        absent = pc.fill_null(pc.is_in(trimmed, value_set=_MISSING_SET), False)
        if values.null_count:
            absent = pc.or_(absent, pc.is_null(trimmed))
        missing = pc.sum(absent).as_py() or 0
        self.missing += missing
        present = trimmed.filter(pc.invert(absent)) if missing else trimmed
        if not len(present):
            return
        numbers = _numbers_of(present)
        if numbers is not None:
            self._add_numbers(numbers)
            self._count(numbers)
            return
        is_number = pc.match_substring_regex(present, _NUMBER)
        found = pc.sum(is_number).as_py() or 0
        self.numbers += found
        if found:
            self._extend(_numbers_of(present.filter(is_number)))
        if self.first_text is None:
            place = pc.index(is_number, False).as_py()
            row = int(np.flatnonzero(~_as_numpy(absent))[place])
            self.first_text = (self.rows + row, present[place].as_py()[:_LONG_TEXT])
        rest = present.filter(pc.invert(is_number))
        is_boolean = pc.is_in(rest, value_set=_BOOLEAN_SET)
        is_time = pc.match_substring_regex(rest, _TIME)
        booleans, times = pc.sum(is_boolean).as_py() or 0, pc.sum(is_time).as_py() or 0
        self.booleans += booleans
        self.times += times
        self.texts += len(rest) - booleans - times
        if times:
            self._add_times(rest.filter(is_time))
        self._count(present)

    def _add_typed(self, values: Any) -> None:
        kind = values.type
        missing = values.null_count
        if pa.types.is_floating(kind):
            missing += pc.sum(pc.is_nan(values)).as_py() or 0
        self.missing += missing
        present = values.drop_null() if values.null_count else values
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            numbers = pc.cast(present, pa.float64(), safe=False)
            if missing != values.null_count:
                numbers = numbers.filter(pc.invert(pc.is_nan(numbers)))
            self._add_numbers(numbers)
            self._count(numbers)
        elif pa.types.is_boolean(kind):
            self.booleans += len(present)
            self._count(pc.cast(present, pa.string()))
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
            self.times += len(present)
            texts = pc.cast(present, pa.string())
            self._add_times(texts)
            self._count(texts)
        elif pa.types.is_null(kind):
            return
        else:
            self.others = _kind_of(kind)
            self.distinct = self.classes = None

    def _add_numbers(self, numbers: Any) -> None:
        self.numbers += len(numbers)
        self._extend(numbers)

    def _extend(self, numbers: Any) -> None:
        if numbers is None or not len(numbers):
            return
        found = pc.min_max(numbers).as_py()
        self.least, self.most = min(self.least, found["min"]), max(self.most, found["max"])

    def _add_times(self, texts: Any) -> None:
        found = pc.min_max(texts).as_py()
        self.earliest = min(filter(None, (self.earliest, found["min"])))
        self.latest = max(filter(None, (self.latest, found["max"])))

    def _count(self, values: Any) -> None:
        if self.distinct is not None and self.counts_distinct:
            unique = pc.unique(values)
            if len(unique) > MOST_DISTINCT:
                self.distinct = None
            else:
                self.distinct.update(short(value) for value in unique.to_pylist())
                self._bound_distinct()
        if self.classes is not None and self.counts_classes:
            counts = pc.value_counts(values)
            if len(counts) > MOST_DISTINCT:
                self.classes = None
            else:
                for one in counts.to_pylist():
                    value = one["values"]
                    name = decimal(value) if isinstance(value, float) else str(short(value))
                    self.classes[name] += one["counts"]
                self._bound_classes()

    def _bound_distinct(self) -> None:
        if self.distinct is not None and len(self.distinct) > MOST_DISTINCT:
            self.distinct = None

    def _bound_classes(self) -> None:
        if self.classes is not None and len(self.classes) > MOST_DISTINCT:
            self.classes = None


def decimal(value: float) -> str:
    """A number as one writes it: whole ones without a point."""
    if math.isfinite(value) and float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.9g}"


def short(value: Any) -> Any:
    """A value that takes little memory and is the same only for the same value."""
    if isinstance(value, str) and len(value) > _LONG_TEXT:
        digest = hashlib.blake2b(value.encode(), digest_size=8).hexdigest()
        return f"{value[: _LONG_TEXT - 20]}… {digest}"
    return value


def _numbers_of(values: Any) -> Any:
    """The texts as numbers, or None where one of them is none."""
    try:
        return pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        pass
    try:
        return pc.cast(pc.utf8_ltrim(values, characters="+"), pa.float64())
    except pa.ArrowInvalid:
        return None


def _as_numpy(values: Any) -> Any:
    return values.to_numpy(zero_copy_only=False)


def _kind_of(kind: Any) -> str:
    for name, test in (
        ("list", pa.types.is_nested),
        ("binary", pa.types.is_binary),
        ("binary", pa.types.is_large_binary),
        ("binary", pa.types.is_fixed_size_binary),
    ):
        if test(kind):
            return "struct" if pa.types.is_struct(kind) else name
    return str(kind)[:_LONG_TEXT]
