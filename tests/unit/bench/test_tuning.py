"""The bench of tuning: real searches at a small size, and what is told of them."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any

import pytest

from tests.bench import tuning, tuningreport, tuningsearch
from tests.bench.tuningsearch import Evaluations
from tests.bench.tuningtasks import TASKS, Refused
from trainyard.search import draws
from trainyard.search.rules import Rules

TRIALS = 8
NETWORK, MODEL = "network on iris", "tree on breast_cancer"
SEARCHES = ((NETWORK, 0), (MODEL, 0), (MODEL, 1))


@cache
def measured() -> dict[str, Any]:
    found = [one for name, seed in SEARCHES for one in tuning.searches(name, seed, TRIALS)]
    machine = {"date": "2026-01-02", "cores": 2, "python": "3.11"}
    return {"machine": machine, "seeds": 2, "trials": TRIALS, "seconds": 60, "searches": found}


def of(task: str, algorithm: str, seed: int = 0) -> list[tuple[int, float]]:
    (found,) = [
        one["steps"]
        for one in measured()["searches"]
        if (one["task"], one["algorithm"], one["seed"]) == (task, algorithm, seed)
    ]
    return [(spent, best) for spent, best, _ in found]


def test_every_algorithm_spends_what_it_may() -> None:
    assert [spent for spent, _ in of(NETWORK, "random")] == [27 * n for n in range(1, TRIALS + 1)]
    assert [spent for spent, _ in of(MODEL, "bayesian")] == list(range(1, TRIALS + 1))
    # 49 trials on their rungs, by the brackets of R = 27; one that goes on runs only what is new.
    steps = of(NETWORK, "hyperband")
    assert len(steps) == 40 + 17 + 8 + 4
    assert steps[-1][0] == (27 + 9 * 2 + 3 * 6 + 18) + (12 * 3 + 4 * 6 + 18) + (6 * 9 + 2 * 18) + 4 * 27


@pytest.mark.parametrize(("task", "seed"), SEARCHES)
def test_the_best_loss_so_far_never_grows(task: str, seed: int) -> None:
    for algorithm in ("random", "bayesian"):
        losses = [best for _, best in of(task, algorithm, seed)]
        assert losses == sorted(losses, reverse=True)


def test_what_a_search_has_been_told_is_never_worse_than_its_best_trial() -> None:
    """And with rungs sometimes better; without them the best epoch of each training is what its trial has."""
    differ = {}
    for one in measured()["searches"]:
        assert all(told <= best for _, best, told in one["steps"])
        differ[one["task"], one["algorithm"]] = any(told < best for _, best, told in one["steps"])
    assert differ.pop((NETWORK, "hyperband"))
    assert set(differ.values()) == {False}


@pytest.mark.parametrize(("task", "seed"), SEARCHES)
def test_the_bayesian_search_begins_with_the_random_ones_draws(task: str, seed: int) -> None:
    begun = draws.startup(TASKS[task].space)
    assert of(task, "bayesian", seed)[:begun] == of(task, "random", seed)[:begun]


def test_with_its_proposals_the_bayesian_search_finds_what_draws_do_not() -> None:
    """Of the tree, whose loss is three times as large at most points as at the good ones, and is minimised."""
    outcome = tuningreport.outcomes(measured())[1]
    assert outcome.task == MODEL
    assert outcome.wins() == (2, 0)
    assert outcome.median("bayesian") < outcome.median("random") / 2


def test_a_training_that_goes_on_is_the_one_that_was_not_interrupted() -> None:
    task = TASKS[NETWORK]
    point = draws.random_point(task.space, 3, 0)
    whole = Evaluations(task).values(point, 6)
    parts = Evaluations(task)
    assert parts.values(point, 2) == (whole or [])[:2]
    assert parts.values(point, 6) == whole
    assert parts.trained == 6
    # What is known is not trained again.
    assert parts.values(point, 4) == (whole or [])[:4]
    assert parts.trained == 6


def test_a_training_that_fails_is_a_failed_trial() -> None:
    task = TASKS[MODEL]
    tried = 0

    def train(given: Any, state: bytes | None, epochs: int) -> tuple[list[float], bytes]:
        nonlocal tried
        tried += 1
        if tried % 2:
            raise Refused("It diverged.")
        return task.train(given, state, epochs)

    rules = Rules("bayesian", max_recommendations=8)
    broken = dataclasses.replace(task, name="broken", minimize=False, train=train)
    steps, runs = tuningsearch.search(rules, Evaluations(broken), seed=1)
    assert [run.state for run in runs] == ["failure", "success"] * 4
    assert steps[0].best is None
    assert steps[-1].best is not None


def search(algorithm: str, seed: int, *steps: tuple[int, float | None]) -> dict[str, Any]:
    """One of which the best trial has the best value that was told."""
    return {
        "task": "made up",
        "seed": seed,
        "algorithm": algorithm,
        "metric": "accuracy",
        "minimize": False,
        "rows": 1000,
        "steps": [[spent, best, best] for spent, best in steps],
    }


def made_up(*, bayesian: float, reached: int) -> dict[str, Any]:
    searches = []
    for seed in (0, 1, 2):
        searches += [
            search("random", seed, (50, 0.5), (100, 0.7)),
            search("bayesian", seed, (50, None), (100, bayesian)),
            search("hyperband", seed, (10, 0.6), (reached, 0.7), (90, 0.8)),
        ]
    machine = {"date": "2026-01-02", "cores": 2, "python": "3.11"}
    return {"machine": machine, "seeds": 3, "trials": 4, "seconds": 120, "searches": searches}


def test_regrets_and_paces_are_counted() -> None:
    (found,) = tuningreport.outcomes(made_up(bayesian=0.9, reached=40))
    assert found.best == pytest.approx(0.9)
    assert found.regrets["random"] == pytest.approx((0.2, 0.2, 0.2))
    assert found.regrets["bayesian"] == (0, 0, 0)
    assert found.wins() == (3, 0)
    assert found.pace == tuningreport.Pace(rows=1000, share=0.4, by_trial=0.4, seeds=3, own=1, spent=0.9)


def test_it_is_the_medians_that_are_compared_after_each_number_of_epochs() -> None:
    """Of four seeds random search ends with a median of 0.7; hyperband's is that once its third seed has 0.8."""
    searches = []
    for seed, (end, *steps) in enumerate(
        [(0.6, (20, 0.9)), (0.7, (30, 0.6)), (0.7, (10, 0.3), (45, 0.8)), (0.8, (60, 0.6))]
    ):
        searches += [search("random", seed, (50, end), (100, end)), search("bayesian", seed, (100, end))]
        searches.append(search("hyperband", seed, *steps))
    (found,) = tuningreport.outcomes({"searches": searches})
    assert found.pace == tuningreport.Pace(rows=1000, share=0.45, by_trial=0.45, seeds=2, own=0.5, spent=0.6)


@pytest.mark.parametrize(
    ("bayesian", "reached", "told"),
    [
        (0.9, 40, ()),
        (0.7, 40, ("lower median regret on 0 of 1 tasks only",)),
        (0.9, 51, ("more than half of random search's epochs for its final quality: made up",)),
    ],
    ids=["all good", "no better than random", "too many epochs"],
)
def test_a_missed_target_is_told(bayesian: float, reached: int, told: tuple[str, ...]) -> None:
    results = made_up(bayesian=bayesian, reached=reached)
    missed = tuningreport.missed(results)
    assert len(missed) == len(told)
    for sentence, part in zip(missed, told, strict=True):
        assert part in sentence
        assert f"**Missed:** {sentence}" in tuningreport.text(results)


def test_what_was_told_counts_and_beside_it_what_the_best_trial_has() -> None:
    """A run on an inner rung counts to the operator by its last value, and may have told a better one before."""
    results = made_up(bayesian=0.9, reached=60)
    for one in results["searches"]:
        if one["algorithm"] == "hyperband":
            one["steps"][0][2] = 0.7
    (found,) = tuningreport.outcomes(results)
    assert found.pace == tuningreport.Pace(rows=1000, share=0.1, by_trial=0.6, seeds=3, own=1, spent=0.9)
    assert "| made up | 1,000 | 10% | 60% | 3 of 3 |" in tuningreport.text(results)


def test_the_tables_have_each_task() -> None:
    lines = tuningreport.text(made_up(bayesian=0.9, reached=40)).splitlines()
    assert "| made up | accuracy | 3 | 0.9 | 0.2 | 0 | 3 / 0 |" in lines
    assert "| made up | 1,000 | 40% | 40% | 3 of 3 | 100% | 0.1 (90%) | 0.2 |" in lines


def test_of_a_small_table_the_pace_is_told_and_nothing_is_claimed() -> None:
    results = made_up(bayesian=0.9, reached=51)
    for one in results["searches"]:
        one["rows"] = 999
    assert not tuningreport.missed(results)
    told = tuningreport.text(results)
    assert "on 0 of 1 networks of fewer rows, of which nothing is claimed." in told
    assert "| made up | 999 | 51% | 51% | 0 of 3 |" in told


def test_what_hyperband_never_reaches_is_told() -> None:
    results = made_up(bayesian=0.9, reached=40)
    for one in results["searches"]:
        if one["algorithm"] == "hyperband" and one["seed"] > 0:
            one["steps"] = [[10, 0.6, 0.6], [90, 0.65, 0.65]]
    (found,) = tuningreport.outcomes(results)
    assert found.pace is not None
    assert (found.pace.share, found.pace.seeds) == (math.inf, 1)
    assert "| made up | 1,000 | not reached | not reached | 1 of 3 |" in tuningreport.text(results)
    assert tuningreport.missed(results)
