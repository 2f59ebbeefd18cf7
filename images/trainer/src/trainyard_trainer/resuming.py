"""Where a training begins: fresh, or after an epoch of an earlier attempt.

Separate because each way to refuse or to ignore a checkpoint is a decision of its own. Called by `training`
and `retraining`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trainyard_trainer import checkpoints
from trainyard_trainer.columns import Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.problems import Refused
from trainyard_trainer.ranks import Alone, Ranks
from trainyard_trainer.reporting import Reporter

FORMAT = 4
"""1: `train_test_split` was the fraction held out. 2: there was no `retrain`. 3: there was no `model`."""
_NONE = -1
CHANGEABLE = frozenset(
    {
        "epochs",
        "n_estimators",
        "learning_rate",
        "early_stopping_rounds",
        "checkpoint_every",
        "checkpoints_kept",
    }
)
"""Parameters that may differ between two attempts; the others decide what the saved state means."""


@dataclass
class Progress:
    """How far a training is: `epoch` epochs are whole, and `index` mini steps of the next one are done."""

    epoch: int = 0
    index: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    curve: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The content of a checkpoint's state file. `parent` is the SHA-256 of the model that a retraining began with.

    `model` is the pipeline as it was at that moment, for the actions that work on one; None before the first step.
    """

    format: int
    action: str
    type: str
    parent: str
    parameters: Mapping[str, Any]
    data_sha256: str
    layout: Layout
    preprocess: Any
    progress: Progress
    learner: Mapping[str, Any]
    model: Any


def find(
    order: Order,
    parameters: Mapping[str, Any],
    *,
    type_name: str,
    data_sha256: str,
    parent: str = "",
    reporter: Reporter,
    team: Ranks | None = None,
) -> tuple[Saved, checkpoints.Checkpoint] | None:
    """The newest usable state of an earlier attempt that every rank has, or None, which the log explains.

    Raises Refused where a parameter was changed that the saved state depends on, or the ranks do not fit together; and
    where none is usable for a training that goes on with its parent's: that must not begin anew.
    """
    team = team or Alone()
    usable = partial(_usable, order, data_sha256=data_sha256, parent=parent, log=reporter.log)
    found, why = usable()
    _refuse_other_data(team, data_sha256)
    epochs = [epoch for (epoch,) in team.gather([found[1].epoch if found else _NONE])]
    if min(epochs) != max(epochs):
        if min(epochs) == _NONE:
            raise Refused(
                f"Rank {epochs.index(_NONE)} has no checkpoint to go on from, but rank {epochs.index(max(epochs))} has"
                f" one of epoch {max(epochs)}. Give every rank its part in TRAINYARD_RESUME, or start a new job."
            )
        found, why = usable(latest=min(epochs))
    if found is None:
        if order.continues:
            raise Refused(
                f"{why}, so this job cannot go on with its parent's training. To begin anew, leave spec.checkpoint out"
                " of a new job; to go on learning from other data, take the action retrain."
            )
        if why:
            reporter.log(f"{why}: starting fresh.")
        return None
    _refuse_parts(team, found[1])
    if found[1].ranks != team.size:
        # NB: sound as long as every rank's part holds the whole state.
        reporter.log(
            f"{found[1].path} was saved by {found[1].ranks} ranks, and {team.size} go on from it: the last digits of"
            " the result may differ."
        )
    _refuse_changes(found[0], parameters, type_name, found[1])
    return found


def _usable(
    order: Order,
    *,
    data_sha256: str,
    parent: str,
    log: Callable[[str], None],
    latest: int | None = None,
) -> tuple[tuple[Saved, checkpoints.Checkpoint] | None, str]:
    """This rank's newest state, with `latest` of no later epoch; or None, and why."""
    if order.resume_dir is None:
        return None, "TRAINYARD_RESUME is not set" if order.continues else ""
    found = checkpoints.newest_complete(order.resume_dir, log=log, latest=latest)
    if found is None:
        return None, f"There is no complete checkpoint in {order.resume_dir}"
    saved = checkpoints.load_state(found)
    if not isinstance(saved, Saved) or saved.format != FORMAT:
        return None, f"{found.path} was written by another version of this trainer"
    if saved.data_sha256 != data_sha256:
        # NB: its test rows would be other rows now, some of which the model has learned from.
        return None, f"The data has changed since {found.path} was saved"
    if saved.action != order.action or saved.parent != parent:
        return None, f"{found.path} was not saved by this {order.action} of this parent"
    return (saved, found), ""


def _refuse_other_data(team: Ranks, data_sha256: str) -> None:
    digests = team.gather([int(data_sha256[:15], 16)])
    if different := [rank for rank, digest in enumerate(digests) if digest != digests[0]]:
        raise Refused(
            f"Rank {different[0]} reads other training data than rank 0. Give all ranks the same datasets: copies that"
            " lie on the nodes must not differ."
        )


def _refuse_parts(team: Ranks, found: checkpoints.Checkpoint) -> None:
    parts = team.gather([found.epoch, found.step])
    if different := [rank for rank, part in enumerate(parts) if part != parts[0]]:
        (epoch, step), (other, later) = parts[0], parts[different[0]]
        raise Refused(
            f"Rank 0 would go on after epoch {epoch}, step {step}, rank {different[0]} after epoch {other}, step"
            f" {later}. Remove what is not of the same checkpoint from TRAINYARD_RESUME, or start a new job."
        )


def _refuse_changes(
    saved: Saved, parameters: Mapping[str, Any], type_name: str, found: checkpoints.Checkpoint
) -> None:
    advice = "Set it back, or start a new job."
    if saved.type != type_name:
        raise Refused(f"{found.path} is of type {saved.type}, this job of type {type_name}. {advice}")
    for name in sorted(set(saved.parameters) | set(parameters)):
        before, now = saved.parameters.get(name), parameters.get(name)
        if name not in CHANGEABLE and before != now:
            raise Refused(f"{name} was {before} when {found.path} was saved and is {now} now. {advice}")
    if bool(saved.parameters["early_stopping_rounds"]) != bool(parameters["early_stopping_rounds"]):
        raise Refused(
            "early_stopping_rounds cannot be turned on or off between two attempts, because it decides which"
            f" rows are learned from. {advice}"
        )
