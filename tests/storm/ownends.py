"""How trainers of a storm ended by themselves, seen from every version of their pods.

Separate from the checks, which hold it against what became of the jobs. Nothing of the operator's code is used here.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.storm.record import Seen

Json = Mapping[str, Any]

LABEL_ATTEMPT = "trainyard.dev/attempt"
CONTAINER = "trainer"
#: The storm's trainers have no others when nobody has told them to end.
OWN_EXIT_CODES = (0, 1)


@dataclass(frozen=True, kw_only=True)
class OwnEnd:
    """The end of a trainer that no signal of ours has caused, or of all those of an attempt.

    `certain` unless it came in the very second in which its pod was deleted: stamps are no finer. The same goes for
    the second in which a stop was decided.
    """

    exit_code: int
    finished_at: float
    certain: bool

    @property
    def outcome(self) -> str:
        return "Error" if self.exit_code else "Done"


def own_ends(pods: Mapping[str, Sequence[Seen]], *, nodes: int = 1) -> list[OwnEnd]:
    """How the attempts of one job ended by themselves: when all their trainers had done their work, or one had failed.

    The failure of one is not certain to be the cause when another was taken away before.
    """
    attempts: dict[int, dict[str, Sequence[Seen]]] = defaultdict(dict)
    for uid, seen in pods.items():
        attempts[attempt_of(seen)][uid] = seen
    found = []
    for ranks in attempts.values():
        ends = _ends_of_trainers(ranks)
        taken = [when for seen in ranks.values() for one in seen if (when := deletion_requested(one.object))]
        for end in ends:
            if end.outcome == "Error":
                first = not taken or end.finished_at < min(taken)
                found.append(dataclasses.replace(end, certain=end.certain and first))
        done = [end for end in ends if end.outcome == "Done"]
        if len(done) == nodes:
            last = max(end.finished_at for end in done)
            certain = all(end.certain for end in done)
            found.append(OwnEnd(exit_code=0, finished_at=last, certain=certain))
    return found


def attempt_of(seen: Sequence[Seen]) -> int:
    """The attempt of a pod."""
    return int(seen[0].object["metadata"]["labels"][LABEL_ATTEMPT])


def _ends_of_trainers(pods: Mapping[str, Sequence[Seen]]) -> list[OwnEnd]:
    found = []
    for seen in pods.values():
        ended = terminated(seen)
        if ended is None or int(ended["exitCode"]) not in OWN_EXIT_CODES:
            continue
        finished, complete = seconds(ended["finishedAt"]), _complete(ended.get("message"))
        requested = [when for one in seen if (when := deletion_requested(one.object)) is not None]
        if complete is False or (requested and finished > requested[0] and not complete):
            continue
        certain = not requested or finished < requested[0] or complete is True
        found.append(OwnEnd(exit_code=int(ended["exitCode"]), finished_at=finished, certain=certain))
    return found


def _complete(message: str | None) -> bool | None:
    """What the termination message says of the work; None if it says nothing."""
    try:
        told = json.loads(message or "")
    except ValueError:
        return None
    complete = told.get("complete") if isinstance(told, dict) else None
    return complete if isinstance(complete, bool) else None


def terminated(seen: Sequence[Seen]) -> Json | None:
    """The terminated state of a pod's trainer, once there is one."""
    for one in seen:
        for container in one.object.get("status", {}).get("containerStatuses") or []:
            if container["name"] == CONTAINER and "terminated" in container["state"]:
                return dict(container["state"]["terminated"])
    return None


def deletion_requested(pod: Json) -> float | None:
    """When somebody asked for its deletion, in seconds since the epoch."""
    metadata = pod["metadata"]
    if "deletionTimestamp" not in metadata:
        return None
    return seconds(metadata["deletionTimestamp"]) - float(metadata.get("deletionGracePeriodSeconds") or 0)


def seconds(stamp: str) -> float:
    """Since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()
