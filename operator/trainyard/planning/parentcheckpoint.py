"""The checkpoint of its parent that a job works on: whether one is asked for, and what the agent is told to look for.

Separate because it is the meaning of `spec.checkpoint`: which one it comes to, the agent finds by what is stored
(docs/artifacts.md). Called by `planning.podcreation` and `planning.waiting`, and of parents by `reconcile.trainingjob`.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import spechash
from trainyard.planning.agentpod import HandedCheckpoint
from trainyard.planning.observed import ObservedJob
from trainyard.planning.runtime import Runtime, RuntimeAction, Unresolved, resolve


def is_asked_for(spec: TrainingJobSpec) -> bool:
    """Whether it is a checkpoint: the best model is what the parent has left as its artifacts."""
    return spec.checkpoint is not None and spec.checkpoint.method != "best_model"


def keeps_checkpoints(parent: TrainingJobSpec, catalog: Sequence[Runtime]) -> bool:
    """Whether a parent's action can be resumed; so it is taken to be where its runtime is not known any more."""
    resolved = resolve(parent, catalog)
    return isinstance(resolved, Unresolved) or resolved[1].resumable


def has_no_parent(observed: ObservedJob, spec: TrainingJobSpec) -> str | None:
    """Make sure that a checkpoint that is asked for can be somebody's. One that has begun has its own."""
    if spec.checkpoint is None or not is_asked_for(spec) or spec.parent_job is not None:
        return None
    if spechash.begun(observed.status):
        return None
    return (
        f"spec.checkpoint asks for {spec.checkpoint.method} of a parent, and there is none: name the TrainingJob that "
        "has the checkpoints as spec.parentJob. A job's own are gone on from without a word."
    )


def handed_on(observed: ObservedJob, spec: TrainingJobSpec, action: RuntimeAction) -> HandedCheckpoint | None:
    """What the agent has to find; None for a job that works on its parent's artifacts, or on nothing of a parent.

    An action that can resume goes on with a parent of the same action: a training with more epochs, for example. Of a
    parent that was pruned, say, and keeps no checkpoints, the latest model is what it has left.
    """
    parent = observed.parent
    if parent is None or parent.output is None or spec.checkpoint is None or not is_asked_for(spec):
        return None
    if spec.checkpoint.method == "latest_model" and not parent.resumable:
        return None
    return HandedCheckpoint(
        job=parent.name,
        uids=(parent.uid, *parent.origins),
        output=parent.output,
        epoch=spec.checkpoint.epoch,
        continues=action.resumable and parent.action == spec.action,
    )
