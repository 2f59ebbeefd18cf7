"""What can be wrong, sorted by what the operator should do about it.

Separate because the exit code follows from the class: `Refused` is 2 (the same order would fail again), anything else
is 1. Raised everywhere, turned into an exit code in `running`.
"""

from __future__ import annotations


class Refused(Exception):
    """The order, the version or the target cannot be used. The message is a sentence that says what to change."""


class Failed(Exception):
    """The target does not do what it should, and may do so later. The message is a sentence."""


class Stopped(Exception):
    """SIGTERM came. The message says how far it was; the next attempt goes on from there."""
