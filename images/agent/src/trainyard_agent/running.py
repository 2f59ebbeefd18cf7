"""`trainyard-agent run`: beside the trainer until it ends, and then until everything is safe.

Separate because it alone decides what happens when: the work is done in one thread, while the main one watches the
clock and has the last word in any case. Called by `__main__`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainyard_agent import layout, messages, results, troubles
from trainyard_agent.bucket import Bucket
from trainyard_agent.endings import Ending
from trainyard_agent.following import Following
from trainyard_agent.journal import Journal
from trainyard_agent.log import amount, say
from trainyard_agent.order import Order
from trainyard_agent.results import Artifacts, Outcome
from trainyard_agent.sending import Sender
from trainyard_agent.stores import Store
from trainyard_agent.troubles import Trouble

POLL_SECONDS = 1.0
#: How long the newest checkpoint is kept waiting for other ranks' parts after the last of them that came.
_OTHERS_SECONDS = 60.0


@dataclass
class Run:
    """What became of the attempt; filled by the worker, told by the main thread."""

    order: Order
    store: Store
    sender: Sender | None
    following: Following
    ending: Ending
    left: Callable[[], float]
    artifacts: Artifacts | None = None
    outcome: Outcome = "unconfirmed"
    trouble: Trouble | None = None
    _tidied: bool = False
    _said: str = ""

    def work(self) -> None:
        """The worker: all of it, until everything is safe or cannot be."""
        while not self.ending.came.is_set():
            if not self._follow():
                self.ending.came.wait(POLL_SECONDS * 10)
            self.ending.came.wait(POLL_SECONDS)
        say(
            f"The trainer has ended; there are {max(0.0, self.left()):.0f} s to bring its results to {self.store.name}."
        )
        try:
            self._finish()
        except Exception as error:
            self.trouble = troubles.of(error, place=self.store.name)

    def _follow(self) -> bool:
        """NB: nothing that goes wrong with a checkpoint may end the agent: it is tried again, and said once."""
        try:
            if not self._tidied:
                self._tidied = True
                self._tidy()
            self.following.look()
        except Exception as error:
            trouble = troubles.of(error, place=self.store.name)
            if str(trouble) != self._said:
                self._said = str(trouble)
                say(self._said)
            return False
        return True

    def _tidy(self) -> None:
        if self.sender is None:
            return
        try:
            self.sender.tidy()
        except Trouble as error:
            say(f"What an earlier agent left unfinished stays: {error}")

    def _finish(self) -> None:
        self._follow()
        results.keep_whole_checkpoints(self.order, self.store, self.sender)
        self.artifacts = results.keep_artifacts(self.order, self.store, self.sender)
        if self.order.rank == 0:
            self.outcome = results.conclude(
                self.order, self.store, self.artifacts, left=self.left, meanwhile=self._follow
            )
            if self.outcome != "written":
                self._wait_for_others()

    def _wait_for_others(self) -> None:
        """The last checkpoint of all ranks is worth waiting for, as long as their parts keep coming."""
        came, since = -1, time.monotonic()
        while self.following.waits_for_others and self.left() > 0:
            self._follow()
            if (now := self.following.parts_of_others()) != came:
                came, since = now, time.monotonic()
            if time.monotonic() - since > _OTHERS_SECONDS:
                say("The other ranks' parts of the last checkpoint do not come: it does not count.")
                return
            time.sleep(max(0.0, min(POLL_SECONDS, self.left())))

    def told(self, error: str = "") -> bytes:
        """The last word."""
        order, kept, newest = self.order, self.artifacts, self.following.newest
        told: dict[str, Any] = {
            "uploaded": kept is not None,
            "error": error,
            "attempt": order.attempt,
            "uri": f"{order.store}/{layout.attempt(order.uid, order.attempt, rank=order.rank)}",
            "files": len(kept.files) if kept else 0,
            "size": kept.size if kept else 0,
            "sha256": kept.sha256 if kept else "",
            "checkpoint": {
                "epoch": newest.epoch,
                "step": newest.step,
                "uri": f"{order.store}/{layout.epoch(order.uid, order.attempt, newest.epoch)}",
                "time": newest.time,
            }
            if newest
            else None,
            "result": self.outcome,
        }
        return messages.outcome(told, kept.listed() if kept else [])

    def why_not(self) -> str:
        """Why the artifacts are not safe."""
        lacking = _lacking(self.sender)
        if self.trouble is not None:
            return f"{self.trouble} {lacking}"
        late = f"The {self.order.upload_seconds:.0f} s of spec.uploadSeconds were not enough"
        present = self.sender.bucket.trouble if self.sender is not None else None
        if present is not None:
            return f"{late}. {present} {lacking}"
        return f"{late}: raise it, or see why {self.store.name} is slow. {lacking}"


def _lacking(sender: Sender | None) -> str:
    """What is not in the bucket."""
    if sender is None or not sender.counter.what:
        return "Nothing of the artifacts is safe."
    now = sender.counter
    return (
        f"Of {now.what}, {now.files - now.files_done} of {now.files} files"
        f" ({amount(now.bytes - now.bytes_done)} of {amount(now.bytes)}) are not in {sender.bucket.name}."
    )


def run(order: Order, *, store: Store | None, ending: Ending, left: Callable[[], float]) -> int:
    """Returns after SIGTERM, and never before: 0 if everything is safe."""
    os.nice(10)
    if store is None:
        ending.came.wait()
        return 0
    sender = None
    if isinstance(store, Bucket):
        prefix = layout.attempt(order.uid, order.attempt, rank=order.rank)
        sender = Sender(store, prefix=prefix, journal=Journal(order.work / ".agent" / "sent"))
    following = Following(order=order, store=store, sender=sender)
    run = Run(order=order, store=store, sender=sender, following=following, ending=ending, left=left)
    worker = threading.Thread(target=run.work, name="worker", daemon=True)
    worker.start()
    say(f"Checkpoints in {order.checkpoint_dir} go to {store.name} as they are closed.")
    ending.came.wait()
    # NB: so that the operator has a sentence, should we be killed before the last word.
    messages.write(order.termination_log, run.told("The agent was killed before the artifacts were safe."))
    while worker.is_alive() and left() > 0:
        worker.join(min(0.5, max(0.01, left())))
    safe = run.artifacts is not None
    why = "" if safe else run.why_not()
    messages.write(order.termination_log, run.told(why))
    if why:
        say(why)
    return 0 if safe else 1
