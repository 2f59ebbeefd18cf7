"""What a check works on and adds to.

Separate from the checks because each of them takes it, and the action `validate` makes one of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainyard_data.findings import Findings
from trainyard_data.profile import Profile
from trainyard_data.tree import Tree

TEST_SPLITS = frozenset({"test", "testing"})


@dataclass(frozen=True)
class Subject:
    """A dataset: its files, what it is said to be, and where the findings, the profile and notes go.

    A note is for the log: something to know that is not wrong. `checked` has the number of files looked at.
    """

    tree: Tree
    type: str
    format: str
    target: str = ""
    findings: Findings = field(default_factory=Findings)
    profile: Profile = field(default_factory=Profile)
    note: Callable[[str], None] = print
    checked: set[str] = field(default_factory=set)


Check = Callable[[Subject], Any]
