"""The bench of tuning: real searches at a small size, and what is told of them."""

from __future__ import annotations

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
    return [(spent, best) for spent, best in found]


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
    broken = type(task)(name="broken", metric=task.metric, minimize=False, space=task.space, train=train)
    steps, runs = tuningsearch.search(rules, Evaluations(broken), seed=1)
    assert [run.state for run in runs] == ["failure", "success"] * 4
    assert steps[0].best is None
    assert steps[-1].best is not None


def search(algorithm: str, seed: int, *steps: tuple[int, float | None]) -> dict[str, Any]:
    return {
        "task": "made up",
        "seed": seed,
        "algorithm": algorithm,
        "metric": "accuracy",
        "minimize": False,
        "network": True,
        "steps": [list(step) for step in steps],
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


def test_regrets_and_shares_are_counted() -> None:
    (found,) = tuningreport.outcomes(made_up(bayesian=0.9, reached=40))
    assert found.best == pytest.approx(0.9)
    assert found.regrets["random"] == pytest.approx((0.2, 0.2, 0.2))
    assert found.regrets["bayesian"] == (0, 0, 0)
    assert found.wins() == (3, 0)
    assert found.shares == (0.4, 0.4, 0.4)


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


def test_the_tables_have_each_task() -> None:
    lines = tuningreport.text(made_up(bayesian=0.9, reached=40)).splitlines()
    assert "| made up | accuracy | 3 | 0.9 | 0.2 | 0 | 3 / 0 |" in lines
    assert "| made up | 40% | 0.1 | 0.2 |" in lines


def test_what_hyperband_never_reaches_is_told() -> None:
    results = made_up(bayesian=0.9, reached=40)
    for one in results["searches"]:
        if one["algorithm"] == "hyperband" and one["seed"] > 0:
            one["steps"] = [[10, 0.6], [90, 0.65]]
    (found,) = tuningreport.outcomes(results)
    assert found.shares == (0.4, math.inf, math.inf)
    assert "not reached (1 of 3 reach it)" in tuningreport.text(results)
    assert tuningreport.missed(results)
