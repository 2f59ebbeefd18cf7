"""CEL rules that keep a field from changing, with messages that name it.

Separate because every kind has such fields, and a rule that forgets `has()` refuses every edit of an object that
does not set them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _is_there(root: str, field: str) -> str:
    names = field.split(".")
    return " && ".join(f"has({root}.{'.'.join(names[: n + 1])})" for n in range(len(names)))


def _says_something(root: str, field: str) -> str:
    return f"{_is_there(root, field)} && {root}.{field}.size() > 0"


def _in_order(new: str, old: str, field: str, key: str) -> str:
    # NB: CEL compares lists with keys as sets; what map() makes of them has an order.
    return " == ".join(f"{root}.{field}.map(e, e.{key})" for root in (new, old))


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
        equal = f"({equal} && {_in_order(new, old, field, ordered_by)})"
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


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A field of a spec (or a field of one) that stays from the first attempt on.

    An empty list or map is as good as an absent one. Where the order of a keyed list counts, `ordered_by` is its key.
    `unless` is a CEL condition under which the field may change all the same.
    """

    field: str
    list_or_map: bool = False
    ordered_by: str = ""
    unless: str = ""

    @property
    def rule(self) -> str:
        """CEL: whether the field may be as it is to be."""
        present = _says_something if self.list_or_map else _is_there
        free = f" || {self.unless}" if self.unless else ""
        return f"({same('self.spec', 'oldSelf.spec', self.field, present=present, ordered_by=self.ordered_by)}{free})"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One of the x-kubernetes-validations. `message_expression` is CEL, asked for when the rule is broken."""

    rule: str
    message: str
    message_expression: str = ""


def fixed_once_begun(*fixed: Fixed) -> Rule:
    """The rule of a whole object that keeps fields of its spec; `status.specHash` says that there was an attempt.

    NB: one rule for all of them, which first asks whether the spec has changed at all. The API server asks every rule
    again at each write of the status, and each step into a spec costs it microseconds: with a rule for each field, a
    status cost it more than twice as much (tests/bench).
    """
    # NB: to == a keyed list in another order is the same.
    in_order = [
        f"(!has(self.spec.{one.field}) || {_in_order('self.spec', 'oldSelf.spec', one.field, one.ordered_by)})"
        for one in fixed
        if one.ordered_by
    ]
    unchanged = " && ".join(["self.spec == oldSelf.spec", *in_order])
    checks = " && ".join(one.rule for one in fixed)
    # NB: as a chain of questions; API servers estimate the costs of a list of names, however short, as too high.
    first = " : ".join(f"!{one.rule} ? 'spec.{one.field}'" for one in fixed)
    why = "cannot change once an attempt exists; if nothing has run yet, pause the job first, else create another"
    return Rule(
        rule=f"!(has(oldSelf.status) && has(oldSelf.status.specHash)) || ({unchanged}) || ({checks})",
        message=f"spec: what, where and with what {why}",
        message_expression=f"({first} : 'spec') + ': {why}'",
    )
