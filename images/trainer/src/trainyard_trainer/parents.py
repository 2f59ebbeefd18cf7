"""The model that a parent job hands on: the one it has left, or the one in a checkpoint of its training.

Separate because every action but training begins with it, and none of them cares where it is from. Called by them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_trainer import checkpoints
from trainyard_trainer.artifacts import METADATA_VERSION, MODEL
from trainyard_trainer.contract import Order
from trainyard_trainer.files import sha256_of
from trainyard_trainer.problems import Refused
from trainyard_trainer.resuming import FORMAT, Saved

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ParentModel:
    """A fitted pipeline with the attribute `trainyard`, and the file that it was in."""

    pipeline: Any
    path: Path

    @property
    def facts(self) -> dict[str, Any]:
        """How it was trained, and how it reads its data."""
        facts: dict[str, Any] = self.pipeline.trainyard
        return facts

    def sha256(self) -> str:
        """Tells one parent from another."""
        return sha256_of(self.path)

    def bytes(self) -> int:
        """How large it is as a file by itself."""
        import joblib

        if self.path.name == MODEL:
            return self.path.stat().st_size
        file = io.BytesIO()
        joblib.dump(self.pipeline, file)
        return file.tell()


def read(order: Order, *, log: Log) -> ParentModel:
    """The model in the parent's checkpoint where the order names one, else what the parent has left.

    Raises Refused where there is none that this trainer wrote.
    """
    if order.parent_checkpoint is not None:
        return _of_checkpoint(order.parent_checkpoint, log=log)
    path = _path(order)
    pipeline = loaded(path)
    metadata = getattr(pipeline, "trainyard", None)
    if not isinstance(metadata, dict) or metadata.get("version") != METADATA_VERSION:
        raise Refused(
            f"{path} was not written by this version of the trainer, so how it reads its data is unknown."
            " Train it again."
        )
    return ParentModel(pipeline=pipeline, path=path)


def _path(order: Order) -> Path:
    folder = order.parent_dir
    if folder is None:
        raise Refused(
            f"There is no model for {order.action}: TRAINYARD_PARENT_DIR is not set. Name a parentJob."
        )
    if not (folder / MODEL).is_file():
        raise Refused(
            f"The parent job left no {MODEL} in {folder}. Name a parentJob that trained and is Done."
        )
    return folder / MODEL


def _of_checkpoint(folder: Path, *, log: Log) -> ParentModel:
    found = checkpoints.newest_complete(folder, log=log)
    if found is None:
        raise Refused(
            f"There is no complete checkpoint in {folder}. Name another one in spec.checkpoint, or leave that out."
        )
    path = found.path / checkpoints.STATE
    saved = loaded(path)
    if not isinstance(saved, Saved) or saved.format != FORMAT:
        raise Refused(
            f"{path} was not written by this version of the trainer. Leave spec.checkpoint out, to work on the model"
            " that the parent has left."
        )
    if saved.model is None:
        raise Refused(
            f"{path} holds no model: nothing had been learned by then. Name a later epoch in spec.checkpoint."
        )
    log(f"The model is that of the parent's checkpoint of epoch {found.epoch}.")
    return ParentModel(pipeline=saved.model, path=path)


def loaded(path: Path, *, advice: str = "Train it again.") -> Any:
    """What a file of joblib holds. Raises Refused, with the advice, for one that cannot be loaded."""
    import joblib

    try:
        with warnings.catch_warnings():
            # Another release of scikit-learn is worth a line in the log, not a failure.
            warnings.simplefilter("default")
            return joblib.load(path)
    except Exception as error:
        # NB: unpickling runs what the file says and so can raise anything.
        raise Refused(f"{path} cannot be loaded ({type(error).__name__}: {error}). {advice}") from error
