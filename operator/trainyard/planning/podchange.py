"""What has happened to a pod, as far as it decides when its job is looked at.

Separate because the doorbell asks it at every event of every pod, before any plan: most events are steps on the way to
one that counts. Called by `reconcile.loop`.
"""

from __future__ import annotations

import dataclasses

from trainyard.planning.podview import ContainerView, PodView

#: Of containers that are on their way.
_COMING_UP = frozenset({"", "ContainerCreating", "PodInitializing"})


def comes_up(before: PodView | None, after: PodView) -> bool:
    """Whether a pod that was there has made a step on its way to run, which its job need not know of at once."""
    if before is None or before.uid != after.uid or after.phase != "Pending":
        return False
    if not (after.scheduled and after.finalized and after.watched) or after.disrupted:
        return False
    if after.deletion_requested_at is not None or after.unheard_since is not None or after.begun:
        return False
    containers = (*after.init, *after.sidecars, *((after.trainer,) if after.trainer is not None else ()))
    return all(map(_does_well, containers))


def has_ended(pod: PodView) -> bool:
    """Whether somebody waits for what becomes of it: its trainer has ended, or it is being deleted, and nobody has
    written down how it ended.
    """
    return pod.finalized and (pod.over or pod.trained or pod.deletion_requested_at is not None)


def says_nothing(before: PodView, after: PodView) -> bool:
    """Whether no plan would be another one: a pod is as it was, or only our finalizer is gone, by which plans choose
    what to release and nothing else.
    """
    if before.finalized and not after.finalized:
        return after == dataclasses.replace(before, finalized=False)
    return after == before


def _does_well(container: ContainerView) -> bool:
    match container.state:
        case "waiting":
            return container.reason in _COMING_UP
        case "terminated":
            return container.exit_code == 0
        case _:
            return True
