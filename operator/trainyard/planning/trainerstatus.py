"""What a trainer written for Kubeflow Trainer posts, as a status line of ours.

Separate because the format is that project's (KEP-2779, `UpdateTrainJobStatusRequest`): its SDK's
`update_trainjob_status` sends it, and the callback in Hugging Face Transformers. Called by the status server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.planning import statusline
from trainyard.planning.statusline import StatusLine

Json = dict[str, Any]

_MAX_METRICS = 256
#: Counts that Transformers sends among the metrics, and what we call them.
_COUNTS = {"current_step": "step", "total_steps": "max_step", "current_epoch": "epoch", "epoch": "epoch"}
_TEXTS = ("lastUpdatedTime",)
_NUMBERS = ("progressPercentage", "estimatedRemainingSeconds")


def understood(status: Mapping[str, Any]) -> Json:
    """The part of a `trainerStatus` that is one: what is of another type is left out."""
    found: Json = {name: status[name] for name in _NUMBERS if _is_number(status.get(name))}
    given = status.get("metrics")
    if isinstance(given, list):
        metrics = [
            {"name": one["name"], "value": str(one["value"])}
            for one in given[:_MAX_METRICS]
            if isinstance(one, dict) and isinstance(one.get("name"), str) and _is_value(one.get("value"))
        ]
        found["metrics"] = metrics
    return found | {name: status[name] for name in _TEXTS if isinstance(status.get(name), str)}


def read(status: Mapping[str, Any]) -> StatusLine:
    """The status line in what `understood` has left."""
    metrics = {one["name"]: one["value"] for one in status.get("metrics") or ()}
    counts = {ours: metrics[theirs] for theirs, ours in reversed(_COUNTS.items()) if theirs in metrics}
    return statusline.read(
        {
            **counts,
            "percent": status.get("progressPercentage"),
            "eta": status.get("estimatedRemainingSeconds"),
            "kpi": {name: value for name, value in metrics.items() if name not in _COUNTS},
        }
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_value(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)
