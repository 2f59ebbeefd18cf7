"""What is said of a stop: that it is under way, what was saved, and how the job goes on.

Separate from `planning.stops`, which decides: these are sentences, and no decision rests on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.planning import membership, spechash
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]


def what_ends(observed: ObservedJob, holding: tuple[PodView, ...], begun: PodView | None) -> str:
    """Which pods are being ended; `begun` is one that has run, if there is any."""
    if len({pod.rank for pod in observed.pods}) > 1:
        # NB: the same until the last has ended, as each change of it is a request.
        return "its pods have been told to save a checkpoint and to end."
    if begun is not None:
        return f"pod {begun.name} has been told to save a checkpoint and to end."
    return f"pod {holding[0].name}, in which nothing has run yet, is being removed."


def told(observed: ObservedJob, left: Json, stop: Json, *, begun: bool, able: bool) -> str:
    """What came of the stop, and how the job goes on; `left` is its status then, `able`: its action can resume."""
    spec = observed.spec
    sentences = {
        "Suspend": "Paused",
        "Cancel": "Cancelled",
        "DeadlineExceeded": "Stopped after activeDeadlineSeconds"
        + (f" ({spec.active_deadline_seconds} s)" if spec is not None else ""),
        "NoProgress": "Stopped, as the trainer had been silent for longer than progressTimeoutSeconds"
        + (f" ({spec.progress_timeout_seconds} s)" if spec is not None else ""),
    }
    ever = begun or spechash.begun(left)
    saved = _with_checkpoint(left, stop, ever=ever, begun=begun)
    return f"{sentences[stop['cause']]}{saved} {_how_on(observed, stop['cause'], ever=ever, able=able)}"


def _with_checkpoint(left: Json, stop: Json, *, ever: bool, begun: bool) -> str:
    checkpoint = left.get("lastCheckpoint") or {}
    if not ever:
        return " before anything had run."
    if not checkpoint:
        return " without a checkpoint: the trainer has reported none."
    if begun and stop.get("checkpoint"):
        return f" with a checkpoint of epoch {epoch(checkpoint)}, saved on the way out."
    done = (left.get("progress") or {}).get("epoch")
    last = f"the last one is of epoch {epoch(checkpoint)}"
    if isinstance(done, int | float) and done <= (checkpoint.get("epoch") or 0):
        return f" without a new checkpoint; {last}, and no later epoch was done."
    return f" without a new checkpoint: {last}; what came after it is done again."


def _how_on(observed: ObservedJob, cause: str, *, ever: bool, able: bool) -> str:
    name = observed.name
    if (with_it := membership.asks(observed, cause)) is not None:
        return _how_on_with(observed, with_it.name, cause, ever=ever, able=able)
    if cause == "Suspend":
        begins_anew = ever and not able and observed.spec is not None
        again = (
            f"action {observed.spec.action} cannot resume and begins anew"
            if begins_anew and observed.spec
            else ""
        )
        return f"trainyard resume {name} (spec.suspend: false) goes on{f'; {again}' if again else ''}."
    if cause == "Cancel":
        if able or not ever:
            return f"trainyard resume {name} (spec.cancel: false) goes on."
        return f"This action cannot resume; trainyard retry {name} runs it from its beginning."
    if cause == "DeadlineExceeded":
        return f"Raise it and use trainyard retry {name} to go on."
    return "See its log for where it hung; if it is silent by nature, raise progressTimeoutSeconds or set it to 0."


def _how_on_with(observed: ObservedJob, experiment: str, cause: str, *, ever: bool, able: bool) -> str:
    """How a job goes on that was stopped with its Experiment."""
    word, field = ("paused", "suspend") if cause == "Suspend" else ("cancelled", "cancel")
    again = f"trainyard resume experiment {experiment}"
    if cause == "Cancel" and ever and not able:
        return (
            f"Experiment {experiment} is cancelled. This action cannot resume; {again}, and then trainyard retry "
            f"{observed.name}, runs it from its beginning."
        )
    anew = ""
    if ever and not able and observed.spec is not None:
        anew = f"; action {observed.spec.action} cannot resume and begins anew"
    if membership.alone(observed, "Suspend" if cause == "Suspend" else "Cancel"):
        return f"Experiment {experiment} is {word}: {again} (spec.{field}: false there) goes on{anew}."
    return (
        f"Experiment {experiment} is {word}, and so is the job itself: {again} and trainyard resume {observed.name} "
        f"together let it go on{anew}."
    )


def epoch(checkpoint: Json) -> str:
    """The epoch of a checkpoint, for a sentence."""
    number = checkpoint.get("epoch")
    return "unknown" if number is None else f"{number:g}"
