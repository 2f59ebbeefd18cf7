"""Which type each column of a csv file has: one that every one of its values is, exactly.

Separate because a file is read twice: first to find the types, then to write it in them. Text that looks like a number
but would not come back as it is (007, +1, a number of 20 digits) stays text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from trainyard_data.columns import MISSING

_MISSING = pa.array(MISSING)
_WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$"
_BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"
#: In the order in which they are tried; what fits none is text.
_CANDIDATES: tuple[tuple[pa.DataType, str], ...] = (
    (pa.bool_(), _BOOLEAN),
    (pa.int64(), _WHOLE),
    (pa.float64(), _NUMBER),
    (pa.date32(), _DATE),
    (pa.timestamp("us"), _TIME),
)
#: More digits than this do not come back from a float64.
_EXACT = r"[0-9]"
_MOST_DIGITS = 17


@dataclass(slots=True)
class ColumnTypes:
    """What each column can still be, by its name."""

    names: list[str]
    _left: dict[str, list[int]] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch) -> None:
        """The next rows, all of them text."""
        for name in self.names:
            left = self._left.setdefault(name, list(range(len(_CANDIDATES))))
            if not left:
                continue
            present = _present(batch.column(name))
            self._values[name] = self._values.get(name, 0) + len(present)
            if len(present):
                self._left[name] = [place for place in left if _all_are(present, place)]

    def type_of(self, name: str) -> pa.DataType:
        """The type of a column; one without any value is text."""
        left = self._left.get(name)
        return _CANDIDATES[left[0]][0] if left and self._values.get(name) else pa.string()


def typed(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Text in its type; what is missing becomes null."""
    if pa.types.is_string(wanted):
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    trimmed = pc.utf8_trim_whitespace(column)
    present = pc.if_else(pc.is_in(trimmed, value_set=_MISSING), pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_boolean(wanted):
        present = pc.utf8_lower(present)
    elif pa.types.is_timestamp(wanted):
        present = pc.replace_substring(present, pattern=" ", replacement="T", max_replacements=1)
    return pc.cast(present, wanted)


def _present(column: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(column)
    return trimmed.filter(pc.invert(pc.is_in(trimmed, value_set=_MISSING)))


def _all_are(present: pa.Array, place: int) -> bool:
    wanted, pattern = _CANDIDATES[place]
    if not pc.all(pc.match_substring_regex(present, pattern)).as_py():
        return False
    if pa.types.is_floating(wanted):
        digits = pc.count_substring_regex(present, _EXACT)
        if pc.max(digits).as_py() > _MOST_DIGITS:
            return False
    try:
        typed(present, wanted)
    except pa.ArrowInvalid:
        return False
    return True
