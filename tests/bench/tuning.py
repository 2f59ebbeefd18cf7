"""How good tuning is: `python -m tests.bench.tuning` searches real tasks with each algorithm, from several seeds.

Random search and the Bayesian one have an equal number of trainings. Regret is the best value found less the best that
anybody found on the task. Of the networks, hyperband is told by the epochs after which its median is what random
search's is at its end. `make test` runs two tasks at a small size (tests/unit/bench/test_tuning.py), `make soak` all of
them, which goes into docs/automl-quality.md and needs the extra `bench`. Everything but the seconds is repeatable on
one machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import orjson

from tests.bench import report, tuningreport
from tests.bench.rounds import say
from tests.harness import cache

SEEDS, TRIALS = 10, 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what was asked for, and exits with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", action="append", help="a task's name; default: all of them")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="trainings of random and bayesian search")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    parser.add_argument("--document", type=Path, help="a document whose figures are replaced")
    asked = parser.parse_args(argv)
    results = measure(
        asked.task, seeds=asked.seeds, trials=asked.trials, processes=asked.processes, out=asked.out
    )
    text = tuningreport.text(results)
    if asked.document:
        asked.document.write_text(report.into(asked.document.read_text(), text))
    print(text)
    sys.exit(1 if tuningreport.missed(results) else 0)


def measure(
    names: Sequence[str] | None, *, seeds: int, trials: int, processes: int, out: Path | None = None
) -> dict[str, Any]:
    """All tasks (or those named) from all seeds, several at a time; `out` has what there is so far."""
    # NB: before numpy is imported in the processes, which share two cores: a matrix of theirs is small.
    for name in _THREADS:
        os.environ[name] = "1"
    from tests.bench.__main__ import machine
    from tests.bench.tuningtasks import TASKS

    wanted = list(names or TASKS)
    if unknown := [name for name in wanted if name not in TASKS]:
        raise SystemExit(f"There is no task {unknown[0]!r}; there are: {', '.join(TASKS)}.")
    started = time.monotonic()
    results: dict[str, Any] = {"machine": machine(), "seeds": seeds, "trials": trials, "searches": []}
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waited = [pool.submit(searches, name, seed, trials) for seed in range(seeds) for name in wanted]
        for count, future in enumerate(as_completed(waited), start=1):
            found = future.result()
            results["searches"] += found
            results["searches"].sort(key=lambda one: (wanted.index(one["task"]), one["seed"]))
            results["seconds"] = time.monotonic() - started
            say(f"{count} of {len(waited)}: {found[0]['task']}, seed {found[0]['seed']}")
            if out:
                out.parent.mkdir(parents=True, exist_ok=True)
                cache.write_atomically(out, orjson.dumps(results, option=orjson.OPT_INDENT_2))
    return results


def searches(name: str, seed: int, trials: int) -> list[dict[str, Any]]:
    """All algorithms on a task from one seed."""
    from tests.bench import tuningsearch
    from tests.bench.tuningtasks import TASKS
    from trainyard.search.rules import Algorithm, Rules

    task = TASKS[name]
    evaluations = tuningsearch.Evaluations(task)
    algorithms: tuple[Algorithm, ...] = ("random", "bayesian")
    if task.is_network:
        algorithms = ("random", "bayesian", "hyperband")
    found = []
    for algorithm in algorithms:
        rules = Rules(
            algorithm,
            max_recommendations=trials,
            max_resource=task.epochs,
            minimize=task.minimize,
        )
        started = time.monotonic()
        steps, _ = tuningsearch.search(rules, evaluations, seed=seed)
        found.append(
            {
                "task": name,
                "seed": seed,
                "algorithm": algorithm,
                "metric": task.metric,
                "minimize": task.minimize,
                "rows": task.rows if task.is_network else None,
                "steps": [[step.spent, step.best, step.told] for step in steps],
                "seconds": time.monotonic() - started,
            }
        )
    return found


if __name__ == "__main__":
    main()
