"""CEL rules that keep a field from changing, with messages that name it.

Separate because every kind has such fields, and a rule that forgets `has()` refuses every edit of an object that
does not set them.
"""

from __future__ import annotations

from collections.abc import Callable


def _is_there(root: str, field: str) -> str:
    names = field.split(".")
    return " && ".join(f"has({root}.{'.'.join(names[: n + 1])})" for n in range(len(names)))


def _says_something(root: str, field: str) -> str:
    return f"{_is_there(root, field)} && {root}.{field}.size() > 0"


def same(
    new: str,
    old: str,
    field: str,
    *,
    present: Callable[[str, str], str] = _is_there,
    ordered_by: str = "",
) -> str:
    """CEL: whether two objects have the same in a field, or both nothing."""
    now, before = present(new, field), present(old, field)
    equal = f"{new}.{field} == {old}.{field}"
    if ordered_by:
        # NB: CEL compares lists with keys as sets; what map() makes of them has an order.
        in_order = [f"{root}.{field}.map(e, e.{ordered_by})" for root in (new, old)]
        equal = f"({equal} && {' == '.join(in_order)})"
    return f"(({now}) == ({before}) && (!({now}) || {equal}))"


def fixed_after_creation(*fields: str) -> tuple[tuple[str, str], ...]:
    """Rules of a spec: these fields (camelCase) stay as they were created, absent ones absent."""
    return tuple(
        (
            same("self", "oldSelf", field),
            f"spec.{field}: cannot change after creation; create another object instead",
        )
        for field in fields
    )


def fixed_once_set(*fields: str, kind: str, unless: str = "") -> tuple[tuple[str, str], ...]:
    """Rules of a spec: these fields may be set at any time, and then stay.

    `unless` is a CEL condition under which they may change all the same; it is only asked where the field is there
    before and after.
    """
    free = f" || {unless}" if unless else ""
    return tuple(
        (
            f"!has(oldSelf.{field}) || (has(self.{field}) && (self.{field} == oldSelf.{field}{free}))",
            f"spec.{field}: cannot change once it is set; make another {kind}",
        )
        for field in fields
    )


def fixed_once_begun(
    *fields: str, lists_or_maps: bool = False, ordered_by: str = "", unless: str = ""
) -> tuple[tuple[str, str], ...]:
    """Rules of a whole object: these fields of its spec (or fields of those) stay from the first attempt on.

    `status.specHash` says that there was one. An empty list or map is as good as an absent one. Where the order of a
    keyed list counts, `ordered_by` is its key. `unless` is a CEL condition under which they may change all the same.
    """
    begun = "has(oldSelf.status) && has(oldSelf.status.specHash)"
    present = _says_something if lists_or_maps else _is_there
    free = f" || {unless}" if unless else ""
    return tuple(
        (
            f"!({begun}) || {same('self.spec', 'oldSelf.spec', field, present=present, ordered_by=ordered_by)}{free}",
            f"spec.{field}: cannot change once an attempt exists; if nothing has run yet, pause the job first, else "
            "create another",
        )
        for field in fields
    )
