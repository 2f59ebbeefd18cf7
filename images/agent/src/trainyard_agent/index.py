"""`checkpoints/index.json`: the checkpoints of one attempt that can be gone on from.

Separate because it is what makes a checkpoint count, and is read by later attempts. Written by rank 0's agent of the
attempt alone, whole; read by `claims`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trainyard_agent import layout
from trainyard_agent.stores import Store, dumped, read_json


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A promoted checkpoint; `sha256` is that of rank 0's manifest."""

    epoch: int
    step: int
    size: int
    sha256: str
    time: str


def read(store: Store, uid: str, attempt: int) -> dict[int, Entry]:
    """The promoted checkpoints of an attempt, by epoch."""
    said = read_json(store, layout.index(uid, attempt)) or {}
    entries = [
        Entry(
            epoch=int(one["epoch"]),
            step=int(one.get("step") or 0),
            size=int(one.get("size") or 0),
            sha256=str(one.get("sha256") or ""),
            time=str(one.get("time") or ""),
        )
        for one in said.get("checkpoints") or ()
    ]
    return {entry.epoch: entry for entry in entries}


def write(store: Store, uid: str, attempt: int, entries: Iterable[Entry]) -> None:
    """Puts a new list in place of the old one."""
    listed = [
        {
            "epoch": entry.epoch,
            "step": entry.step,
            "size": entry.size,
            "sha256": entry.sha256,
            "time": entry.time,
        }
        for entry in sorted(entries, key=lambda entry: entry.epoch)
    ]
    store.write(layout.index(uid, attempt), dumped({"attempt": attempt, "checkpoints": listed}))
