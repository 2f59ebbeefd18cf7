"""What one write of an Experiment's status means for the books: the runs of trials that have ended.

Separate because counting decides nothing: it compares a status with the one that took its place. Called by
`reconcile.accounting` after such a write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from trainyard.api.automl import Algorithm

Json = Mapping[str, Any]

#: How a run can end, in the words of the ledger.
STATES = ("success", "failure", "stopped", "canceled")
_ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


def algorithm(raw: Json) -> str | None:
    """What an Experiment searches by. NB: a label is of our words only, whoever wrote the object."""
    named = ((raw.get("spec") or {}).get("automl") or {}).get("algorithm")
    return named if named in _ALGORITHMS else None


def ended(raw: Json, status: Json) -> Counter[str]:
    """Runs by state whose end came into the ledger when `status` was written over that of `raw`.

    Of hyperband and asha a trial has a run on each rung that it reaches.
    """
    before, after = (raw.get("status") or {}).get("automl") or {}, status.get("automl") or {}
    ledger = after.get("ledger") or ()
    known = (
        {_run(entry) for entry in before.get("ledger") or () if entry.get("state") in STATES}
        if before.get("digest") == after.get("digest")
        else set()
    )
    return Counter(
        entry["state"] for entry in ledger if _run(entry) not in known and entry.get("state") in STATES
    )


def _run(entry: Json) -> tuple[int, int]:
    return entry["number"], entry.get("rung", 0)
