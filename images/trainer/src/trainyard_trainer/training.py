"""The action `train`: epochs of mini steps, with a checkpoint, a status line and an ear for SIGTERM.

Separate from the learners because all types share it: what a type adds is in `learners/`. Called by
`actions`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainyard_trainer import artifacts, checkpoints, columns, resuming
from trainyard_trainer.columns import Examples, Layout
from trainyard_trainer.contract import Order
from trainyard_trainer.learners import BUILDERS, SCALED_TYPES, Learner, Measures
from trainyard_trainer.preparing import Prepared, prepare, split
from trainyard_trainer.reporting import Reporter, Verdict, duration
from trainyard_trainer.resuming import Progress, Saved
from trainyard_trainer.scores import KEY_METRIC, score
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import Table, read_role

_TOP_FEATURES = 20


@dataclass(kw_only=True)
class Training:
    """One attempt, from its first step to its verdict."""

    order: Order
    parameters: Mapping[str, Any]
    reporter: Reporter
    stop: StopFlag
    table: Table
    layout: Layout
    prepared: Prepared
    learner: Learner
    progress: Progress
    epoch_seconds: list[float] = field(default_factory=list)
    saved: checkpoints.Checkpoint | None = None

    def run(self) -> Verdict:
        """Train until done or stopped. A signal that comes after the last epoch changes nothing."""
        while not self._is_over():
            started = time.monotonic()
            while self.progress.index < self.learner.steps_in(self.progress.epoch + 1):
                if self.stop.requested:
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
        state = Saved(
            format=resuming.FORMAT,
            type=self.order.type,
            parameters=self.parameters,
            data_sha256=self.table.sha256,
            layout=self.layout,
            preprocess=self.prepared.preprocess,
            progress=self.progress,
            learner=self.learner.state(),
        )
        self.saved = checkpoints.save(
            self.order.checkpoint_dir,
            state,
            epoch=self.progress.epoch,
            step=self.progress.step,
            keep=self.parameters["checkpoints_kept"],
        )
        return {"checkpoint": self.saved.reported()}

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
            artifacts.write_model(self.order.output_dir, model, {**summary, "layout": asdict(self.layout)})
            artifacts.write_results(
                self.order.output_dir, summary=summary, scores=scores, curve=self.progress.curve
            )
        else:
            self.reporter.log("The model is not kept, because TRAINYARD_OUTPUT_DIR is not set.")
        ending = "no lower validation loss since, so it ended early" if self._ended_early() else "done"
        message = f"trained {self.order.type} to {key} {metrics[key]:.4g} after epoch {kept_epoch}; {ending}"
        top = dict(sorted(importance.items(), key=lambda item: -item[1])[:_TOP_FEATURES])
        self.reporter.line(
            "SUCCESS",
            message,
            **self._position(),
            eta=duration(0),
            kpi=scores.metrics,
            categorical=scores.categorical() | ({"feature_importance": top} if top else {}),
            **({"checkpoint": self.saved.reported()} if self.saved else {}),
        )
        return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics, key_metric=key)

    def _description(self) -> dict[str, Any]:
        """What an evaluation needs to read its data as this training did."""
        return {
            "type": self.order.type,
            "task": self.layout.task,
            "target": self.layout.target,
            "parameters": dict(self.parameters),
            "dataSha256": self.table.sha256,
            "testedOn": "eval" if "eval" in self.order.datasets else "split",
        }


def train(order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Read the data, continue or begin, train. Raises Refused and StopRequested."""
    table = read_role(order, "train", stop=stop)
    resumed = resuming.find(order, parameters, data_sha256=table.sha256, reporter=reporter)
    if resumed is None:
        layout, remarks = columns.recognise(table, parameters)
        for remark in remarks:
            reporter.log(remark)
    else:
        layout = resumed[0].layout
    learned, test = _rows(order, parameters, table, layout, reporter=reporter, stop=stop)
    stop.raise_if_requested()
    prepared = prepare(
        learned,
        test,
        layout,
        parameters,
        scale=order.type in SCALED_TYPES,
        preprocess=resumed[0].preprocess if resumed else None,
    )
    learner = BUILDERS[order.type](prepared, parameters, classify=layout.task == "classification")
    progress = Progress()
    begins, saved = "training", None
    if resumed is not None:
        learner.restore(resumed[0].learner)
        progress = resumed[0].progress
        begins = f"resumed after epoch {progress.epoch} from {resumed[1].path}"
    if order.checkpoint_dir is not None:
        found = resumed[1] if resumed else None
        checkpoints.begin(order.checkpoint_dir, resumed=found)
        if found is not None and found.path.resolve().parent == order.checkpoint_dir.resolve():
            saved = found
    training = Training(
        order=order,
        parameters=parameters,
        reporter=reporter,
        stop=stop,
        table=table,
        layout=layout,
        prepared=prepared,
        learner=learner,
        progress=progress,
        saved=saved,
    )
    reporter.line(
        "RUNNING",
        f"{begins}: {layout.task} of {layout.target}, {len(learned.targets)} rows to learn from,"
        f" {len(test.targets)} to test on, {len(layout.features)} features",
        **training._position(),
    )
    return training.run()


def _rows(
    order: Order,
    parameters: Mapping[str, Any],
    table: Table,
    layout: Layout,
    *,
    reporter: Reporter,
    stop: StopFlag,
) -> tuple[Examples, Examples]:
    examples = columns.examples(table, layout)
    if examples.dropped:
        reporter.log(f'{examples.dropped} rows have no "{layout.target}" and are left out.')
    if "eval" in order.datasets:
        return examples, columns.examples(read_role(order, "eval", stop=stop), layout)
    return split(examples, layout, fraction=parameters["train_test_split"], seed=parameters["random_seed"])


def _feature_importance(model: Any) -> dict[str, float]:
    """The share of each feature in a forest's decisions; empty for a model that does not know it."""
    values = getattr(model["model"], "feature_importances_", None)
    if values is None:
        return {}
    names = model["preprocess"].get_feature_names_out()
    return {str(name): float(value) for name, value in zip(names, values, strict=True)}
