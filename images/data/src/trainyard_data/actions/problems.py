"""What can be wrong, sorted by what the operator should do about it.

Separate because the exit code follows from the class: `Refused` is 2 (the same input would fail again, so it is not
tried again), anything else is 1. Raised everywhere, turned into an exit code in `running`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Refused(Exception):
    """The parameters or the data are not usable. The message is a sentence that says what to change."""


class Stopped(Exception):
    """SIGTERM came. The message says how far it was; nothing half-done is kept."""


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the known name most like `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
