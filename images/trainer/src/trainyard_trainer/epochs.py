"""A training, epoch by epoch: mini steps, with a checkpoint, a status line and an ear for SIGTERM.

Separate from the learners because all types share it (what a type adds is in `learners/`), and from `training` and
`retraining` because both share it: they differ in what they begin with.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trainyard_trainer import artifacts, checkpoints, drift, resuming, synthetic
from trainyard_trainer.backbones import Backbone
from trainyard_trainer.columns import Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.learners import Learner, Measures
from trainyard_trainer.preparing import Prepared
from trainyard_trainer.ranks import Alone, Ranks
from trainyard_trainer.reporting import Reporter, Verdict, duration
from trainyard_trainer.resuming import Progress, Saved
from trainyard_trainer.scores import KEY_METRIC, score
from trainyard_trainer.stopping import StopFlag

_TOP_FEATURES = 20


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The training data: its SHA-256, the number of rows to learn from, how the test rows were split off.

    `profile` is what rows are made up from (`profiles`), `spread` what drift is measured by (`drift`).
    """

    sha256: str
    learned: int
    split: Mapping[str, Any]
    profile: Mapping[str, Any]
    spread: drift.Profile


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The model that a retraining begins with; `metrics` on the same test rows."""

    sha256: str
    metrics: Mapping[str, float]
    pruned: Mapping[str, Any] | None


@dataclass(kw_only=True)
class Training:
    """One attempt, from its first step to its verdict."""

    order: Order
    type: str
    parameters: Mapping[str, Any]
    reporter: Reporter
    stop: StopFlag
    rows: Rows
    layout: Layout
    prepared: Prepared
    learner: Learner
    parent: Parent | None = None
    backbone: Backbone | None = None
    team: Ranks = field(default_factory=Alone)
    progress: Progress = field(default_factory=Progress)
    epoch_seconds: list[float] = field(default_factory=list)
    saved: checkpoints.Checkpoint | None = None

    def begin(self, resumed: tuple[Saved, checkpoints.Checkpoint] | None) -> None:
        """Continue from what was saved, if anything was, and say from where it goes on."""
        found = resumed[1] if resumed else None
        begins = "retraining" if self.parent else "training"
        if resumed is not None:
            self.learner.restore(resumed[0].learner)
            self.progress = resumed[0].progress
            begins = f"resumed after epoch {self.progress.epoch} from {resumed[1].path}"
        folder = self.order.checkpoint_dir
        if folder is not None:
            checkpoints.begin(folder, resumed=found)
            if found is not None and found.path.resolve().parent == folder.resolve():
                self.saved = found
        self.reporter.line(
            "RUNNING",
            f"{begins}: {self.layout.task} of {self.layout.target}, {self.rows.learned} rows to learn from,"
            f" {len(self.prepared.test.targets)} to test on, {len(self.layout.features)} features",
            **self._position(),
        )

    def run(self) -> Verdict:
        """Train until done or stopped. A signal that comes after the last epoch changes nothing."""
        if self._is_over() and self.saved is None:
            # NB: nothing is left to do; but whoever goes on from this job looks for what it has saved itself.
            self._save()
        while not self._is_over():
            started = time.monotonic()
            while self.progress.index < self.learner.steps_in(self.progress.epoch + 1):
                if self.team.any(self.stop.requested):
                    return self._stopped()
                self.learner.step(epoch=self.progress.epoch + 1, index=self.progress.index)
                self.progress.index += 1
                self.progress.step += 1
            self._close_epoch(self.learner.measure(), started=started)
        return self._finished()

    def _is_over(self) -> bool:
        return self.progress.epoch >= self.learner.max_epoch or self._ended_early()

    def _ended_early(self) -> bool:
        rounds: int = self.parameters["early_stopping_rounds"]
        return rounds > 0 and self.progress.epoch - self.progress.best_epoch >= rounds

    def _close_epoch(self, measures: Measures, *, started: float) -> None:
        progress, key = self.progress, KEY_METRIC[self.layout.task]
        progress.epoch += 1
        progress.index = 0
        progress.curve.append(
            {
                "epoch": progress.epoch,
                "training_loss": measures.training_loss,
                "validation_loss": measures.validation_loss,
                f"validation_{key}": measures.score,
            }
        )
        if measures.validation_loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = measures.validation_loss, progress.epoch
            if self.parameters["early_stopping_rounds"]:
                self.learner.keep_as_best()
        fields: dict[str, Any] = {}
        if progress.epoch % self.parameters["checkpoint_every"] == 0 or self._is_over():
            fields |= self._save()
        self.epoch_seconds.append(time.monotonic() - started)
        mean = sum(self.epoch_seconds) / len(self.epoch_seconds)
        self.reporter.line(
            "RUNNING",
            f"epoch {progress.epoch} of {self.learner.max_epoch}: {key} {measures.score:.4g}",
            **self._position(),
            eta=duration(round(mean * (self.learner.max_epoch - progress.epoch))),
            time_per_epoch=duration(self.epoch_seconds[-1]),
            kpi={
                "training_loss": measures.training_loss,
                "validation_loss": measures.validation_loss,
                key: measures.score,
            },
            graphical={name: value for name, value in progress.curve[-1].items() if name != "epoch"},
            **fields,
        )

    def _position(self) -> dict[str, int]:
        return {
            "epoch": self.progress.epoch,
            "max_epoch": max(self.learner.max_epoch, self.progress.epoch),
            "step": self.progress.step,
            "max_step": max(self.learner.max_step, self.progress.step),
        }

    def _save(self) -> dict[str, Any]:
        """Save a checkpoint; the status line's field that names it, or nothing where none is kept.

        NB: an epoch has one checkpoint, which is never rewritten: it may be being uploaded. A stop in the
        middle of the next epoch then falls back to it.
        """
        if self.order.checkpoint_dir is None:
            return {}
        if self.saved is not None and self.saved.epoch == self.progress.epoch:
            return {"checkpoint": self.saved.reported()}
        # NB: first: a network of many processes gathers its weights for it.
        learned = self.learner.state()
        state = Saved(
            format=resuming.FORMAT,
            action=self.order.action,
            type=self.type,
            parent=self.parent.sha256 if self.parent else "",
            parameters=self.parameters,
            data_sha256=self.rows.sha256,
            layout=self.layout,
            preprocess=self.prepared.preprocess,
            progress=self.progress,
            learner=learned,
            model=self._model_as_it_is(),
        )
        self.saved = checkpoints.save(
            self.order.checkpoint_dir,
            state,
            epoch=self.progress.epoch,
            step=self.progress.step,
            keep=self.parameters["checkpoints_kept"],
            rank=self.team.rank,
            ranks=self.team.size,
        )
        # NB: it is reported, and a rank may end, only when every rank has closed its part.
        self.team.any(False)
        return {"checkpoint": self.saved.reported()}

    def _model_as_it_is(self) -> Any:
        """The pipeline at this moment, also where an earlier epoch's was better."""
        from sklearn.pipeline import Pipeline

        if not self.progress.step:
            return None
        estimator = self.learner.estimator(best=False)
        model = Pipeline([("preprocess", self.prepared.preprocess), ("model", estimator)])
        artifacts.describe(model, {**self._facts(), "modelEpoch": self.progress.epoch})
        return model

    def _stopped(self) -> Verdict:
        fields = self._save()
        outcome = (
            "checkpoint saved"
            if fields
            else "no checkpoint is kept, because TRAINYARD_CHECKPOINT_DIR is not set"
        )
        message = f"stopped after epoch {self.progress.epoch}; {outcome}"
        self.reporter.line("RUNNING", message, **self._position(), **fields)
        return Verdict(status="RUNNING", complete=False, message=message)

    def _finished(self) -> Verdict:
        if self.team.rank == 0:
            return self._kept()
        # Until rank 0 has kept the model.
        self.team.any(False)
        message = f"rank {self.team.rank} of {self.team.size}: done; rank 0 has kept the model"
        self.reporter.line("SUCCESS", message)
        return Verdict(status="SUCCESS", complete=True, message=message)

    def _kept(self) -> Verdict:
        """Score the model and write it."""
        from sklearn.pipeline import Pipeline

        best = bool(self.parameters["early_stopping_rounds"])
        estimator = self.learner.estimator(best=best)
        model = Pipeline([("preprocess", self.prepared.preprocess), ("model", estimator)])
        test = self.prepared.test
        scores = score(test.targets, model.predict(test.features), task=self.layout.task)
        kept_epoch = self.progress.best_epoch if best else self.progress.epoch
        row = self.progress.curve[kept_epoch - 1]
        metrics = {**scores.metrics, **{name: row[name] for name in ("training_loss", "validation_loss")}}
        key = KEY_METRIC[self.layout.task]
        if self.parent is not None:
            metrics[f"{key}_before"] = self.parent.metrics[key]
        importance = _feature_importance(model)
        summary = {
            **self._description(),
            "metrics": metrics,
            "keyMetric": {"name": key, "value": metrics[key]},
            "epochs": self.progress.epoch,
            "modelEpoch": kept_epoch,
            "trainingRows": len(self.prepared.y_train),
            "testRows": len(test.targets),
            **({"featureImportance": importance} if importance else {}),
        }
        if self.order.output_dir is not None:
            artifacts.write_model(self.order.output_dir, model, {**summary, **self._facts()})
            drift.write(self.order.output_dir, self.rows.spread)
            artifacts.write_results(
                self.order.output_dir, summary=summary, scores=scores, curve=self.progress.curve
            )
        else:
            self.reporter.log("The model is not kept, because TRAINYARD_OUTPUT_DIR is not set.")
        self.team.any(False)
        ending = "no lower validation loss since, so it ended early" if self._ended_early() else "done"
        did = "retrained" if self.parent else "trained"
        message = f"{did} {self.type} to {key} {metrics[key]:.4g} after epoch {kept_epoch}; {ending}"
        top = dict(sorted(importance.items(), key=lambda item: -item[1])[:_TOP_FEATURES])
        self.reporter.line(
            "SUCCESS",
            message,
            **self._position(),
            eta=duration(0),
            kpi={name: value for name, value in metrics.items() if not name.endswith("_loss")}
            | synthetic.metric(self.parameters),
            categorical=scores.categorical() | ({"feature_importance": top} if top else {}),
            artifacts=artifacts.listed(self.order.output_dir),
            **({"checkpoint": self.saved.reported()} if self.saved else {}),
        )
        return Verdict(
            status="SUCCESS",
            complete=True,
            message=message,
            metrics=synthetic.metric(self.parameters) | metrics,
            key_metric=key,
        )

    def _facts(self) -> dict[str, Any]:
        """What a model has with it, wherever it is kept."""
        return {
            **self._description(),
            "layout": asdict(self.layout),
            "profile": self.rows.profile,
        }

    def _description(self) -> dict[str, Any]:
        """What an evaluation needs to read its data as this training did, and where the model is from."""
        parent = self.parent
        return {
            "type": self.type,
            "task": self.layout.task,
            "target": self.layout.target,
            "parameters": dict(self.parameters),
            **synthetic.fact(self.parameters),
            "dataSha256": self.rows.sha256,
            "split": self.rows.split,
            "testedOn": "eval" if "eval" in self.order.datasets else "split",
            **({"parent": {"sha256": parent.sha256, "metrics": parent.metrics}} if parent else {}),
            **({"backbone": self.backbone.as_told()} if self.backbone else {}),
            **({"pruned": parent.pruned} if parent and parent.pruned else {}),
        }


def _feature_importance(model: Any) -> dict[str, float]:
    """The share of each feature in a tree's decisions, or in the absolute coefficients of a linear model.

    Empty for a model that does not know it.
    """
    values = getattr(model["model"], "feature_importances_", None)
    if values is None and isinstance(coefficients := getattr(model["model"], "coef_", None), np.ndarray):
        values = np.abs(coefficients) / (np.abs(coefficients).sum() or 1.0)
    if values is None:
        return {}
    names = model["preprocess"].get_feature_names_out()
    return {str(name): float(value) for name, value in zip(names, values, strict=True)}
