"""The action `prune`: a smaller model from a parent's, and what it costs.

Separate from `learners/pruners.py`, which knows what each type can lose, because how much to remove is decided in the
same way for all. Called by `actions`. The result is a model as training leaves one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.pipeline import Pipeline

from trainyard_trainer import artifacts, drift, parents, synthetic
from trainyard_trainer.columns import Examples, Layout, Task
from trainyard_trainer.contract import Order
from trainyard_trainer.learners.pruners import PRUNERS, Pruner
from trainyard_trainer.preparing import split
from trainyard_trainer.problems import Refused
from trainyard_trainer.reporting import Reporter, Verdict, duration
from trainyard_trainer.scores import KEY_METRIC, Scores, score
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.testrows import WHERE, test_rows

_AMOUNTS = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True, kw_only=True)
class _Pruned:
    amount: float
    model: Any


def prune(order: Order, parameters: Mapping[str, Any], *, reporter: Reporter, stop: StopFlag) -> Verdict:
    """Prune the parent's model and score both on the same rows. Raises Refused and StopRequested."""
    folder = artifacts.output_folder(order)
    parent = parents.read(order, log=reporter.log)
    model, facts = parent.pipeline, parent.facts
    layout = Layout(**facts["layout"])
    artifacts.remark_on_type(order, facts, log=reporter.log)
    synthetic.remark(facts["parameters"], reporter)
    stop.raise_if_requested()
    rows, source = test_rows(order, facts, layout, stop=stop)
    stop.raise_if_requested()
    pruner = PRUNERS[facts["type"]]
    if parameters["tolerated_loss"] is None:
        pruned = _by(parameters["amount"], model, pruner)
    else:
        deciding, rows = split(rows, layout, fraction=0.5, seed=facts["split"]["seed"])
        loss = parameters["tolerated_loss"]
        pruned = _within(loss, deciding, model, pruner, task=layout.task, reporter=reporter, stop=stop)
    before, after = (
        score(rows.targets, one.predict(rows.features), task=layout.task) for one in (model, pruned.model)
    )
    sizes = (pruner.sizes(model["model"]), pruner.sizes(pruned.model["model"]))
    changes = _changes(sizes[0], sizes[1], before, after, key=KEY_METRIC[layout.task])
    summary = {
        **{name: facts[name] for name in _INHERITED},
        **synthetic.fact(facts["parameters"]),
        "metrics": after.metrics,
        "keyMetric": {
            "name": KEY_METRIC[layout.task],
            "value": after.metrics[KEY_METRIC[layout.task]],
        },
        "testRows": len(rows.targets),
        "pruned": {"amount": pruned.amount, "before": sizes[0], "after": sizes[1]},
    }
    kept = Pipeline([("preprocess", model["preprocess"]), ("model", pruned.model["model"])])
    artifacts.write_model(folder, kept, facts | summary)
    drift.hand_on(order.parent_dir, folder)
    changes["bytes"] = (folder / artifacts.MODEL).stat().st_size
    changes["bytes_before"] = parent.bytes()
    metrics = {**after.metrics, **changes, **synthetic.metric(facts["parameters"])}
    artifacts.write_results(folder, summary={**summary, "metrics": metrics, "testedOn": source}, scores=after)
    message = _message(
        facts["type"], pruned, sizes, before, after, unit=pruner.unit, key=KEY_METRIC[layout.task]
    )
    reporter.line(
        "SUCCESS",
        f"{message}, on {len(rows.targets)} rows of {WHERE[source]}",
        eta=duration(0),
        kpi=metrics,
        categorical=after.categorical(),
        artifacts=artifacts.listed(folder),
    )
    return Verdict(
        status="SUCCESS",
        complete=True,
        message=message,
        metrics=metrics,
        key_metric=KEY_METRIC[layout.task],
    )


_INHERITED = ("type", "task", "target", "parameters", "dataSha256", "split", "testedOn", "modelEpoch")


def _by(amount: float, model: Any, pruner: Pruner) -> _Pruned:
    size = pruner.sizes(model["model"])[pruner.unit]
    smaller = _smaller(model, amount, pruner)
    if pruner.sizes(smaller["model"])[pruner.unit] == size:
        raise Refused(
            f"Nothing would be removed: the model has {size} {pruner.unit}, and an amount of {amount:g} of them is"
            " none that can go. Give a larger amount, or keep the model as it is."
        )
    return _Pruned(amount=amount, model=smaller)


def _within(
    loss: float,
    rows: Examples,
    model: Any,
    pruner: Pruner,
    *,
    task: Task,
    reporter: Reporter,
    stop: StopFlag,
) -> _Pruned:
    """The last amount before the first that worsens the key metric by more than `loss` of what it was."""
    key = KEY_METRIC[task]

    def worth(candidate: Any) -> float:
        return score(rows.targets, candidate.predict(rows.features), task=task).metrics[key]

    whole = worth(model)
    found = _Pruned(amount=0.0, model=model)
    for step, amount in enumerate(_AMOUNTS, start=1):
        stop.raise_if_requested()
        smaller = _smaller(model, amount, pruner)
        value = worth(smaller)
        reporter.line(
            "RUNNING",
            f"{amount:.0%} of the {pruner.unit} removed: {key} {value:.4g}, was {whole:.4g}",
            step=step,
            max_step=len(_AMOUNTS),
            kpi={key: value},
        )
        allowed = value <= whole * (1 + loss) if task == "regression" else value >= whole * (1 - loss)
        if not allowed:
            break
        found = _Pruned(amount=amount, model=smaller)
    return found


def _smaller(model: Any, amount: float, pruner: Pruner) -> Any:
    return Pipeline([("preprocess", model["preprocess"]), ("model", pruner.prune(model["model"], amount))])


def _changes(
    before: Mapping[str, int], after: Mapping[str, int], was: Scores, now: Scores, *, key: str
) -> dict[str, float]:
    sizes = itertools.chain.from_iterable(
        ((name, after[name]), (f"{name}_before", before[name])) for name in before
    )
    return {f"{key}_before": was.metrics[key], **dict(sizes)}


def _message(
    type_name: str,
    pruned: _Pruned,
    sizes: tuple[Mapping[str, int], Mapping[str, int]],
    before: Scores,
    after: Scores,
    *,
    unit: str,
    key: str,
) -> str:
    if not pruned.amount:
        return f"nothing could be removed from the {type_name} within tolerated_loss; it is kept as it was"
    return (
        f"pruned {type_name} from {sizes[0][unit]} to {sizes[1][unit]} {unit}:"
        f" {key} {after.metrics[key]:.4g}, was {before.metrics[key]:.4g}"
    )
