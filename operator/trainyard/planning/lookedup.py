"""What is looked up beside what the watches tell: the warnings of a pod, the node that it is on.

Separate from `planning.observed`, as they are asked for in trouble only; made by `cluster.lookups`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainyard.planning.times import seconds

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PodEvent:
    """A warning that Kubernetes has posted of a pod; `at` is when it was so last."""

    reason: str
    message: str
    at: float

    @classmethod
    def from_raw(cls, raw: Json) -> PodEvent:
        series = raw.get("series") or {}
        stamps = (
            series.get("lastObservedTime"),
            raw.get("lastTimestamp"),
            raw.get("eventTime"),
            (raw.get("metadata") or {}).get("creationTimestamp"),
        )
        return cls(
            reason=raw.get("reason") or "",
            message=(raw.get("message") or "").strip(),
            at=next((at for stamp in stamps if (at := seconds(stamp)) is not None), 0.0),
        )


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """A node that a pod may have been lost with.

    `silent`: its kubelet has told nothing for long. `gone`: there is no such node any longer. `not_ready`: it says so
    itself. `hidden`: we may not look at nodes.
    """

    name: str
    state: Literal["ready", "not_ready", "silent", "gone", "hidden"]
    since: float | None = None

    @classmethod
    def from_raw(cls, raw: Json) -> NodeView:
        conditions = (raw.get("status") or {}).get("conditions") or []
        ready: Json = next((c for c in conditions if c.get("type") == "Ready"), {})
        states: dict[str | None, Literal["ready", "not_ready", "silent"]] = {
            "True": "ready",
            "False": "not_ready",
        }
        return cls(
            name=raw["metadata"]["name"],
            state=states.get(ready.get("status"), "silent"),
            since=seconds(ready.get("lastTransitionTime")),
        )
