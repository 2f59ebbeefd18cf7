"""Bringing each checkpoint to the store as it is closed, and promoting it when all ranks' parts are there.

Separate because it goes on all through the training, and must cost nothing while nothing happens. Called by `running`
once a second.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from trainyard_agent import checkpoints, claims, index, layout
from trainyard_agent.checkpoints import Broken, Manifest
from trainyard_agent.index import Entry
from trainyard_agent.log import amount, say
from trainyard_agent.order import Order
from trainyard_agent.reading import Gone, unreadable
from trainyard_agent.sending import Sender
from trainyard_agent.stores import Store
from trainyard_agent.troubles import Trouble

#: Between two looks at other ranks' parts.
_LOOK_SECONDS = 3.0
#: After the store has refused to remove anything.
_NO_REMOVAL_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """This rank's part of a checkpoint, which is in the store."""

    manifest: Manifest
    sha256: str
    time: str


@dataclass
class Following:
    """The checkpoints of this rank of this attempt. `sender` is None where they are written to the store itself."""

    order: Order
    store: Store
    sender: Sender | None
    parts: dict[int, Part] = field(default_factory=dict)
    promoted: dict[int, Entry] | None = None
    _broken: dict[int, int] = field(default_factory=dict)
    _looked_at: float = 0.0
    _removes_at: float = 0.0
    _superseded: bool = False

    def look(self) -> None:
        """Brings what is new, promotes what is whole, takes away what the trainer has removed."""
        closed = checkpoints.closed(self.order.checkpoint_dir)
        for epoch in sorted(closed, reverse=True):
            if epoch not in self.parts and not self._is_known_broken(epoch, closed[epoch]):
                self._bring(epoch, closed[epoch])
        if self.order.rank == 0:
            self._promote(closed)
        self._remove(closed)

    @property
    def newest(self) -> Entry | None:
        """The newest checkpoint that can be gone on from; rank 0 alone knows."""
        return self.promoted[max(self.promoted)] if self.promoted else None

    @property
    def waits_for_others(self) -> bool:
        """Whether another rank's part of a newer checkpoint than the newest is still to come."""
        newest = self.newest.epoch if self.newest else -1
        return self.order.rank == 0 and not self._superseded and any(epoch > newest for epoch in self.parts)

    def parts_of_others(self) -> int:
        """How many files of other ranks' parts of the checkpoints that are waited for are in the store."""
        newest = self.newest.epoch if self.newest else -1
        return sum(
            len(self.store.sizes(self._folder(epoch, rank=rank)))
            for epoch, part in self.parts.items()
            if epoch > newest
            for rank in range(1, part.manifest.world)
        )

    def _folder(self, epoch: int, *, rank: int | None = None) -> str:
        rank = self.order.rank if rank is None else rank
        return layout.epoch(self.order.uid, self.order.attempt, epoch, rank=rank)

    def _is_known_broken(self, epoch: int, folder: Path) -> bool:
        known = self._broken.get(epoch)
        if known is None:
            return False
        try:
            return (folder / layout.MANIFEST).stat().st_mtime_ns == known
        except OSError:
            return True

    def _bring(self, epoch: int, folder: Path) -> None:
        try:
            written = (folder / layout.MANIFEST).stat()
            data = (folder / layout.MANIFEST).read_bytes()
        except FileNotFoundError:
            return
        except PermissionError as error:
            raise unreadable(folder / layout.MANIFEST) from error
        try:
            manifest = checkpoints.read_manifest(data)
            if manifest.epoch != epoch:
                raise Broken(f"its {layout.MANIFEST} is of epoch {manifest.epoch}")
            if self.sender is None:
                checkpoints.verify(folder, manifest)
            else:
                self._send(self.sender, epoch, folder, manifest, data)
        except Gone:
            return
        except (Broken, Trouble) as error:
            if isinstance(error, Trouble) and error.kind != "unreadable":
                raise
            if (folder / layout.MANIFEST).exists():
                say(f"The checkpoint {folder} is left out: {error}.")
                self._broken[epoch] = written.st_mtime_ns
            return
        self.parts[epoch] = Part(
            manifest=manifest,
            sha256=hashlib.sha256(data).hexdigest(),
            time=datetime.fromtimestamp(written.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _send(self, sender: Sender, epoch: int, folder: Path, manifest: Manifest, data: bytes) -> None:
        began = time.monotonic()
        files = checkpoints.local_files(folder, manifest)
        sent = sender.send(files, to=self._folder(epoch), what=f"the checkpoint of epoch {epoch}")
        checkpoints.compare(manifest, {file.name: file.sha256 for file in sent})
        # NB: last: who finds it finds everything that it names.
        self.store.write(f"{self._folder(epoch)}/{layout.MANIFEST}", data)
        took = time.monotonic() - began
        say(
            f"The checkpoint of epoch {epoch}, {amount(manifest.size)}, is in {self.store.name} after {took:.1f} s."
        )

    def _promote(self, closed: Iterable[int]) -> None:
        promoted = self._listed()
        now = time.monotonic()
        looks = now - self._looked_at >= _LOOK_SECONDS
        added = {
            epoch: Entry(
                epoch=epoch,
                step=part.manifest.step,
                size=part.manifest.size,
                sha256=part.sha256,
                time=part.time,
            )
            for epoch, part in self.parts.items()
            if epoch not in promoted
            and (part.manifest.world == 1 or (looks and self._others_are_there(part)))
        }
        self._looked_at = now if looks else self._looked_at
        dropped = self._dropped({**promoted, **added}, set(closed))
        if not (added or dropped) or self._is_superseded():
            return
        listed = {epoch: entry for epoch, entry in {**promoted, **added}.items() if epoch not in dropped}
        # NB: first in the store: what could not be written there is not promoted, and is tried again.
        index.write(self.store, self.order.uid, self.order.attempt, listed.values())
        self.promoted = listed
        for epoch in sorted(added):
            say(f"Epoch {epoch} can be gone on from.")

    def _listed(self) -> dict[int, Entry]:
        """The index, which an earlier agent of this pod may have written."""
        if self.promoted is None:
            self.promoted = index.read(self.store, self.order.uid, self.order.attempt)
        return self.promoted

    def _dropped(self, listed: dict[int, Entry], closed: set[int]) -> set[int]:
        """What the trainer has removed. NB: in a bucket the newest one stays, whatever the trainer does."""
        gone = set(listed) - closed
        if self.sender is not None and listed:
            gone.discard(max(listed))
        return gone

    def _others_are_there(self, part: Part) -> bool:
        return all(
            self.store.read(f"{self._folder(part.manifest.epoch, rank=rank)}/{layout.MANIFEST}") is not None
            for rank in range(1, part.manifest.world)
        )

    def _is_superseded(self) -> bool:
        if not self._superseded:
            later = claims.later_attempt(self.store, self.order.uid, self.order.attempt)
            if later is not None:
                self._superseded = True
                say(
                    f"Attempt {later} of this job has begun: nothing of attempt {self.order.attempt} counts any more."
                )
        return self._superseded

    def _remove(self, closed: Iterable[int]) -> None:
        """Takes what the trainer has removed from the bucket, when it is in no index any more."""
        if self.sender is None:
            return
        gone = set(self.parts) - set(closed)
        if not gone or time.monotonic() < self._removes_at:
            return
        listed = (
            self._listed()
            if self.order.rank == 0
            else index.read(self.store, self.order.uid, self.order.attempt)
        )
        old = {epoch for epoch in gone if epoch not in listed and epoch < max(listed, default=-1)}
        # NB: the claims are read after the index was written; see `claims`.
        if not old or self._is_superseded():
            return
        for epoch in sorted(old):
            folder = self._folder(epoch)
            names = sorted(self.store.sizes(folder), key=lambda name: name != layout.MANIFEST)
            try:
                self.sender.remove([f"{folder}/{name}" for name in names])
            except Trouble as error:
                # NB: what cannot be removed must not hold up what is to be sent.
                say(f"What the trainer has removed stays, and is tried again after an hour: {error}")
                self._removes_at = time.monotonic() + _NO_REMOVAL_SECONDS
                return
            del self.parts[epoch]
