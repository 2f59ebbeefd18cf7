"""Jobs that have stored something on a volume, as agents and trainers write it, and orders for jobs after them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainyard_agent import claims, index, layout
from trainyard_agent.claims import Claim, Resume
from trainyard_agent.order import Handed, Order, Place
from trainyard_agent.volume import Volume

PARENT, CHILD = "aaaaaaaa-0000", "cccccccc-0000"


@dataclass(frozen=True)
class Stored:
    """What one job keeps in a store."""

    store: Volume
    uid: str

    def attempt(self, number: int, *epochs: int, after: Resume | None = None, ranks: int = 1) -> None:
        """An attempt that has begun, and promoted these epochs; the content of each says whose it is."""
        claims.write(self.store, self.uid, Claim(attempt=number, resume=after))
        for epoch in epochs:
            for rank in range(ranks):
                data = f"{self.uid} {number} {epoch} {rank}".encode()
                close(self.folder(number, rank=rank), epoch, data, ranks=ranks)
        entries = [index.Entry(epoch=epoch, step=0, size=1, sha256="", time="") for epoch in epochs]
        if epochs:
            index.write(self.store, self.uid, number, entries)

    def folder(self, number: int, *, rank: int = 0) -> Path:
        return self.store.path(layout.checkpoints(self.uid, number, rank=rank))

    def damage(self, number: int, epoch: int, *, rank: int = 0) -> None:
        """Another content of the same size."""
        path = self.folder(number, rank=rank) / f"epoch-{epoch:06d}" / "state"
        path.write_bytes(b"x" * path.stat().st_size)


def close(folder: Path, epoch: int, data: bytes, *, ranks: int = 1) -> None:
    """A checkpoint as a trainer writes it."""
    final = folder / f"epoch-{epoch:06d}"
    final.mkdir(parents=True)
    (final / "state").write_bytes(data)
    entry = {"path": "state", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"epoch": epoch, "step": epoch, "worldSize": ranks, "files": [entry]}
    (final / "manifest.json").write_text(json.dumps(manifest))


def an_order(root: Path, *, attempt: int = 0, output: bool = True, handed: Handed | None = None) -> Order:
    """Of one pod of a job that works on its parent's checkpoint; its folders are in `root`."""
    folder = root / "store" / CHILD / f"attempt-{attempt}"
    work = root / f"work-{attempt}"
    return Order(
        namespace="team",
        job="child",
        uid=CHILD,
        origins=(),
        attempt=attempt,
        rank=0,
        ranks=1,
        output=Place(path=root / "store") if output else None,
        store="pvc://models",
        output_dir=folder,
        checkpoint_dir=folder / "checkpoints",
        resume_dir=work / "resume",
        parent=None,
        parent_dir=work / "parent",
        resumable=True,
        grace_seconds=30,
        upload_seconds=300,
        verdict=None,
        secrets=root / "secrets",
        termination_log=root / "message",
        handed=replace(handed, folder=work / "parent-checkpoint") if handed is not None else None,
    )


def a_choice(root: Path, **fields: Any) -> Handed:
    """The newest checkpoint of the parent, to go on from."""
    values: dict[str, Any] = {
        "job": "base",
        "uids": (PARENT,),
        "output": Place(path=root / "parents"),
        "store": "pvc://parents",
        "epoch": None,
        "continues": True,
        "folder": root,
    }
    return Handed(**(values | fields))


def found(folder: Path) -> dict[str, bytes]:
    """The states of the checkpoints in a folder, by the name of each."""
    return {path.parent.name: path.read_bytes() for path in folder.glob("epoch-*/state")}
