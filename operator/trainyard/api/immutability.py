"""CEL rules that keep a field from changing, with messages that name it.

Separate because every kind has such fields, and a rule that forgets `has()` refuses every edit of an object that
does not set them.
"""

from __future__ import annotations


def fixed_after_creation(*fields: str) -> tuple[tuple[str, str], ...]:
    """Rules of a spec: these fields (camelCase) stay as they were created, absent ones absent."""
    return tuple(
        (
            _same("self", "oldSelf", field),
            f"spec.{field}: cannot change after creation; create another object instead",
        )
        for field in fields
    )


def fixed_once_begun(*fields: str, unless: str = "") -> tuple[tuple[str, str], ...]:
    """Rules of a whole object: these fields of its spec stay as they are from the first attempt on.

    `status.specHash` says that there was one. `unless` is a CEL condition under which they may change all the same.
    """
    begun = "has(oldSelf.status) && has(oldSelf.status.specHash)"
    free = f" || {unless}" if unless else ""
    return tuple(
        (
            f"!({begun}) || {_same('self.spec', 'oldSelf.spec', field)}{free}",
            f"spec.{field}: cannot change once an attempt exists; delete the job and create it anew",
        )
        for field in fields
    )


def _same(new: str, old: str, field: str) -> str:
    return f"(has({new}.{field}) == has({old}.{field}) && (!has({new}.{field}) || {new}.{field} == {old}.{field}))"
