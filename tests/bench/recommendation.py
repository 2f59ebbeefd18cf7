"""`python -m tests.bench.recommendation`: whether the recommended type is the best one on rows that nobody has seen.

Separate from the trainer's own tests because it takes minutes, and because which tables there are is a rule of
`tuningdata`, made before. Of each table 30 % of the rows are held out. On the others the candidates are measured as the
action `recommend` measures them, without a time budget; then each is fitted to all of these rows as `train` does, with
its defaults, and scored on the rows held out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.bench import report, tuningdata
from trainyard_trainer import columns, crossvalidation, suitability
from trainyard_trainer.preparing import rows_at
from trainyard_trainer.stopping import StopFlag
from trainyard_trainer.tables import Table

#: All tables of `tuningdata`.
TABLES = (
    *("breast_cancer", "iris", "wine", "diabetes"),
    *("phishing", "bananas", "image_segments", "digits", "fair", "shuttle", "randhie"),
)
TYPES = ("decision_tree", "random_forest", "regression", "neural_network")
_HELD_OUT = 0.3
_WITHIN = 0.02
_FOLDS = 5
_SPLITS = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One split of one table. `held_out` is the key metric of each type on rows that none of them has seen."""

    table: str
    split: int
    rows: int
    classify: bool
    recommended: str
    score: int
    seconds: float
    held_out: Mapping[str, float]

    @property
    def loss(self) -> float:
        """Of this split alone, with hindsight."""
        return Sum(table=self.table, outcomes=[self]).loss


@dataclass(frozen=True, kw_only=True)
class Sum:
    """All splits of one table. The best type is the one that is best on average: with the hindsight of each split by
    itself a chance lead of a few rows would count as a loss.
    """

    table: str
    outcomes: Sequence[Outcome]

    def mean(self, kind: str) -> float | None:
        """The key metric of a type on rows held out, averaged over the splits."""
        found = [one.held_out[kind] for one in self.outcomes if kind in one.held_out]
        return float(np.mean(found)) if found else None

    @property
    def recommended(self) -> float:
        """The same of what was recommended in each split."""
        return float(np.mean([one.held_out[one.recommended] for one in self.outcomes]))

    @property
    def loss(self) -> float:
        """By which share that is a lower accuracy, or a higher error, than the best type's."""
        means = [mean for kind in TYPES if (mean := self.mean(kind)) is not None]
        if self.outcomes[0].classify:
            return 1 - self.recommended / max(means)
        return self.recommended / min(means) - 1

    @property
    def is_good(self) -> bool:
        return self.loss <= _WITHIN


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where the recommendation was good enough on all tables but one in ten."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recommendation", description=__doc__)
    parser.add_argument("--tables", nargs="*", default=list(TABLES), metavar="NAME")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--document", type=Path, help="a document whose figures are replaced")
    asked = parser.parse_args(arguments)
    outcomes = []
    for name in asked.tables:
        for split in range(_SPLITS):
            outcomes.append(measure(name, split))
            print(json.dumps(asdict(outcomes[-1])), flush=True)
    text = told(outcomes)
    print(text)
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps([asdict(one) for one in outcomes], indent=2) + "\n")
    if asked.document:
        asked.document.write_text(report.into(asked.document.read_text(), text))
    good = [one.is_good for one in sums(outcomes)]
    return int(sum(good) < 0.9 * len(good))


def measure(name: str, split: int) -> Outcome:
    """Recommend a type for a part of a table, fit all types to that part, and compare them on the other."""
    raw = tuningdata.table(name)
    frame = pd.DataFrame(raw.features, columns=[f"x{i}" for i in range(raw.features.shape[1])])
    frame["target"] = raw.targets
    table = Table(frame=frame, files=(name,), first_rows=(0,), sha256="")
    task = "classification" if raw.classify else "regression"
    layout, _ = columns.recognise(table, {"target": None, "task": task, "ignore_columns": []})
    rows = columns.examples(table, layout)
    held = np.random.default_rng([split, len(frame)]).random(len(frame)) < _HELD_OUT
    seen, unseen = rows_at(rows, np.flatnonzero(~held)), rows_at(rows, np.flatnonzero(held))
    types = [kind for kind in TYPES if kind != "regression" or not raw.classify]
    began = time.process_time()
    measured = crossvalidation.measure(
        seen,
        layout,
        types=types,
        folds=_FOLDS,
        seed=split,
        seconds=math.inf,
        told=lambda fit, done, total: None,
        stop=StopFlag(),
    )
    seconds = time.process_time() - began
    ranked, scores = suitability.by_measurement(
        measured, types, suitability.trivial_loss(seen.targets, classify=raw.classify)
    )
    held_out = {}
    for kind in types:
        fit = crossvalidation.fit_one(
            kind, seen, unseen, layout, fold=0, seed=split, deadline=math.inf, stop=StopFlag()
        )
        if isinstance(fit, str):
            raise RuntimeError(f"{kind} on {name}: {fit}")
        held_out[kind] = 1 - fit.loss if raw.classify else math.sqrt(fit.loss)
    return Outcome(
        table=name,
        split=split,
        rows=len(seen.targets),
        classify=raw.classify,
        recommended=ranked[0],
        score=scores[ranked[0]],
        seconds=seconds,
        held_out=held_out,
    )


def sums(outcomes: Sequence[Outcome]) -> list[Sum]:
    """By table, in the order in which they were measured."""
    names = dict.fromkeys(one.table for one in outcomes)
    return [Sum(table=name, outcomes=[one for one in outcomes if one.table == name]) for name in names]


def told(outcomes: Sequence[Outcome]) -> str:
    """A table in Markdown and its sum in a sentence."""
    lines = [
        "| table | rows | CPU s | " + " | ".join(TYPES) + " | recommended | its loss | splits within 2 % |",
        "|---|---:|---:|" + "---:|" * len(TYPES) + "---|---:|---:|",
    ]
    tables = sums(outcomes)
    for one in tables:
        picks = [split.recommended for split in one.outcomes]
        cells = [
            one.table,
            str(one.outcomes[0].rows),
            f"{np.mean([split.seconds for split in one.outcomes]):.0f}",
            *("" if (mean := one.mean(kind)) is None else f"{mean:.4g}" for kind in TYPES),
            ", ".join(f"{pick} {picks.count(pick)}x" for pick in dict.fromkeys(picks)),
            f"{one.loss:.1%}",
            f"{sum(split.loss <= _WITHIN for split in one.outcomes)} of {len(picks)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    good = sum(one.is_good for one in tables)
    near = sum(split.loss <= _WITHIN for split in outcomes)
    return "\n".join(
        [
            *lines,
            "",
            f"Within 2 % of the best type: {good} of {len(tables)} tables. Of the single splits, with hindsight:"
            f" {near} of {len(outcomes)}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
