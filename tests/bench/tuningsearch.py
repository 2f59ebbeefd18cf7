"""One whole search of a task, with the operator's code that decides and the tuner's code that proposes.

Separate because it stands for the cluster: it runs what is to be run, at once, and counts the epochs that this would
take there. Called by `tuning`. An equal training is not run twice within a task and a seed, but counts each time.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.bench.tuningtasks import Refused, Task
from trainyard.search import draws
from trainyard.search.decisions import decide, is_final
from trainyard.search.rules import Rules
from trainyard.search.runs import Run
from trainyard.search.space import Point
from trainyard_tuner import orders, proposing


@dataclass(frozen=True)
class Step:
    """After a run: the epochs (or trainings, of a task without epochs) so far, the value of the best trial as the
    operator has it, and the best value that any training has told after any epoch.

    They differ where trials have rungs: there the operator goes by the last value of a run that is not the last one.
    """

    spent: int
    best: float | None
    told: float | None


@dataclass
class _Course:
    """How a training went as far as it was run; `failed` says that it goes no further."""

    values: list[float] = field(default_factory=list)
    state: bytes | None = None
    failed: bool = False


class Evaluations:
    """The trainings of a task, each as long as it was needed."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.trained = 0
        self._courses: dict[Point, _Course] = {}

    def values(self, point: Point, epochs: int) -> list[float] | None:
        """The values of the first epochs; None for a training that failed before their end."""
        course = self._courses.setdefault(point, _Course())
        more = epochs - len(course.values)
        if more > 0 and not course.failed:
            self.trained += more
            try:
                told, course.state = self.task.train(self.task.space.parameters(point), course.state, more)
                course.values += told
            except Refused:
                course.failed = True
        return course.values[:epochs] if len(course.values) >= epochs else None


def search(rules: Rules, evaluations: Evaluations, *, seed: int) -> tuple[list[Step], list[Run]]:
    """The whole search: a step after each run, and the runs."""
    task = evaluations.task
    runs: list[Run] = []
    points: dict[int, Point] = {}
    done: dict[int, int] = {}
    steps: list[Step] = []
    spent = 0
    told: list[float] = []
    while not (decision := decide(rules, runs)).ended:
        numbers = [start.number for start in decision.start if start.number not in points]
        points |= _points(rules, task, runs, points, numbers, seed=seed)
        for start in decision.start:
            epochs = start.epochs or task.epochs
            values = evaluations.values(points[start.number], epochs)
            before = done.get(start.number, 0)
            spent += epochs - before
            done[start.number] = epochs
            # A job that goes on tells its own epochs only.
            own = values[before:] if values else None
            runs.append(_run(rules, start.number, start.rung, own, minimize=task.minimize))
            best = decide(rules, runs).best
            told = _best([*told, *(values or ())], minimize=task.minimize)
            steps.append(Step(spent, best.value if best else None, told[0] if told else None))
    return steps, runs


def _best(values: list[float], *, minimize: bool) -> list[float]:
    """The best one, if there is any."""
    return [min(values) if minimize else max(values)] if values else []


def _run(rules: Rules, number: int, rung: int, values: list[float] | None, *, minimize: bool) -> Run:
    if not values:
        return Run(number, rung, "failure")
    best = min(values) if minimize else max(values)
    return Run(number, rung, "success", best if is_final(rules, number, rung) else values[-1])


def _points(
    rules: Rules,
    task: Task,
    runs: Iterable[Run],
    points: Mapping[int, Point],
    numbers: list[int],
    *,
    seed: int,
) -> dict[int, Point]:
    """Points of new trials. A bayesian search draws its first ones; the others are proposed, all at once."""
    drawn = draws.startup(task.space) if rules.algorithm == "bayesian" else None
    proposed = [number for number in numbers if drawn is not None and number >= drawn]
    found = {
        number: draws.random_point(task.space, seed, number) for number in numbers if number not in proposed
    }
    if proposed:
        ended = {run.number: run.score for run in runs}
        order = {
            "space": task.space.as_json(),
            "minimize": rules.minimize,
            "seed": seed,
            "first": proposed[0],
            "count": len(proposed),
            "history": [[list(points[number]), value] for number, value in sorted(ended.items())],
            "pending": [list(point) for point in found.values()],
        }
        packed = base64.b64encode(zlib.compress(json.dumps(order).encode())).decode()
        given = proposing.proposals(orders.read(packed))
        found |= {number: task.space.accepted(point) for number, point in zip(proposed, given, strict=True)}
    return found
