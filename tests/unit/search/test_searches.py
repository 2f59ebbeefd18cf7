"""Whole searches with any order of ends, failures and losses: what never happens, and what is always the same."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.search.simulation import Key, Outcome, Simulation, outcomes
from trainyard.search.decisions import Decision, decide
from trainyard.search.median import Median
from trainyard.search.rules import Rules
from trainyard.search.runs import Run

seeds = st.integers(0, 10**6)
parallel = st.sampled_from([1, 2, 3, 7, 30, 200])
shares = st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0])
forgetting = st.sampled_from([0.0, 0.1, 0.4])
by_rungs = st.builds(
    Rules,
    algorithm=st.sampled_from(["hyperband", "asha"]),
    max_recommendations=st.integers(1, 30),
    max_resource=st.sampled_from([1, 2, 5, 9, 16, 27]),
    nu=st.integers(2, 4),
    epoch_multiplier=st.integers(1, 3),
    minimize=st.booleans(),
)
plain = st.builds(
    Rules,
    algorithm=st.sampled_from(["random", "grid", "bayesian"]),
    max_recommendations=st.integers(1, 40),
    grid=st.integers(1, 60),
    minimize=st.booleans(),
)
any_rules = st.one_of(by_rungs, plain)
examples = settings(deadline=None, max_examples=60)


def expected(rules: Rules, outcome: Outcome) -> set[Key]:
    """The runs of a synchronous search, one after the other, as the paper's pseudocode reads."""
    if rules.algorithm != "hyperband":
        return {(number, 0) for number in range(rules.trials)}
    found: set[Key] = set()
    first = 0
    for bracket in rules.brackets:
        numbers = list(range(first, first + bracket.configurations))
        first += bracket.configurations
        for index, rung in enumerate(bracket.rungs):
            ranked = []
            for number in numbers[: rung.configurations]:
                found.add((number, index))
                state, value = outcome(number, index)
                if state == "success" and value is not None:
                    ranked.append((value if rules.minimize else -value, number))
            after = bracket.rungs[index + 1].configurations if index + 1 < len(bracket.rungs) else 0
            numbers = [number for _, number in sorted(ranked)[:after]]
    return found


@examples
@given(rules=any_rules, seed=seeds, order=seeds, parallelism=parallel, failing=shares, forget=forgetting)
def test_a_search_obeys_its_limits_and_ends(
    rules: Rules, seed: int, order: int, parallelism: int, failing: float, forget: float
) -> None:
    rules = replace(rules, parallelism=parallelism)
    search = Simulation(rules, outcomes(seed, failing=failing), order, forget)
    decision = search.run()
    assert search.most_running <= parallelism
    if rules.algorithm != "asha":
        assert len(search.runs) <= rules.runs
    assert len({number for number, _ in search.runs}) == rules.trials == decision.total
    scores = [run.score for run in search.runs.values() if run.score is not None]
    assert (decision.best is None) == (not scores)
    assert bool(decision.failed) == (not scores)
    if decision.best is not None:
        assert decision.best.value == (min(scores) if rules.minimize else max(scores))
        assert decision.top[0] == decision.best
    if forget == 0:
        assert max(Counter(search.starts).values()) == 1


@examples
@given(
    rules=st.one_of(by_rungs.filter(lambda rules: rules.algorithm == "hyperband"), plain),
    seed=seeds,
    orders=st.tuples(seeds, seeds),
    parallelism=st.tuples(parallel, parallel),
    failing=shares,
    forget=forgetting,
)
def test_the_runs_and_the_winner_do_not_depend_on_order_parallelism_and_interruptions(
    rules: Rules,
    seed: int,
    orders: tuple[int, int],
    parallelism: tuple[int, int],
    failing: float,
    forget: float,
) -> None:
    outcome = outcomes(seed, failing=failing)
    wanted = expected(rules, outcome)
    winners = []
    for order, width in zip(orders, parallelism, strict=True):
        search = Simulation(replace(rules, parallelism=width), outcome, order, forget)
        winners.append(search.run().best)
        assert search.runs.keys() == wanted
        assert {key for key, _ in search.runs.items()} == set(search.starts)
    assert winners[0] == winners[1]


@pytest.mark.parametrize("variant", ["standard", "tao"])
@pytest.mark.parametrize(("r", "nu"), [(27, 3), (16, 2), (100, 4), (9, 3)])
@pytest.mark.parametrize("parallelism", [1, 8, 1000])
def test_hyperband_without_failures_runs_exactly_its_brackets(
    variant: Any, r: int, nu: int, parallelism: int
) -> None:
    rules = Rules("hyperband", variant, max_resource=r, nu=nu, parallelism=parallelism, epoch_multiplier=2)
    search = Simulation(rules, outcomes(1), order=parallelism)
    decision = search.run()
    table = [
        (bracket.s, index, rung.configurations, rung.units, rung.units * 2)
        for bracket in rules.brackets
        for index, rung in enumerate(bracket.rungs)
    ]
    assert [(r.bracket, r.rung, r.configurations, r.units, r.epochs) for r in decision.rungs] == table
    assert [(r.finished, r.running) for r in decision.rungs] == [(row[2], 0) for row in table]
    assert len(search.runs) == sum(row[2] for row in table) == rules.runs
    for rung, following in zip(decision.rungs, decision.rungs[1:], strict=False):
        assert rung.promoted == (following.configurations if following.bracket == rung.bracket else 0)


@examples
@given(rules=by_rungs, seed=seeds, order=seeds, parallelism=parallel, failing=shares, forget=forgetting)
def test_whoever_goes_on_is_among_the_best_of_those_that_succeeded_on_its_rung(
    rules: Rules, seed: int, order: int, parallelism: int, failing: float, forget: float
) -> None:
    rules = replace(rules, parallelism=parallelism)
    search = Simulation(rules, outcomes(seed, failing=failing), order, forget)
    search.run()
    ended: set[Key] = set()
    for what, (number, rung) in search.events:
        if what == "end":
            ended.add((number, rung))
        elif rung > 0:
            before = [search.runs[key] for key in ended if key[1] == rung - 1]
            ranked = sorted(
                (run.score if rules.minimize else -run.score, run.number)
                for run in before
                if run.score is not None
            )
            if rules.algorithm == "asha":
                ranked = ranked[: len(before) // rules.nu]
            assert number in {one for _, one in ranked}


def test_asha_on_one_slot_promotes_as_in_the_paper() -> None:
    """Li et al. 2020, figure 1 (right): 1 of nu = 3 goes on as soon as three have ended."""
    rules = Rules("asha", max_resource=9, max_recommendations=9, parallelism=1)
    search = Simulation(rules, lambda number, rung: ("success", [6, 4, 2, 8, 3, 5, 1, 9, 7][number] / 10))
    search.run()
    assert search.starts == [
        (0, 0),
        (1, 0),
        (2, 0),
        (0, 1),
        (3, 0),
        (3, 1),
        (4, 0),
        (5, 0),
        (6, 0),
        (7, 0),
        (7, 1),
        (7, 2),
        (8, 0),
        (8, 1),
    ]


@examples
@given(rules=plain, seed=seeds, order=seeds, parallelism=parallel, failing=shares, allowed=st.integers(0, 8))
def test_no_trial_starts_after_one_failure_too_many(
    rules: Rules, seed: int, order: int, parallelism: int, failing: float, allowed: int
) -> None:
    rules = replace(rules, parallelism=parallelism, max_failed=allowed)
    search = Simulation(rules, outcomes(seed, failing=failing), order)
    decision = search.run()
    failures = sum(run.failed for run in search.runs.values())
    assert bool(decision.failed) == (failures > allowed or decision.best is None)
    assert failures <= allowed + 1


@examples
@given(rules=any_rules, seed=seeds, order=seeds, parallelism=parallel)
def test_a_threshold_ends_a_search_as_soon_as_a_trial_has_reached_it(
    rules: Rules, seed: int, order: int, parallelism: int
) -> None:
    rules = replace(rules, parallelism=parallelism, threshold=0.2 if rules.minimize else 0.8)
    search = Simulation(rules, outcomes(seed), order)
    decision = search.run()
    assert decision.best is not None
    assert all(run.ended for run in search.runs.values())
    reached = False
    for what, key in search.events:
        value = search.runs[key].value
        if what == "start":
            assert not reached
        elif value is not None:
            reached |= value <= 0.2 if rules.minimize else value >= 0.8
    if not reached:
        assert decision.total == rules.trials


MANY: list[tuple[Rules, int]] = [
    (Rules("random", max_recommendations=1500, parallelism=20, minimize=True), 1500),
    (Rules("bayesian", max_recommendations=2000, parallelism=1), 1500),
    (Rules("asha", max_recommendations=1200, parallelism=20), 1500),
    (Rules("hyperband", max_resource=500, nu=3, parallelism=20), 1500),
    (Rules("hyperband", max_resource=600, nu=2, parallelism=20), 1500),
]


def many(rules: Rules, count: int, *, curves: bool = False) -> list[Run]:
    """Up to `count` runs of a search that is under way, 20 of them running."""
    search = Simulation(replace(rules, parallelism=200), outcomes(3), order=3)
    runs: list[Run] = []
    while len(runs) < count:
        decision: Decision = decide(search.rules, runs)
        if decision.ended:
            break
        for start in decision.start:
            state, value = search.outcome(start.number, start.rung)
            curve = tuple((float(epoch), value * epoch / 64 if value else 0.0) for epoch in range(1, 65))
            runs.append(Run(start.number, start.rung, state, value, curve if curves else ()))
    last = [
        Run(run.number, run.rung, "running", None, run.curve[: 10 + index])
        for index, run in enumerate(runs[-20:])
    ]
    return [*runs[:-20], *last]


@pytest.mark.parametrize(("rules", "count"), MANY, ids=lambda value: getattr(value, "algorithm", str(value)))
def test_a_decision_of_many_runs_takes_milliseconds(rules: Rules, count: int) -> None:
    """NB: a bound that only a scan of all runs for each run would break; on a quiet machine it is less than 5 ms."""
    runs = many(rules, count)
    assert len(runs) > 500
    assert fastest(rules, runs) < 0.05


def test_the_median_rule_of_many_runs_takes_milliseconds() -> None:
    rules = Rules("random", max_recommendations=1500, parallelism=20, median=Median())
    runs = many(rules, 1500, curves=True)
    assert decide(rules, runs).stop
    assert fastest(rules, runs) < 0.1


def fastest(rules: Rules, runs: list[Run]) -> float:
    """Seconds of this thread in the fastest of ten decisions, whatever else the machine does."""
    times = []
    for _ in range(10):
        started = time.thread_time()
        decide(rules, runs)
        times.append(time.thread_time() - started)
    return min(times)
