"""The end of an attempt: its artifacts with their list, and the job's result.

Separate because this is what makes a job Done: the list is written when everything in it is safe, and the result when
the operator has confirmed it. Called by `running`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from trainyard_agent import claims, layout, trees
from trainyard_agent.log import amount, say
from trainyard_agent.order import Order, Verdict
from trainyard_agent.reading import Changed, make_safe, sha256_of
from trainyard_agent.sending import FILES, Sender, Sent
from trainyard_agent.stores import Store, dumped, read_json
from trainyard_agent.trees import Local
from trainyard_agent.troubles import Trouble

Outcome = Literal["written", "unconfirmed", "incomplete", "superseded"]

_ASK_SECONDS = 10.0
_SLOWEST_POLL = 2.0
#: A server that has not answered once in so long is taken to be down.
_SILENT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """What is safe: `sha256` is that of the list."""

    files: tuple[Sent, ...]
    sha256: str

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def listed(self) -> list[dict[str, Any]]:
        return [{"path": file.name, "size": file.size, "sha256": file.sha256} for file in self.files]


def artifact_files(order: Order) -> list[Local]:
    """The files in the output folder of this rank, without checkpoints, other ranks' folders and the list itself."""

    def leave_out(name: str) -> bool:
        top = name.partition("/")[0]
        # NB: only of ranks that there are: a trainer may name its own folders so.
        others = order.rank == 0 and (layout.rank(top) or order.ranks) < order.ranks
        return top == layout.CHECKPOINTS or name == layout.ARTIFACTS or others

    return trees.files(order.output_dir, leave_out=leave_out)


def keep_artifacts(order: Order, store: Store, sender: Sender | None) -> Artifacts:
    """Brings the artifacts to the store, or hashes those that lie there already; writes the list last."""
    files = artifact_files(order)
    folder = layout.attempt(order.uid, order.attempt, rank=order.rank)
    size = sum(file.size for file in files)
    say(f"{'Sending' if sender else 'Reading'} {len(files)} artifacts, {amount(size)} ...")
    began = time.monotonic()
    sent = sender.send(files, to=folder, what="the artifacts") if sender else _hashed(files)
    return _listed(order, store, f"{folder}/{layout.ARTIFACTS}", sent, began=began)


def keep_whole_checkpoints(order: Order, store: Store, sender: Sender | None) -> None:
    """Sends what a trainer without manifests has left in its checkpoint folder; its list is written last."""
    files = trees.files(order.checkpoint_dir, leave_out=lambda name: name in (layout.INDEX, layout.WHOLE))
    if sender is None or not files or any(layout.EPOCH.match(file.name) for file in files):
        return
    folder = layout.checkpoints(order.uid, order.attempt, rank=order.rank)
    say(f"Sending {len(files)} files of checkpoints without manifests ...")
    began = time.monotonic()
    sent = sender.send(files, to=folder, what="the checkpoints")
    _listed(order, store, f"{folder}/{layout.WHOLE}", sent, began=began)


def _listed(order: Order, store: Store, path: str, sent: list[Sent], *, began: float) -> Artifacts:
    kept = Artifacts(files=tuple(sorted(sent, key=lambda file: file.name)), sha256="")
    data = dumped({"attempt": order.attempt, "rank": order.rank, "files": kept.listed()})
    store.write(path, data)
    say(f"{len(sent)} files, {amount(kept.size)}, are safe after {time.monotonic() - began:.1f} s.")
    return Artifacts(files=kept.files, sha256=hashlib.sha256(data).hexdigest())


def _hashed(files: list[Local]) -> list[Sent]:
    """Of files that stay where they are."""

    def one(file: Local) -> Sent:
        # NB: the trainer may have left it in the node's memory, and the list that names it is synced.
        make_safe(file.path)
        for _ in range(5):
            try:
                return Sent(name=file.name, size=file.path.stat().st_size, sha256=sha256_of(file.path))
            except Changed:
                time.sleep(0.5)
        raise Trouble("unreadable", f"{file.path} is still written to after the end of the trainer.")

    with ThreadPoolExecutor(FILES) as pool:
        return list(pool.map(one, files))


def conclude(
    order: Order,
    store: Store,
    artifacts: Artifacts,
    *,
    left: Callable[[], float],
    meanwhile: Callable[[], object],
) -> Outcome:
    """Asks how the attempt ended, and writes the job's result when it is complete.

    `meanwhile` is called between two questions.
    """
    if claims.later_attempt(store, order.uid, order.attempt) is not None:
        return "superseded"
    if order.verdict is None:
        return "unconfirmed"
    said = _verdict(order.verdict, left=left, meanwhile=meanwhile)
    match said.get("state"):
        case "Complete":
            record = said.get("record")
            return _write_result(order, store, artifacts, record if isinstance(record, dict) else {})
        case "Incomplete":
            return "incomplete"
        case "Superseded":
            return "superseded"
    return "unconfirmed"


def _write_result(order: Order, store: Store, artifacts: Artifacts, record: dict[str, Any]) -> Outcome:
    result = {
        "version": 1,
        "namespace": order.namespace,
        "job": order.job,
        "uid": order.uid,
        "attempt": order.attempt,
        "ranks": order.ranks,
        "completedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "artifacts": {
            "uri": f"{order.store}/{layout.attempt(order.uid, order.attempt)}",
            "size": artifacts.size,
            "sha256": artifacts.sha256,
            "files": len(artifacts.files),
        },
        "record": record,
    }
    if store.create(layout.result(order.uid), dumped(result)):
        return "written"
    # NB: an answer that was lost on the way leaves our own.
    there = read_json(store, layout.result(order.uid)) or {}
    return "written" if there.get("attempt") == order.attempt else "superseded"


def _verdict(
    verdict: Verdict, *, left: Callable[[], float], meanwhile: Callable[[], object]
) -> dict[str, Any]:
    pause, answered = 0.2, time.monotonic()
    while left() > 0:
        try:
            said = _asked(verdict, timeout=max(0.5, min(_ASK_SECONDS, left())))
        except (OSError, ValueError, http.client.HTTPException) as error:
            if time.monotonic() - answered > _SILENT_SECONDS:
                say(f"{verdict.url} does not answer ({error}): the result is not written.")
                return {}
        else:
            answered = time.monotonic()
            if said.get("state") != "Pending":
                return said
        meanwhile()
        time.sleep(max(0.0, min(pause, left())))
        pause = min(pause * 1.5, _SLOWEST_POLL)
    return {}


def _asked(verdict: Verdict, *, timeout: float) -> dict[str, Any]:
    """One question. NB: without proxies, which know nothing of Services; the token is read each time, as it changes."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if verdict.url.startswith("https:"):
        handlers.append(
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(verdict.ca_file)))
        )
    token = verdict.token_file.read_text().strip()
    request = urllib.request.Request(verdict.url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
        said = json.loads(answer.read(1 << 20))
    if not isinstance(said, dict):
        raise ValueError("the answer is no JSON object")
    return said
